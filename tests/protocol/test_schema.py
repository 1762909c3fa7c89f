"""PROTOCOL section 6.2: the value of ``electric-schema``."""

from __future__ import annotations

import json

import pytest

from django_electric.postgres.relation import Column, Relation
from django_electric.protocol.schema import describe, schema_header


@pytest.mark.parametrize(
    ("column", "description"),
    [
        (
            Column("a", 23, "int4", pk_position=1, not_null=True),
            {"type": "int4", "pk_index": 1, "not_null": True},
        ),
        (Column("a", 1015, "text", dimensions=2), {"type": "text", "dims": 2}),
        (Column("a", 1043, "varchar", 104), {"type": "varchar", "max_length": 100}),
        (Column("a", 1043, "varchar"), {"type": "varchar"}),
        (Column("a", 1042, "bpchar", 7), {"type": "bpchar", "length": 3}),
        (Column("a", 1560, "bit", 5), {"type": "bit", "length": 5}),
        (Column("a", 1562, "varbit"), {"type": "varbit", "length": -1}),
        (Column("a", 1114, "timestamp", 3), {"type": "timestamp", "precision": 3}),
        (Column("a", 1114, "timestamp", 0), {"type": "timestamp"}),
        (
            Column("a", 1700, "numeric", (10 << 16 | 2) + 4),
            {"type": "numeric", "precision": 10, "scale": 2},
        ),
        (
            Column("a", 1700, "numeric", (3 << 16 | 0x7FB) + 4),
            {"type": "numeric", "precision": 3, "scale": -5},
        ),
        (Column("a", 1700, "numeric"), {"type": "numeric"}),
        (Column("a", 1186, "interval"), {"type": "interval"}),
        (Column("a", 1186, "interval", 0x7FFF0003), {"type": "interval", "precision": 3}),
        (
            Column("a", 1186, "interval", 0x0006FFFF),
            {"type": "interval", "fields": "YEAR TO MONTH"},
        ),
        (
            Column("a", 1186, "interval", 470286339),
            {"type": "interval", "fields": "DAY TO SECOND", "precision": 3},
        ),
        (Column("a", 16400, "geometry", 12), {"type": "geometry", "type_mod": 12}),
        (Column("a", 3802, "jsonb", not_null=True), {"type": "jsonb", "not_null": True}),
    ],
)
def test_a_column_is_described_by_its_type(column: Column, description: object) -> None:
    assert describe(column) == description


def test_only_selected_columns_in_ascii() -> None:
    columns = (Column("ü", 23, "int4"), Column("b", 25, "text"))
    header = schema_header(Relation(1, "public", "t", columns), ["ü"])
    assert header.isascii()
    assert json.loads(header) == {"ü": {"type": "int4"}}

"""Layouts: which shapes cannot go on with a table as it is now (PROTOCOL section 10.5)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from django_electric.errors import DecodeError
from django_electric.postgres.relation import Relation
from django_electric.shapes import layouts as module
from django_electric.shapes.layouts import (
    ColumnLayout,
    SchemaChange,
    TableLayout,
    mismatch,
    outdated,
    parse_schema_change,
)
from django_electric.shapes.routed import RoutedShape
from tests.shapes.world import ITEMS, define, described, shape, table, with_column, without

WIDER = with_column(ITEMS, "added")
NARROWER = without(ITEMS, "text")
RENAMED_COLUMN = with_column(NARROWER, "body")
RETYPED = replace(ITEMS, columns=(*ITEMS.columns[:1], replace(ITEMS.columns[1], type_oid=1043), ITEMS.columns[2]))  # fmt: skip
LONGER = replace(ITEMS, columns=(*ITEMS.columns[:1], replace(ITEMS.columns[1], type_modifier=24), ITEMS.columns[2]))  # fmt: skip


@pytest.mark.parametrize(
    ("options", "now", "reason"),
    [
        ({}, ITEMS, ""),
        ({}, replace(ITEMS, name="things"), "renamed"),
        ({}, replace(ITEMS, schema="other"), "renamed"),
        ({"columns": ("id",)}, replace(ITEMS, name="things"), "renamed"),
        ({}, WIDER, "added"),
        ({}, NARROWER, "dropped"),
        ({}, RENAMED_COLUMN, "dropped"),
        ({}, RETYPED, 'column "text"'),
        ({}, LONGER, 'column "text"'),
        ({"columns": ("id", "done")}, WIDER, ""),
        ({"columns": ("id", "done")}, NARROWER, ""),
        ({"columns": ("id", "done")}, RETYPED, ""),
        ({"columns": ("id", "text")}, NARROWER, 'column "text"'),
        ({"columns": ("id", "text")}, RENAMED_COLUMN, 'column "text"'),
        ({"columns": ("id", "text")}, RETYPED, 'column "text"'),
        ({"columns": ("id",), "where": "text = 'a'"}, NARROWER, 'column "text"'),
        ({"columns": ("id",), "where": "text = 'a'"}, RETYPED, 'column "text"'),
        ({"columns": ("id",), "where": "text = 'a'"}, WIDER, ""),
    ],
)
def test_a_shape_goes_on_unless_its_table_was_renamed_or_a_column_of_its_own_changed(
    options: dict, now: Relation, reason: str
) -> None:
    """PROTOCOL section 10.5; filtered columns count as selected ones (DECISIONS)."""
    found = mismatch(shape(define(**options)), described(now))
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_change_of_the_key_rotates_a_table_without_a_primary_key() -> None:
    keyless = table({"a": "int4", "b": "text"}, [])
    definition = define(keyless, columns=("a",))
    assert mismatch(shape(definition), described(without(keyless, "b")))


def test_a_partition_has_another_name_and_that_is_no_renaming() -> None:
    leaf = replace(ITEMS, oid=501, name="items_2024")
    assert mismatch(shape(define(replace(ITEMS, is_partitioned=True))), described(leaf)) == ""


# -- what the catalogue knows beside ---------------------------------------------------------------


def layout_of(relation: Relation) -> TableLayout:
    columns = tuple(ColumnLayout(c.name, c.type_oid, c.type_modifier, c.sql_type) for c in relation.columns)  # fmt: skip
    return TableLayout(relation.oid, relation.schema, relation.name, columns, relation.primary_key)


def reason(one: RoutedShape, layout: TableLayout) -> str:
    """Why it cannot go on, or empty."""
    return dict(outdated([one], layout)).get(one, "")


def typed(relation: Relation, **types: str) -> Relation:
    """*relation* with types as statements name them."""
    columns = (replace(c, sql_type=types.get(c.name, c.type_name)) for c in relation.columns)
    return replace(relation, columns=tuple(columns))


PLAIN = typed(ITEMS)
COLLATED = typed(ITEMS, text='text COLLATE pg_catalog."C"')


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"columns": ("id", "text")}, ""),
        ({"where": "done"}, ""),
        ({"where": "text < 'm'"}, 'column "text" has another collation'),
    ],
)
def test_another_collation_matters_to_those_who_filter_by_it(
    options: dict[str, Any], expected: str
) -> None:
    assert reason(shape(define(PLAIN, **options)), layout_of(COLLATED)) == expected
    assert reason(shape(define(PLAIN, **options)), layout_of(PLAIN)) == ""


def test_a_definition_that_does_not_say_how_its_columns_are_collated_goes_on() -> None:
    """It was written by an older version of the package."""
    assert reason(shape(define(where="text < 'm'")), layout_of(COLLATED)) == ""


def test_another_primary_key_rotates_every_shape_of_the_table() -> None:
    keyed = table({"id": "int4", "text": "text", "done": "bool"}, ["text", "id"])
    found = reason(shape(define(columns=("id", "text"))), layout_of(keyed))
    assert found == "its table has another primary key"
    assert reason(shape(define(keyed)), layout_of(keyed)) == ""


def test_of_a_partition_only_the_columns_are_compared() -> None:
    root = shape(define(replace(ITEMS, is_partitioned=True)))
    leaf = replace(ITEMS, oid=501, name="items_2024")
    assert reason(root, layout_of(leaf)._replace(primary_key=())) == ""
    assert reason(root, layout_of(without(leaf, "text"))) != ""


def test_what_the_stream_shows_is_a_reason_here_too() -> None:
    assert "renamed" in reason(shape(define()), layout_of(replace(ITEMS, name="things")))


def test_shapes_that_know_their_table_alike_are_compared_with_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare = mock.Mock(wraps=module._catalogue_change)
    monkeypatch.setattr(module, "_catalogue_change", compare)
    columns = define().relation_columns
    alike = [shape(replace(define(columns=chosen), relation_columns=columns), f"h{n}") for n, chosen in enumerate([None, ("id",), None])]  # fmt: skip
    found = {one.handle for one, _ in outdated(alike, layout_of(WIDER))}
    assert (found, compare.call_count) == ({"h0", "h2"}, 1)


# -- messages --------------------------------------------------------------------------------------


def test_a_message_is_read_as_it_was_written() -> None:
    value = {
        "tables": [[7, "public", "t", [["id", 23, -1, "integer"]], ["id"]], [8, "s", "u", None, None]],
        "dropped": [9],
        "unpublished": [10, 11],
    }  # fmt: skip
    assert parse_schema_change(json.dumps(value)) == SchemaChange(
        tables=(
            TableLayout(7, "public", "t", (ColumnLayout("id", 23, -1, "integer"),), ("id",)),
            TableLayout(8, "s", "u", (), ()),
        ),
        dropped=(9,),
        unpublished=(10, 11),
    )
    assert parse_schema_change(b"{}") == SchemaChange((), (), ())


@pytest.mark.parametrize("text", ["", "[]", "7", '{"tables": [[1]]}', '{"dropped": 3}', b"\xff"])
def test_a_message_that_makes_no_sense_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError, match="malformed"):
        parse_schema_change(text)


def test_columns_that_are_compared_with_a_subquery_count_as_filtered() -> None:
    inner = replace(define(), columns=("text",))
    outer = replace(
        define(columns=("id",)), where=f'"text" IN ({inner.subselect})', dependencies=(inner,)
    )
    assert outer.filtered_columns == {"text"}
    assert 'column "text"' in mismatch(shape(outer), described(RETYPED))
    assert not mismatch(shape(outer), described(WIDER))

"""ShapeDefinition: PROTOCOL section 8."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from django_electric.postgres.relation import Column, Relation
from django_electric.shapes.definition import ShapeDefinition, StoredColumn
from django_electric.where import Locale, WhereError, parse_where

COLUMNS = (
    Column("id", 23, "int4", not_null=True, pk_position=1, evaluator_type="int4"),
    Column("org", 2950, "uuid", not_null=True, pk_position=0, evaluator_type="uuid"),
    Column("text", 25, "text", evaluator_type="text", is_bytewise=False),
    Column("sum", 1700, "numeric", type_modifier=655366, evaluator_type="numeric"),
    Column("made", 25, "text", is_generated=True, evaluator_type="text"),
)
ITEMS = Relation(oid=1234, schema="public", name="items", columns=COLUMNS)
TYPES = {c.name: c.evaluator_type for c in COLUMNS}


def build(**options: object) -> ShapeDefinition:
    if isinstance(options.get("where"), str):
        options["where"] = parse_where(
            str(options["where"]), TYPES, locale=Locale(collation_is_c=False)
        )
    return ShapeDefinition.build(ITEMS, **options)  # type: ignore[arg-type]  # the tests' shorthand


def test_a_definition_remembers_the_columns_of_its_table_without_generated_ones() -> None:
    definition = build()
    assert [c.name for c in definition.relation_columns] == ["id", "org", "text", "sum"]
    assert definition.relation_columns[3] == StoredColumn(
        "sum", 1700, 655366, "numeric", not_null=False, is_bytewise=True
    )
    assert definition.columns == ("id", "org", "text", "sum")
    assert not definition.has_explicit_columns
    assert (definition.relation_oid, definition.schema, definition.table) == (
        1234,
        "public",
        "items",
    )


def test_selected_columns_are_kept_in_the_order_of_the_table() -> None:
    definition = build(columns=("text", "org", "id"))
    assert definition.columns == ("id", "org", "text")
    assert definition.has_explicit_columns


def test_the_key_is_in_the_order_of_its_index() -> None:
    assert build().key_columns == ("org", "id")


def test_without_a_primary_key_every_column_is_the_key_even_those_not_selected() -> None:
    keyless = replace(ITEMS, columns=tuple(replace(c, pk_position=None) for c in COLUMNS))
    definition = ShapeDefinition.build(keyless, columns=("text",))
    assert definition.key_columns == ("id", "org", "text", "sum")


SAME = [
    ({}, {"replica": "default"}),
    ({"columns": ("id", "org")}, {"columns": ("org", "id")}),
    ({"where": "text = 'a'"}, {"where": "(TEXT  =  ('a'))"}),
    ({"log_mode": "full"}, {}),
]
DIFFERENT = [
    ({}, {"columns": ("id", "org", "text", "sum")}),
    ({"columns": ("id", "org")}, {"columns": ("id", "org", "text")}),
    ({"where": "id = 1 AND sum = 2"}, {"where": "sum = 2 AND id = 1"}),
    ({"where": "id = 1"}, {}),
    ({"replica": "full"}, {}),
    ({"log_mode": "changes_only"}, {}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_requests_for_the_same_shape_have_one_identity(one: dict, other: dict) -> None:
    assert build(**one).identity == build(**other).identity


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_requests_for_other_shapes_have_another_identity(one: dict, other: dict) -> None:
    assert build(**one).identity != build(**other).identity


@pytest.mark.parametrize(
    "change",
    [{"oid": 1235}, {"schema": "other"}, {"name": "things"},
     {"columns": (*COLUMNS[:1], replace(COLUMNS[1], pk_position=None), *COLUMNS[2:])}],
)  # fmt: skip
def test_another_table_or_key_is_another_shape(change: dict) -> None:
    assert ShapeDefinition.build(replace(ITEMS, **change)).identity != build().identity


def test_parts_of_an_identity_cannot_be_mistaken_for_one_another() -> None:
    one = replace(ITEMS, schema='a","b', name="c")
    other = replace(ITEMS, schema="a", name='b","c')
    assert ShapeDefinition.build(one).identity != ShapeDefinition.build(other).identity


def test_the_beginning_of_a_handle_is_a_number_of_27_bits() -> None:
    prefixes = {build(where=f"id = {n}").handle_prefix for n in range(50)}
    assert len(prefixes) == 50
    assert all(0 <= prefix <= 134_217_727 for prefix in prefixes)
    assert re.fullmatch(r"[0-9a-f]{64}", build().identity)


@pytest.mark.parametrize(
    "options",
    [{}, {"columns": ("id", "org"), "replica": "full", "log_mode": "changes_only"},
     {"where": "text = 'it''s' OR id IN (1, 2)"}],
)  # fmt: skip
def test_a_definition_survives_being_stored_as_json(options: dict) -> None:
    definition = build(**options)
    again = ShapeDefinition.from_json(json.loads(json.dumps(definition.to_json())))
    assert again == definition
    assert again.identity == definition.identity
    assert hash(again) == hash(definition)


def test_a_partitioned_table_stays_one() -> None:
    definition = ShapeDefinition.build(replace(ITEMS, is_partitioned=True))
    assert ShapeDefinition.from_json(definition.to_json()).is_partitioned


def test_a_condition_is_read_back_from_its_canonical_text() -> None:
    definition = build(where="id  >  3 and text like 'a%'")
    where = definition.parsed_where()
    assert where is not None
    assert where.sql == definition.where
    assert where.columns == {"id", "text"}
    assert build().parsed_where() is None


def test_text_in_another_order_than_its_bytes_is_not_compared_by_less_than() -> None:
    """The stored collation decides, as it did when the shape was made."""
    bytewise = replace(ITEMS, columns=tuple(replace(c, is_bytewise=True) for c in COLUMNS))
    where = parse_where("text < 'm'", TYPES)
    assert ShapeDefinition.build(bytewise, where=where).parsed_where() is not None
    with pytest.raises(WhereError):
        ShapeDefinition.build(ITEMS, where=where).parsed_where()


def test_a_clause_that_folds_case_is_not_evaluated_here_where_turkish_is_spoken() -> None:
    turkish = replace(ITEMS, columns=tuple(replace(c, lowers_ascii=False) for c in COLUMNS))
    where = parse_where("text ILIKE '%I%'", TYPES, locale=Locale(collation_is_c=False))
    assert ShapeDefinition.build(ITEMS, where=where).parsed_where() is not None
    stored = ShapeDefinition.from_json(ShapeDefinition.build(turkish, where=where).to_json())
    with pytest.raises(WhereError, match="locale"):
        stored.parsed_where()

"""PROTOCOL section 11: what a subset request may ask for, and what its answer looks like."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace

import pytest

from django_electric.postgres.relation import Column, Relation
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol import subset as module
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest, ShapeParams, ShapeRequest
from django_electric.protocol.subset import (
    parse_subset,
    refused_clause,
    subset_body,
    subset_headers,
)
from django_electric.shapes.offset import BEFORE_ALL, SNAPSHOT_END, LogOffset
from django_electric.shapes.snapshot_sql import Subset
from django_electric.where import SortKey

ID = Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4")
NAME = Column("name", 25, "text", evaluator_type="text", is_bytewise=False)
MOOD = Column("mood", 16385, "mood", evaluator_type="mood")
SUM = Column("sum", 23, "int4", is_generated=True, evaluator_type="int4")
ITEMS = Relation(16384, "public", "items", (ID, NAME, MOOD, SUM))
NEEDS_ORDER = "order_by is required when limit or offset is present"


def parsed(queryable: tuple[str, ...] | None = None, **members: object) -> Subset:
    return parse_subset(members, ITEMS, queryable)


def refusals(queryable: tuple[str, ...] | None = None, **members: object) -> object:
    """What stands under ``subset``."""
    with pytest.raises(InvalidRequest) as caught:
        parse_subset(members, ITEMS, queryable)
    assert list(caught.value.errors) == ["subset"]
    return caught.value.errors["subset"]


def where_of(**members: object) -> str | None:
    where = parsed(**members).where
    return where and where.sql


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


class TestMembers:
    def test_nothing_selects_everything(self) -> None:
        assert parsed() == Subset()

    @pytest.mark.parametrize("blank", ["", "  \t", None])
    def test_what_is_blank_is_absent(self, blank: str | None) -> None:
        members = dict.fromkeys(("where", "order_by", "limit", "offset", "params"), blank)
        assert parsed(**members) == Subset()

    def test_everything_at_once(self) -> None:
        subset = parsed(where="id > $1", params='{"1": 5}', order_by="name", limit="2", offset="0")
        assert subset.where is not None
        assert subset.where.sql == '"id" > 5'
        assert replace(subset, where=None) == Subset(None, (SortKey("name", "", ""),), 2, 0)

    def test_what_is_not_known_is_ignored(self) -> None:
        structured = {"type": "func", "name": "eq", "args": []}
        assert parsed(where_expr=structured, order_by_expr=[structured], colour="red") == Subset()

    @pytest.mark.parametrize("name", ["where", "order_by"])
    @pytest.mark.parametrize("value", [1, True, [], {}, "a\0b"])
    def test_a_clause_is_a_text(self, name: str, value: object) -> None:
        assert refusals(**{name: value}) == {name: ["is invalid"]}


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "number"),
        [("7", 7), (7, 7), ("007", 7), ("+7", 7), (str((1 << 63) - 1), (1 << 63) - 1)],
    )
    def test_limit(self, value: object, number: int) -> None:
        assert parsed(limit=value, order_by="id").limit == number

    @pytest.mark.parametrize("value", ["0", 0, "-0"])
    def test_offset_may_be_zero(self, value: object) -> None:
        assert parsed(offset=value, order_by="id").offset == 0

    @pytest.mark.parametrize(
        "value",
        ["abc", "1.5", 1.5, "1e3", " 7", "0x7", "٣", True, [], {}, str(1 << 63), 1 << 63, "9" * 5000],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["limit", "offset"])
    def test_what_is_no_number_is_invalid(self, name: str, value: object) -> None:
        assert refusals(**{name: value}, order_by="id") == {name: ["is invalid"]}

    @pytest.mark.parametrize("value", ["0", 0, "-5", -5, -(1 << 80)])
    def test_a_limit_is_positive(self, value: object) -> None:
        assert refusals(limit=value, order_by="id") == {"limit": ["must be greater than 0"]}

    @pytest.mark.parametrize("value", ["-1", -1])
    def test_an_offset_is_not_negative(self, value: object) -> None:
        expected = {"offset": ["must be greater than or equal to 0"]}
        assert refusals(offset=value, order_by="id") == expected

    @pytest.mark.parametrize("name", ["limit", "offset"])
    @pytest.mark.parametrize("order_by", [None, "", " "])
    def test_both_need_an_order(self, name: str, order_by: str | None) -> None:
        assert refusals(**{name: 1}, order_by=order_by) == {"order_by": [NEEDS_ORDER]}

    def test_errors_are_collected(self) -> None:
        assert refusals(limit=0, offset=-1, params="[") == {
            "limit": ["must be greater than 0"],
            "offset": ["must be greater than or equal to 0"],
            "order_by": [NEEDS_ORDER],
            "params": ["params must be valid JSON"],
        }

    def test_a_number_that_cannot_be_read_needs_no_order(self) -> None:
        assert refusals(limit="abc") == {"limit": ["is invalid"]}

    def test_an_order_that_cannot_be_read_is_not_missing(self) -> None:
        assert refusals(limit=1, order_by=7) == {"order_by": ["is invalid"]}


class TestParams:
    @pytest.mark.parametrize(
        "params",
        [
            {"1": "2"},
            {"1": 2},
            '{"1": "2"}',
            ' {"1": 2} ',
            {"1": "2", "2": "unused"},
        ],
    )
    def test_an_object_or_its_text(self, params: object) -> None:
        assert where_of(where="id = $1", params=params) == '"id" = 2'

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1.10", "1.10"),
            ("1e2", "1e2"),
            ("12345678901234567890", "12345678901234567890"),
            ("true", "true"),
        ],
    )
    def test_numbers_become_the_text_that_was_written(self, value: str, text: str) -> None:
        assert (
            where_of(where="name = $1", params=f'{{"1": {value}}}') == f"\"name\" = '{text}'::text"
        )

    @pytest.mark.parametrize(("value", "text"), [(7, "7"), (1.5, "1.5"), (False, "false")])
    def test_members_of_a_body_become_text(self, value: object, text: str) -> None:
        assert where_of(where="name = $1", params={"1": value}) == f"\"name\" = '{text}'::text"

    @pytest.mark.parametrize("params", ["{", "x", "{'1': 2}", '{"1": NaN}', "[" * 100_000])
    def test_what_is_no_json(self, params: str) -> None:
        assert refusals(params=params) == {"params": ["params must be valid JSON"]}

    @pytest.mark.parametrize("params", ["[1]", '"a"', "5", "true", [1], 5, True])
    def test_what_is_no_object(self, params: object) -> None:
        assert refusals(params=params) == {"params": ["params must be a JSON object"]}

    @pytest.mark.parametrize("value", [None, [], {}, "a\0b"])
    def test_what_is_no_text_or_number(self, value: object) -> None:
        assert refusals(params={"1": value}) == {"params": ["is invalid"]}

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"a": "1"}, "Parameters can only use numbers as keys"),
            ({"2": "1"}, "Parameters must be numbered sequentially, starting from 1"),
        ],
    )
    def test_numbering(self, params: object, message: str) -> None:
        assert refusals(where="id = $1", params=params) == {"params": [message]}

    def test_without_a_condition_numbering_does_not_matter(self) -> None:
        assert parsed(params={"a": "1"}) == Subset()

    def test_a_parameter_is_a_value_whatever_it_holds(self) -> None:
        evil = "x' OR true --"
        assert (
            where_of(where="name = $1", params={"1": evil}) == "\"name\" = 'x'' OR true --'::text"
        )


class TestWhere:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nope = 1", "At location 0: unknown reference nope"),
            ("id = 'x'", "At location 5: invalid syntax for type int4: x"),
            ("id = $1", "At location 5: parameter $1 was not provided"),
            ("id = 1; DROP TABLE x", 'unescaped ";" causing statement split'),
            ("id", "WHERE clause must return a boolean"),
            ("id = = 1", 'At location 20: syntax error at or near "="'),
            ("id IN (SELECT id FROM items)", "Subqueries are not allowed in subsets"),
            ("name = f(name)", "At location 7: unknown or unsupported function f/1"),
        ],
    )
    def test_errors_are_those_of_a_shape(self, text: str, message: str) -> None:
        assert refusals(where=text) == {"where": [message]}

    def test_an_enum_may_be_compared(self) -> None:
        assert where_of(where="mood = $1", params={"1": "it's"}) == "\"mood\" = 'it''s'"

    def test_text_may_be_ordered_by_the_column_s_collation(self) -> None:
        assert where_of(where="name > 'b'") == "\"name\" > 'b'::text"

    def test_generated_columns_are_columns(self) -> None:
        assert where_of(where="sum = 1") == '"sum" = 1'


class TestOrderBy:
    def test_columns_with_directions(self) -> None:
        keys = parsed(order_by='Name DESC, "id" ASC NULLS FIRST, mood NULLS LAST').order_by
        assert keys == (
            SortKey("name", "DESC", ""),
            SortKey("id", "ASC", "FIRST"),
            SortKey("mood", "", "LAST"),
        )

    def test_constants_are_tolerated(self) -> None:
        subset = parsed(order_by="1, id, 'x'", limit=5)
        assert (subset.order_by, subset.limit) == ((SortKey("id", "", ""),), 5)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("pg_sleep(5)", "At location 0: FuncCall expressions are not allowed in ORDER BY clauses"),
            ("id, nope", "At location 4: unknown reference nope"),
            ("id DESC, $1", "At location 9: parameter $1 is not supported in ORDER BY clauses"),
            ("id; DROP TABLE x", "Unexpected `;` in order by"),
        ],
    )  # fmt: skip
    def test_errors(self, text: str, message: str) -> None:
        assert refusals(order_by=text) == {"order_by": [message]}

    def test_both_clauses_are_looked_at(self) -> None:
        assert refusals(where="nope = 1", order_by="id + 1") == {
            "where": ["At location 0: unknown reference nope"],
            "order_by": [
                "At location 3: A_Expr expressions are not allowed in ORDER BY clauses"
            ],
        }  # fmt: skip


class TestQueryableColumns:
    @pytest.mark.parametrize("name", ["where", "order_by"])
    def test_only_they_may_be_named(self, name: str) -> None:
        clause = "name IS NULL" if name == "where" else "name"
        expected = {name: ["At location 0: unknown reference name"]}
        assert refusals(("id",), **{name: clause}) == expected
        assert parsed(("id", "name"), **{name: clause}) != Subset()


BAD_LABEL = 'invalid input value for enum mood: "x"'
NO_ORDER = "could not identify an ordering operator for type json"


@pytest.mark.parametrize(
    ("members", "has_condition", "message", "errors"),
    [
        ({"where": "mood = 'x'"}, False, BAD_LABEL, {"subset": {"where": BAD_LABEL}}),
        ({"where": "mood = 'x'"}, True, BAD_LABEL, {"subset": {"where": BAD_LABEL}}),
        ({"order_by": "id"}, False, NO_ORDER, {"subset": {"order_by": NO_ORDER}}),
        ({"order_by": "id"}, True, NO_ORDER, {"subset": {"order_by": NO_ORDER}}),
        ({"where": "id = 1", "order_by": "id"}, True, NO_ORDER, {"subset": {"order_by": NO_ORDER}}),
        ({"order_by": "id"}, True, BAD_LABEL, {"where": [BAD_LABEL]}),
        ({}, True, BAD_LABEL, {"where": [BAD_LABEL]}),
        ({}, False, BAD_LABEL, None),
    ],
)
def test_what_postgres_refused_is_said_of_the_clause_that_it_can_be_of(
    members: dict[str, str], has_condition: bool, message: str, errors: object
) -> None:
    """Of a subset's clause without a list."""
    refusal = refused_clause(parsed(**members), message, has_condition=has_condition)
    assert (refusal and refusal.errors) == errors


# --- The answer -----------------------------------------------------------------------------------


REQUEST = ShapeRequest(ShapeParams(TableName("public", "items")), BEFORE_ALL)
HERE = LogOffset(500, 2)


def test_headers() -> None:
    assert subset_headers(REQUEST, "1-2", HERE, "{}") == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-cache",
        "electric-handle": "1-2",
        "electric-offset": "0_0",
        "electric-snapshot": "true",
        "electric-schema": "{}",
    }


def test_a_live_request_gets_no_schema() -> None:
    assert "electric-schema" not in subset_headers(REQUEST, "1-2", HERE, None)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (BEFORE_ALL, "0_0"),
        (None, "500_2"),
        (LogOffset(0, 0), "0_0"),
        (SNAPSHOT_END, "0_inf"),
        (LogOffset(400, 1), "400_1"),
    ],
)
def test_a_client_that_goes_on_from_the_answer_s_offset_misses_nothing(
    asked: LogOffset | None, answered: str
) -> None:
    headers = subset_headers(replace(REQUEST, offset=asked), "1-2", HERE, None)
    assert headers["electric-offset"] == answered


SNAPSHOT = PgSnapshot(740, 745, frozenset([743, 741]), 26741384)


def test_metadata_are_texts_but_for_the_mark() -> None:
    body = json.loads(subset_body(SNAPSHOT, 1804289383, []))
    assert body == {
        "metadata": {
            "xmin": "740",
            "xmax": "745",
            "xip_list": ["741", "743"],
            "database_lsn": "26741384",
            "snapshot_mark": 1804289383,
        },
        "data": [],
    }


def test_entries_become_an_array() -> None:
    entries = [b',{"key":"a"}\n', b',{"key":"b"}\n']
    assert json.loads(subset_body(SNAPSHOT, 1, entries))["data"] == [{"key": "a"}, {"key": "b"}]

"""A condition within another: the inner one never speaks of a row that the outer one keeps out."""

from __future__ import annotations

import doctest

import pytest

from django_electric.where import (
    Analysis,
    EvaluationError,
    Locale,
    Scope,
    Subqueries,
    Subselected,
    Where,
    WhereError,
    delegated_where,
    parse_where,
)
from django_electric.where import narrowing as module
from django_electric.where.narrowing import narrowed, never_fails

TYPES = {"id": "int4", "owner": "int4", "title": "text", "data": "jsonb", "done": "bool"}
POSITIONS = {name: at for at, name in enumerate(TYPES)}
LOCALE = Locale()


def where(text: str) -> Where:
    return parse_where(text, TYPES)


def asked_of_postgres(text: str, *columns: str) -> Where:
    return delegated_where(Analysis(text, columns), TYPES, LOCALE)


def within(outer: Where, inner: Where) -> Where:
    return narrowed(outer, inner, TYPES, LOCALE)


def row(**values: str) -> tuple[str | None, ...]:
    return tuple(values.get(name) for name in TYPES)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


def test_beside_subqueries_only_what_never_fails() -> None:
    found = Subselected("SELECT 1", ("int4",))
    subqueries = Subqueries(Scope(frozenset()), lambda _: found)
    outer = parse_where("owner IN (SELECT id FROM t)", TYPES, subqueries=subqueries)
    both = within(outer, where("done OR id > 5"))
    assert both.sql == '("owner" IN (SELECT 1)) AND ("done" OR ("id" > 5))'
    assert (both.subselects, both.columns) == (("SELECT 1",), {"owner", "done", "id"})
    for inner in (where("1 / id = 2"), asked_of_postgres("f(title)", "title")):
        with pytest.raises(WhereError, match="cannot stand beside a subquery"):
            within(outer, inner)


def test_both_must_be_met() -> None:
    both = within(where("owner = 1 OR owner = 2"), where("done OR id > 5"))
    matches = both.compile(POSITIONS)
    assert both.columns == {"owner", "done", "id"}
    assert matches(row(owner="1", done="t", id="1")) is True
    assert matches(row(owner="3", done="t", id="9")) is not True
    assert matches(row(owner="2", done="f", id="1")) is not True


@pytest.mark.parametrize(
    "inner", ["id = 5", "10 / id = 2", "title::int4 = 7 OR done", "false", "true"]
)
def test_the_text_is_read_back_as_the_same_condition(inner: str) -> None:
    both = within(where("owner = 1 OR done"), where(inner))
    assert parse_where(both.sql, TYPES).sql == both.sql


class TestWhatCanFail:
    @pytest.mark.parametrize(
        "text",
        [
            "id = 1 AND NOT (title = 'a' OR done)",
            "id IN (1, 2) AND title LIKE 'a%'",
            "data IS NULL",
            "title IS DISTINCT FROM 'x'",
        ],
    )
    def test_comparisons_never_fail(self, text: str) -> None:
        assert never_fails(where(text))

    @pytest.mark.parametrize("text", ["1 / id = 1", "title::int4 = 1", "NOT (id + id > 3)"])
    def test_arithmetic_and_casts_may(self, text: str) -> None:
        assert not never_fails(where(text))

    def test_operators_of_types_that_only_postgres_knows_may(self) -> None:
        unknown = parse_where("c = 'x'", {"c": "citext"}, by_postgres=True)
        assert not never_fails(unknown)

    def test_what_only_postgres_evaluates_may(self) -> None:
        assert not never_fails(asked_of_postgres("(id = 1)", "id"))


class TestWhatMayFailIsAskedOnlyWithin:
    def test_a_failure_outside_is_not_one(self) -> None:
        matches = within(where("owner = 1"), where("10 / id = 2")).compile(POSITIONS)
        assert matches(row(owner="2", id="0")) is not True
        assert matches(row(owner="1", id="5")) is True
        with pytest.raises(EvaluationError):
            matches(row(owner="1", id="0"))

    def test_in_postgres_case_keeps_the_order(self) -> None:
        both = within(where("owner = 1"), where("10 / id = 2"))
        assert both.sql == (
            '("owner" = 1) AND CASE WHEN "owner" = 1 THEN (10 / "id") = 2 ELSE false END'
        )

    def test_the_outer_condition_is_still_looked_up_by_its_index(self) -> None:
        lookups = within(where("owner = 1"), where("10 / id = 2")).lookups()
        assert lookups is not None
        assert [lookup.column for lookup in lookups] == ["owner"]

    def test_an_inner_condition_of_postgres(self) -> None:
        both = within(
            where("owner = 1"), asked_of_postgres("(soundex(title) = 'a'::text)", "title")
        )
        assert both.is_delegated
        assert both.columns == {"owner", "title"}
        assert both.sql == (
            '("owner" = 1) AND CASE WHEN ("owner" = 1)'
            " THEN ((soundex(title) = 'a'::text)) ELSE false END"
        )
        assert both.compile(POSITIONS)(row(owner="2", title="x")) is False

    def test_an_outer_condition_of_postgres(self) -> None:
        both = within(asked_of_postgres("(soundex(title) = 'a'::text)", "title"), where("id = 1"))
        assert both.sql == "((soundex(title) = 'a'::text)) AND (\"id\" = 1)"
        assert both.compile(POSITIONS)(row(id="2", title="x")) is False

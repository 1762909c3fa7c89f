"""The text of the query for a shape's rows; what it brings is compared with the stream in tests/replication."""

from __future__ import annotations

import pytest

from django_electric.shapes.snapshot_sql import (
    Subset,
    copy_statement,
    entry_expression,
    subset_statement,
)
from django_electric.where import SortKey, parse_where
from tests.shapes.world import ITEMS, define, table

TYPES = {"id": "int4", "text": "text", "done": "bool"}


def clauses(subset: Subset, where: str | None = None) -> str:
    """What follows the table in the subset's query."""
    statement = subset_statement(define(where=where), "h", subset, 7)
    return statement.partition(' FROM ONLY "public"."items"')[2].partition(") TO STDOUT")[0]


def test_the_condition_stands_in_the_query() -> None:
    assert copy_statement(define(where="id = 1"), "h").count(' WHERE ("id" = 1)') == 1
    assert "WHERE" not in copy_statement(define(), "h")


def test_names_cannot_break_out_of_the_query() -> None:
    evil = table(
        {'i"d': "int4", "x'; DROP TABLE y; --": "text"}, ['i"d'], name='t"; --', schema="s'"
    )
    statement = subset_statement(define(evil), "h", Subset(order_by=(SortKey('i"d', "", ""),)), 7)
    assert '"s\'"."t""; --"' in statement
    assert 'ORDER BY "t""; --"."i""d")' in statement
    assert "x''; DROP TABLE y; --" in statement
    assert entry_expression(define(ITEMS)).startswith("concat(")


def test_only_the_rows_of_a_subset_bear_its_mark() -> None:
    assert ',"snapshot_mark":7}}' in subset_statement(define(), "h", Subset(), 7)
    assert "snapshot_mark" not in copy_statement(define(), "h")


def test_a_subset_without_members_is_the_whole_shape() -> None:
    assert clauses(Subset()) == ""
    assert clauses(Subset(), "id = 1") == ' WHERE ("id" = 1)'


def test_both_conditions_are_in_parentheses() -> None:
    subset = Subset(parse_where("id = 3 OR done", TYPES))
    assert clauses(subset) == ' WHERE (("id" = 3) OR "done")'
    assert (
        clauses(subset, "id = 1 OR id = 2 OR text = 'x'")
        == ' WHERE (("id" IN (1, 2)) OR ("text" = \'x\'::text)) AND (("id" = 3) OR "done")'
    )


def test_a_subset_that_may_fail_is_asked_only_of_rows_of_the_shape() -> None:
    subset = Subset(parse_where("10 / id = 2", TYPES))
    assert clauses(subset) == ' WHERE ((10 / "id") = 2)'
    assert (
        clauses(subset, "done")
        == ' WHERE ("done") AND CASE WHEN ("done") THEN ((10 / "id") = 2) ELSE false END'
    )


@pytest.mark.parametrize(
    ("subset", "text"),
    [
        (Subset(order_by=(SortKey("id", "", ""),)), ' ORDER BY "items"."id"'),
        (
            Subset(order_by=(SortKey("id", "DESC", "LAST"), SortKey("text", "", "FIRST"))),
            ' ORDER BY "items"."id" DESC NULLS LAST, "items"."text" NULLS FIRST',
        ),
        (
            Subset(order_by=(SortKey("id", "ASC", ""),), limit=2, offset=0),
            ' ORDER BY "items"."id" ASC LIMIT 2 OFFSET 0',
        ),
        (Subset(limit=2), " LIMIT 2"),
    ],
)
def test_order_limit_and_offset(subset: Subset, text: str) -> None:
    assert clauses(subset) == text

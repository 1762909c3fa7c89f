"""Explanations say which road the router takes, in the words of the condition."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from django_electric.shapes.explanation import Road, explain, explain_definition
from django_electric.where import DelegatedWhere, Lookup, Where, parse_where
from django_electric.where.lookups import Holds
from tests.shapes.world import ITEMS, define

TYPES = {c.name: c.evaluator_type for c in ITEMS.columns} | {"n": "numeric"}


@pytest.mark.parametrize(
    ("clause", "road", "indexes"),
    [
        ("id = 7", "index", [("\"id\" equals '7'", "")]),
        ("n = 1.50", "index", [('"n" equals 1.50', "")]),
        ("id = 7 AND text <> 'a'", "index", [("\"id\" equals '7'", "\"text\" <> 'a'::text")]),
        ("id > 1 AND id <= 9", "index", [('"id" lies in a range from 1 (without it) to 9', "")]),
        ("id >= 1", "index", [('"id" lies in a range from 1', "")]),
        ("id < 9", "index", [('"id" lies in a range to 9 (without it)', "")]),
        ("text LIKE 'ab%'", "index", [("\"text\" begins with 'ab'", "")]),
        ("text ILIKE '%Ab%'", "index", [("\"text\" contains 'ab', in upper or lower case", "")]),
        ("text IS NULL OR done", "index", [('"text" is NULL', ""), ("\"done\" equals 't'", "")]),
        ("text IS NOT NULL", "index", [('"text" is not NULL', "")]),
        ("id <> 7", "evaluation", []),
        ("id = 1.5", "no row", []),
    ],
)
def test_what_is_looked_up_and_what_is_left(
    clause: str, road: Road, indexes: list[tuple[str, str]]
) -> None:
    where = parse_where(clause, TYPES)
    found = explain(where)
    assert (found.road, [(one.index, one.then) for one in found.indexes]) == (road, indexes)
    assert found.where == where.sql
    assert not found.is_delegated
    assert json.loads(json.dumps(found.to_json()))["road"] == road
    assert all(one.index in str(found) and one.then in str(found) for one in found.indexes)


def test_a_whole_table_needs_no_look() -> None:
    assert explain(None).road == "every row"
    assert "the whole table" in str(explain(None))


def test_what_postgres_evaluates_may_have_an_index_in_front() -> None:
    for clause, road in (("id = 7", "index"), ("id <> 7", "evaluation")):
        tree = parse_where(clause, TYPES).tree
        found = explain(DelegatedWhere(tree, "whatever()", frozenset(("id",))))
        assert (found.road, found.is_delegated) == (road, True)
        assert "delegated" in str(found)


def test_subqueries_are_kept_in_memory() -> None:
    inner = replace(define(where="id = 7"), columns=("id",))
    condition = f'("id" IN ({inner.subselect})) AND "done"'
    found = explain_definition(replace(define(), where=condition, dependencies=(inner,)))
    assert found.road == "subqueries"
    (read,) = found.subqueries
    assert (read.table, read.columns, read.how.road) == ('"public"."items"', ("id",), "index")
    for said in ('kept in the worker\'s memory: "id" of "public"."items"', "\"id\" equals '7'"):
        assert said in str(found)
    assert json.loads(json.dumps(found.to_json()))["subqueries"][0]["columns"] == ["id"]
    assert explain_definition(inner) == explain(inner.parsed_where())


def test_elements_of_arrays_are_named() -> None:
    class Held(Where):
        def lookups(self) -> tuple[Lookup, ...]:
            return (
                Lookup("tags", Holds("text", frozenset(("b", "a")))),
                Lookup("tags", Holds("text", frozenset())),
            )

    tree = parse_where("done", TYPES).tree
    found = explain(Held(tree, "", frozenset()))
    assert [one.index for one in found.indexes] == [
        "\"tags\" holds 'a', 'b'",
        '"tags" holds anything',
    ]

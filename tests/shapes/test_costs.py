"""Costs: what conditions cost is measured on some of the rows, shape by shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.costs import EVERY, MOST_AT_ONCE, SLOW_NS, Cost, Costs, read_costs
from django_electric.shapes.router import Router
from tests.shapes.world import ITEMS, Oracle, define, shape


def ticking() -> Callable[[], int]:
    """A clock that goes 7 ns between any two looks."""
    ticks = count(0, 7)
    return lambda: next(ticks)


def measured(costs: Costs) -> dict[str, Cost]:
    return read_costs(json.loads(json.dumps(costs.to_json())))


def routed(costs: Costs, *wheres: str | None) -> Router:
    router = Router(costs=costs)
    for number, where in enumerate(wheres):
        router.add(shape(define(where=where), f"h{number}"))
    return router


def send(router: Router, row: Row, times: int) -> None:
    table = router.tables[ITEMS.oid]
    for _ in range(times):
        table.matches(row)


def test_one_row_of_many_is_measured_for_what_is_evaluated() -> None:
    costs = Costs(ticking())
    router = routed(costs, None, "id = 7", "id = 7 AND done", "id <> 9", "id <> 8")
    send(router, ("7", "a", "t"), EVERY * 2)
    assert {handle: (cost.rows, cost.mean_ns) for handle, cost in measured(costs).items()} == {
        "h2": (2, 7), "h3": (2, 7), "h4": (2, 7),
    }  # fmt: skip


def test_measuring_changes_no_answer_and_survives_what_fails() -> None:
    costs = Costs(ticking())
    router = routed(costs, "text <> 'a' AND id > 3", "id <> 9", "text ILIKE '%a%' AND id <> 3")
    rows: list[Row] = [("7", "b", "t"), ("x", "\u212a", "t"), ("9", None, None)]
    plain = Router()
    for one in router.tables[ITEMS.oid].shapes.values():
        plain.add(one)
    for row in rows:
        for _ in range(EVERY + 1):
            expected = plain.tables[ITEMS.oid].matches(row)
            assert router.tables[ITEMS.oid].matches(row) == expected


def test_of_many_shapes_some_are_measured_at_once_and_all_have_their_turn() -> None:
    costs = Costs(ticking())
    router = routed(costs, *(f"id <> {number}" for number in range(2 * MOST_AT_ONCE)))
    send(router, ("7", "a", "t"), EVERY)
    assert len(measured(costs)) == MOST_AT_ONCE
    send(router, ("7", "a", "t"), EVERY)
    assert len(measured(costs)) == 2 * MOST_AT_ONCE


def test_what_is_asked_of_postgres_is_not_measured_here() -> None:
    costs = Costs(ticking())
    router = Router(costs=costs)
    router.add(Oracle().delegate(shape(define(where="id = 7"))))
    send(router, ("7", "a", "t"), EVERY)
    assert measured(costs) == {}


def test_a_slow_condition_is_named_until_its_shape_is_gone() -> None:
    costs = Costs(ticking())
    costs.add("quick", SLOW_NS - 1)
    costs.add("hiccup", SLOW_NS * 9)
    costs.add("slow", SLOW_NS * 3, 3, is_delegated=True)
    assert [handle for handle, _ in costs.slow()] == ["slow"]
    assert str(measured(costs)["slow"]) == "100.0 µs a row, asked of Postgres"
    assert list(costs.to_json(most=1)) == ["hiccup"]
    costs.forget("slow")
    costs.forget("never there")
    assert costs.slow() == []


def test_what_cannot_be_read_is_nothing() -> None:
    for value in (None, [], {"h": 1}, {"h": {"days": 1}}):
        assert read_costs(value) == {}

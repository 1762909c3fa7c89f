"""Router: the shapes that a row belongs to are those whose condition is true of it, neither more nor fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router, TableRoutes
from django_electric.where import Analysis, EvaluationError, Locale, delegated_where
from tests.shapes.world import (
    ITEMS,
    Failing,
    accepted,
    belongs,
    clauses,
    define,
    described,
    item_rows,
    shape,
    table,
    with_column,
)

LAYOUT = ("id", "text", "done")


def matching(router: Router, row: Row, oid: int = ITEMS.oid) -> list[str]:
    """Handles of the shapes that *row* belongs to."""
    return sorted(s.handle for s in router.tables[oid].matches(row))


def routed(*definitions: ShapeDefinition) -> tuple[Router, list[RoutedShape]]:
    router = Router()
    shapes = [shape(d, f"h{n}") for n, d in enumerate(definitions)]
    for one in shapes:
        router.add(one)
    return router, shapes


# -- against the model -----------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.none() | clauses.filter(accepted), min_size=1, max_size=8),
    st.lists(item_rows, min_size=1, max_size=12),
    st.data(),
)
def test_the_router_equals_the_evaluation_of_every_condition_on_every_row(
    wheres: list[str | None], rows: list[Row], data: st.DataObject
) -> None:
    definitions = [define(where=where) for where in wheres]
    router, shapes = routed(*definitions)
    present = dict(zip(shapes, definitions, strict=True))
    removals = data.draw(st.lists(st.sampled_from(shapes), max_size=3))
    for gone in [None, *removals]:
        if gone is not None:
            router.remove(gone)
            present.pop(gone, None)
        if not present:
            assert ITEMS.oid not in router.tables
            break
        for row in rows:
            expected = sorted(s.handle for s, d in present.items() if belongs(d, LAYOUT, row))
            assert matching(router, row) == expected, row


def test_a_shape_that_one_key_finds_for_two_reasons_is_found_for_each_of_them() -> None:
    router, _ = routed(define(where="(text = 'x' AND id < 5) OR (text = 'x' AND done)"))
    rows = [("1", "x", "f"), ("9", "x", "t"), ("9", "x", "f"), ("1", "y", "t")]
    assert [matching(router, row) for row in rows] == [["h0"], ["h0"], [], []]


TAGGED = table({"id": "int4", "xs": "int4[]"})
_ARRAYS = st.lists(st.none() | st.integers(0, 4), max_size=4).map(
    lambda xs: "{" + ",".join("NULL" if x is None else str(x) for x in xs) + "}"
)
_ON_ARRAYS = st.one_of(
    st.tuples(st.sampled_from(["@>", "&&", "<@", "="]), _ARRAYS).map(lambda two: f"xs {two[0]} '{two[1]}'"),
    _ARRAYS.map("'{}' <@ xs".format),
    st.integers(0, 4).map("{} = ANY (xs)".format),
    st.tuples(st.integers(0, 4), _ARRAYS).map(lambda two: f"id = {two[0]} AND xs @> '{two[1]}'"),
    st.tuples(st.integers(0, 4), _ARRAYS).map(lambda two: f"NOT (xs && '{two[1]}') OR id > {two[0]}"),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_ON_ARRAYS, min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 4).map(str), st.none() | _ARRAYS), min_size=1, max_size=8),
)
def test_conditions_on_arrays_are_routed_as_they_are_evaluated(
    wheres: list[str], rows: list[Row]
) -> None:
    definitions = [define(TAGGED, where=where) for where in wheres]
    router, _ = routed(*definitions)
    for row in rows:
        expected = sorted(
            f"h{n}" for n, one in enumerate(definitions) if belongs(one, ("id", "xs"), row)
        )
        assert matching(router, row) == expected, row


class Broken:
    """An index that fails on some rows."""

    def __init__(self, index: Any, fails: Callable[[], bool]) -> None:
        self._index, self._fails = index, fails

    def find(self, text: str | None) -> Any:
        if self._fails():
            raise KeyError("a mistake in an index")
        return self._index.find(text)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.none() | clauses.filter(accepted), min_size=1, max_size=8),
    st.lists(item_rows, min_size=1, max_size=12),
    st.data(),
)
def test_an_index_that_fails_makes_candidates_of_all_its_shapes_and_loses_none(
    wheres: list[str | None], rows: list[Row], data: st.DataObject
) -> None:
    definitions = [define(where=where) for where in wheres]
    router, _ = routed(*definitions)
    routes = router.tables[ITEMS.oid]
    routes._single = None  # the short cut around the indexes
    routes._looked = [
        (at, Broken(index, lambda: data.draw(st.booleans())))  # type: ignore[misc]  # as the router uses one
        for at, index in routes._looked
    ]
    for row in rows:
        expected = sorted(f"h{n}" for n, one in enumerate(definitions) if belongs(one, LAYOUT, row))
        assert sorted(set(matching(router, row))) == expected, row
        assert routes.failed == {}


# -- by hand -----------------------------------------------------------------------------------------


def test_a_shape_that_many_conditions_lead_to_is_found_once() -> None:
    router, _ = routed(define(where="id = 1 OR text = 'a' OR id IN (1, 2)"), define(where="id = 1"))
    assert matching(router, ("1", "a", "t")) == ["h0", "h1"]
    assert matching(router, ("2", "a", "t")) == ["h0"]
    assert matching(router, ("3", "b", "t")) == []


def test_what_the_caller_holds_does_not_change_when_a_shape_goes() -> None:
    router, shapes = routed(define(where="id = 1"), define(where="id = 1 AND true"))
    found = router.tables[ITEMS.oid].matches(("1", None, None))
    before = list(found)
    router.remove(shapes[0])
    assert list(found) == before


def test_removing_a_shape_twice_or_one_that_was_never_there_is_harmless() -> None:
    router, shapes = routed(define(where="id = 1"), define())
    router.remove(shapes[0])
    router.remove(shapes[0])
    router.remove(shape(define(where="id = 9"), "stranger"))
    assert matching(router, ("1", None, None)) == ["h1"]


def test_a_table_routes_nothing_of_a_shape_that_it_does_not_have() -> None:
    routes = TableRoutes(LAYOUT)
    for where in (None, "id = 1", "id = 1 AND done", "id > 1"):
        routes.remove(shape(define(where=where), "stranger"))
    assert not routes
    assert routes.matches(("1", None, None)) == []


@pytest.mark.parametrize("where", [None, "id = 1", "id = 1 AND done", "id > 1", "id = 1 OR done"])
def test_the_last_shape_takes_its_table_along(where: str | None) -> None:
    router, (one,) = routed(define(where=where))
    router.remove(one)
    assert router.tables == {}


def test_conditions_that_all_share_one_look_up_are_found_by_another() -> None:
    """A tenant's ten thousand searches are not evaluated one by one."""
    wheres = [f"id = 7 AND text LIKE '%word{n:04d}%'" for n in range(300)]
    router, shapes = routed(*(define(where=where) for where in wheres))
    routes = router.tables[ITEMS.oid]
    assert matching(router, ("7", "a word0123 of", None)) == ["h123"]
    assert matching(router, ("8", "a word0123 of", None)) == []
    crowds = [len(bucket.rest or ()) for _, index in routes._looked for bucket in index]
    assert crowds == [1] * 300, "those that came first are found by the other, too"
    for one in shapes:
        router.remove(one)
        assert bool(routes._elsewhere) == bool(routes.shapes)
    assert router.tables == {}


def test_a_few_conditions_that_share_a_look_up_stay_there() -> None:
    router, _ = routed(*(define(where=f"id = 7 AND text LIKE '%word{n}%'") for n in range(4)))
    assert [len(index) for _, index in router.tables[ITEMS.oid]._looked] == [1]


def test_those_that_can_be_found_by_nothing_else_stay_in_the_crowd() -> None:
    router, shapes = routed(*(define(where=f"id = 7 AND length(text) = {n}") for n in range(9)))
    assert matching(router, ("7", "abc", None)) == ["h3"]
    router.remove(shapes[3])
    assert matching(router, ("7", "abc", None)) == []


def test_a_condition_of_postgres_is_found_by_the_part_that_an_index_knows() -> None:
    one = shape(define(), "one")
    analysis = Analysis("((id = 7) AND (soundex(text) = 'A'::text))", ("id", "text"))
    one.where = delegated_where(analysis, {"id": "int4", "text": "text"}, Locale())
    router = Router()
    router.add(one)
    routes = router.tables[ITEMS.oid]
    assert [index.get("7") is not None for _, index in routes._looked] == [True]
    assert (matching(router, ("8", "a", None)), routes.take_undecided()) == ([], ())
    assert (matching(router, ("7", "a", None)), routes.take_undecided()) == ([], [one])
    router.remove(one)
    assert router.tables == {}


def test_one_of_two_shapes_with_the_same_look_up_stays() -> None:
    for where in ("id = 1", "id = 1 AND done", "id = 1 OR id = 2"):
        router, shapes = routed(define(where=where), define(where=where, replica="full"))
        router.remove(shapes[0])
        assert matching(router, ("1", None, "t")) == ["h1"]


def let_evaluation_fail(router: Router, one: RoutedShape, error: Exception) -> None:
    router.remove(one)
    one.where = Failing(error)  # type: ignore[assignment]  # all that the router needs of one
    router.add(one)


def test_a_condition_that_fails_as_postgres_would_fail_does_not_match_and_marks_nothing() -> None:
    router, shapes = routed(define(where="id > 1"), define(where="id > 1 AND done"))
    let_evaluation_fail(router, shapes[0], EvaluationError())
    assert matching(router, ("2", None, "t")) == ["h1"]
    assert router.tables[ITEMS.oid].failed == {}


def test_a_condition_that_fails_by_our_mistake_marks_its_shape_and_no_other() -> None:
    router, shapes = routed(define(where="id > 1"), define(where="id > 1 AND done"))
    let_evaluation_fail(router, shapes[0], KeyError("a mistake"))
    assert matching(router, ("2", None, "t")) == ["h1"]
    assert router.tables[ITEMS.oid].failed == {"h0": shapes[0]}
    router.remove(shapes[0])
    assert router.tables[ITEMS.oid].failed == {}


# -- layouts -----------------------------------------------------------------------------------------


def test_rows_are_read_by_the_layout_that_the_stream_describes() -> None:
    turned = replace(ITEMS, columns=tuple(reversed(ITEMS.columns)))
    router, shapes = routed(define(where="id = 1"), define(where="text = 'a'"))
    router.describe(described(turned))
    assert matching(router, ("t", "a", "1")) == ["h0", "h1"]
    late = shape(define(where="done"), "late")
    router.add(late)
    assert matching(router, ("t", "b", "2")) == ["late"]
    view = router.tables[ITEMS.oid].views[shapes[0].handle]
    assert view.insert(("t", "a", "1")) == '"value":{"done":"true","text":"a","id":"1"}'


def test_describing_a_table_without_shapes_or_as_it_was_changes_nothing() -> None:
    router, _ = routed(define())
    other = table({"id": "int4"}, oid=77, name="other")
    router.describe(described(other))
    assert set(router.tables) == {ITEMS.oid}
    routes = router.tables[ITEMS.oid]
    router.describe(described(ITEMS))
    assert router.tables[ITEMS.oid] is routes


WIDER = with_column(ITEMS, "added")


def test_shapes_that_a_new_layout_does_not_fit_are_suspended_and_the_others_go_on() -> None:
    router, shapes = routed(define(), define(columns=("id", "done"), where="done"))
    router.describe(described(WIDER))
    routes = router.tables[ITEMS.oid]
    assert set(routes.suspended) == {"h0"}
    assert matching(router, ("1", "a", "t", "?")) == ["h1"]
    assert dict(router.shapes_of(ITEMS.oid)) == {"h0": shapes[0], "h1": shapes[1]}
    router.describe(described(WIDER))
    assert set(router.tables[ITEMS.oid].suspended) == {"h0"}


def test_a_shape_that_fits_again_is_no_longer_suspended() -> None:
    router, _ = routed(define(), define(columns=("id", "done")))
    router.describe(described(WIDER))
    router.describe(described(ITEMS))
    assert router.tables[ITEMS.oid].suspended == {}
    assert matching(router, ("1", "a", "t")) == ["h0", "h1"]


def test_a_suspended_shape_can_be_removed_and_takes_its_table_along() -> None:
    router, (one,) = routed(define())
    router.describe(described(WIDER))
    assert router.tables[ITEMS.oid]
    router.remove(one)
    assert router.tables == {}
    assert list(router.shapes_of(ITEMS.oid)) == []


def test_a_shape_made_after_the_change_is_routed_and_one_made_before_is_not() -> None:
    router, _ = routed(define())
    router.describe(described(WIDER))
    router.add(shape(define(WIDER), "new"))
    assert matching(router, ("1", "a", "t", "?")) == ["new"]
    assert set(router.tables[ITEMS.oid].suspended) == {"h0"}


def test_two_shapes_that_remember_the_table_differently_before_the_stream_names_it() -> None:
    """Which of them is right is known with the first description."""
    router, _ = routed(define(), define(WIDER))
    assert set(router.tables[ITEMS.oid].suspended) == {"h1"}
    router.describe(described(WIDER))
    assert set(router.tables[ITEMS.oid].suspended) == {"h0"}
    assert matching(router, ("1", "a", "t", "?")) == ["h1"]


def test_shapes_with_the_same_view_share_it() -> None:
    router, _ = routed(define(where="id = 1"), define(where="id = 2"), define(replica="full"))
    views = router.tables[ITEMS.oid].views
    assert views["h0"] is views["h1"]
    assert views["h2"] is not views["h0"]


# -- partitions ----------------------------------------------------------------------------------------

ROOT = replace(ITEMS, is_partitioned=True)
LEAF = replace(ITEMS, oid=501, name="items_1")


def test_rows_of_partitions_belong_to_the_shapes_of_the_root() -> None:
    router = Router()
    of_root, of_leaf = shape(define(ROOT), "root"), shape(define(LEAF), "leaf")
    router.add(of_root, [LEAF.oid, 502])
    router.add(of_leaf)
    assert matching(router, ("1", "a", "t"), LEAF.oid) == ["leaf", "root"]
    assert matching(router, ("1", "a", "t"), 502) == ["root"]
    router.remove(of_root)
    assert set(router.tables) == {LEAF.oid}


def test_a_partition_named_twice_is_one() -> None:
    router = Router()
    of_root = shape(define(ROOT), "root")
    router.add(of_root, [LEAF.oid, LEAF.oid])
    assert matching(router, ("1", "a", "t"), LEAF.oid) == ["root"]
    router.remove(of_root)
    assert router.tables == {}


def test_a_partition_that_appears_later_is_linked_to_its_root_once() -> None:
    router = Router()
    of_root = shape(define(ROOT), "root")
    router.add(of_root)
    for _ in range(2):
        router.add_leaf(ROOT.oid, 503)
    assert matching(router, ("1", "a", "t"), 503) == ["root"]
    router.add_leaf(999, 504)
    assert 504 not in router.tables
    router.remove(of_root)
    assert router.tables == {}


def test_partitions_may_order_their_columns_each_in_their_own_way() -> None:
    """ATTACH PARTITION asks for the same columns, not for the same order."""
    router = Router()
    of_root = shape(define(ROOT, where="id = 1"), "root")
    turned = replace(LEAF, oid=502, columns=tuple(reversed(LEAF.columns)))
    router.add(of_root, [LEAF.oid, turned.oid])
    router.describe(described(LEAF))
    router.describe(described(turned))
    assert matching(router, ("1", "a", "t"), LEAF.oid) == ["root"]
    assert matching(router, ("t", "a", "1"), turned.oid) == ["root"]
    assert matching(router, ("t", "a", "2"), turned.oid) == []
    rows = {LEAF.oid: ("1", "a", "t"), turned.oid: ("t", "a", "1")}
    for oid, row in rows.items():
        assert '"id":"1"' in router.tables[oid].views["root"].insert(row)


# -- tables made anew ------------------------------------------------------------------------------------


def test_a_table_of_the_same_name_is_another_table() -> None:
    again = replace(ITEMS, oid=777)
    router, (old,) = routed(define())
    assert router.replaced_by(described(ITEMS)) == []
    assert router.replaced_by(described(replace(ITEMS, oid=778, name="other"))) == []
    assert router.replaced_by(described(again)) == [old]
    fresh = shape(define(again), "fresh")
    router.add(fresh)
    assert router.replaced_by(described(again)) == [old]
    router.remove(old)
    assert router.replaced_by(described(again)) == []
    assert router.replaced_by(described(ITEMS)) == [fresh]
    router.remove(fresh)
    assert router.replaced_by(described(ITEMS)) == []

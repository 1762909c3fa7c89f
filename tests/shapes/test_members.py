"""Members: what a subquery's rows make of IN and NOT IN, which is what Postgres makes of them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_electric.shapes.members import Members, Value, canonical, value_reader
from tests.shapes.test_moves import is_in

parts = st.sampled_from(("1", "2", None))


@pytest.mark.parametrize("width", [1, 2, 3])
@given(data=st.data())
def test_what_is_contained_and_excluded_is_what_postgres_says(
    width: int, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.tuples(*[parts] * width), max_size=6))
    gone = data.draw(st.lists(st.sampled_from(rows), max_size=4, unique=True)) if rows else []
    members = Members([True] * width, counts_excluded=True)
    for row in rows:
        members.add(row, 1)
    for row in gone:
        members.add(row, -1)
        rows.remove(row)
    assert sorted(map(str, members)) == sorted(map(str, set(rows)))
    for value in product(("1", "2", None), repeat=width):
        truth = is_in(value, rows)
        assert members.contains(value) is (truth is True)
        assert members.excludes(value) is (truth is not False)


@given(
    before=st.lists(st.tuples(parts, parts), max_size=6),
    after=st.lists(st.tuples(parts, parts), max_size=6),
)
def test_what_has_turned_is_what_differs(before: list[Value], after: list[Value]) -> None:
    members = Members([True, True], counts_excluded=True)
    members.replace((row, 1) for row in before)
    members.settle()
    was = {v: members.excludes(v) for v in product(("1", "2", None), repeat=2)}
    had_partial = members.has_partial
    members.replace((row, 1) for row in after)
    assert members.turned == set(before) ^ set(after)
    if not (had_partial or members.has_partial):
        assert members.turned_excluded == {v for v in was if members.excludes(v) != was[v]}


def test_a_row_that_is_there_twice_stays_when_it_goes_once() -> None:
    members = Members([False], counts_excluded=False)
    members.add(("1",), 2)
    members.settle()
    members.add(("1",), -1)
    assert not members.turned
    assert members.contains(("1",))
    members.add(("1",), -1)
    assert members.turned == {("1",)}


def test_what_comes_and_goes_before_anybody_asks_has_not_turned() -> None:
    members = Members([True], counts_excluded=True)
    members.add(("1",), 1)
    members.add(("1",), -1)
    assert not members.turned
    assert not members.turned_excluded


def test_a_column_that_is_never_null_is_not_excluded_as_null() -> None:
    members = Members([False], counts_excluded=True)
    members.add(("1",), 1)
    assert members.turned_excluded == {("1",)}


@pytest.mark.parametrize(
    ("kind", "same"),
    [
        ("numeric", ["1.10", "1.1", "1.100"]),
        ("numeric", ["100", "100.00"]),
        ("numeric", ["0", "0.00"]),
        ("float8", ["0", "-0"]),
        ("bpchar", ["a", "a  "]),
        ("bool", ["t", "true"]),
    ],
)
def test_equal_values_have_one_text(kind: str, same: list[str]) -> None:
    assert len(set(map(canonical(kind), same))) == 1


def test_texts_of_other_types_are_what_they_are() -> None:
    assert value_reader(["text", "int4"], [1, 0])(("10", "a ")) == ("a ", "10")
    assert value_reader(["numeric"], [0])((None,)) == (None,)

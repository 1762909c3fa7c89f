"""Indexes: what they find is what a look at every key finds, whatever was added and removed before."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres.values import TYPES, Array, array_type
from django_electric.shapes import indexes
from django_electric.shapes.indexes import Index, index_for
from django_electric.where import Key, Part, Prefix, Same, Span, Undecided
from django_electric.where.like import fold
from django_electric.where.lookups import Holds, Present

texts = st.text("abcA%é ", max_size=9)
numbers = st.integers(-6, 6).map(Decimal) | st.sampled_from([Decimal("0.5"), Decimal("-1.50")])
bounds = st.none() | st.tuples(numbers, st.sampled_from([0, 1]))
NUMERICS = ["-7", "-6", "-1.5", "-1.50", "0", "0.0", "0.5", "1", "5.99", "6", "NaN", "Infinity"]

NUMERIC_ARRAYS = array_type(TYPES["numeric"])
elements = st.sets(numbers | st.sampled_from([TYPES["numeric"].decode("NaN")]), max_size=3)


def lies_within(text: str, key: Span) -> bool:
    value = TYPES[key.type].decode(text)
    above = key.low is None or value > key.low[0] or (value == key.low[0] and key.low[1] == 0)
    below = key.high is None or value < key.high[0] or (value == key.high[0] and key.high[1] == 1)
    return bool(above and below)


SORTS: dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[str], Callable[[str, Any], bool]]] = {
    "texts": (texts, texts, lambda text, key: text == key),
    "values": (
        numbers.map(lambda n: Same("numeric", n)),
        st.sampled_from(NUMERICS),
        lambda text, key: bool(TYPES["numeric"].decode(text) == key.value),
    ),
    "spans": (
        st.builds(lambda low, high: Span("numeric", low, high), bounds, bounds),
        st.sampled_from(NUMERICS),
        lies_within,
    ),
    "prefixes": (
        texts.filter(bool).map(lambda t: Prefix(t, False)),
        texts,
        lambda text, key: text.startswith(key.text),
    ),
    "folded prefixes": (
        texts.filter(bool).map(lambda t: Prefix(fold(t), True)),
        texts,
        lambda text, key: fold(text).startswith(key.text),
    ),
    "parts": (
        texts.filter(bool).map(lambda t: Part(t, False)),
        texts | st.text("abc", min_size=60, max_size=200),
        lambda text, key: key.text in text,
    ),
    "long parts": (
        st.text("abé", min_size=1, max_size=14).map(lambda t: Part(t, False)),
        st.text("abé", max_size=60),
        lambda text, key: key.text in text,
    ),
    "presence": (st.just(Present()), texts, lambda text, key: True),
    "holdings": (
        elements.map(lambda items: Holds("numeric", frozenset(items))),
        st.lists(st.none() | numbers, max_size=6).map(lambda items: NUMERIC_ARRAYS.encode(Array.of(items))),
        lambda text, key: key.items <= set(NUMERIC_ARRAYS.decode(text).items),
    ),
    "folded parts": (
        texts.filter(bool).map(lambda t: Part(fold(t), True)),
        texts,
        lambda text, key: key.text in fold(text),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sort", SORTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_index_finds_what_a_look_at_every_key_finds(sort: str, data: st.DataObject) -> None:
    # However few they are, they are found as many would be.
    with mock.patch.object(indexes, "_DIRECT", data.draw(st.sampled_from([0, 16]))):
        check_random_steps(sort, data)


def check_random_steps(sort: str, data: st.DataObject) -> None:
    keys, rows, hits = SORTS[sort]
    index: Index[list[Key]] = index_for(data.draw(keys))[1]()
    present: dict[Key, list[Key]] = {}
    for step in data.draw(st.lists(st.tuples(keys, st.booleans()), max_size=40)):
        key, is_added = step
        if is_added:
            bucket = index.bucket(key, lambda key=key: [key])  # type: ignore[misc]  # bound now
            assert present.setdefault(key, bucket) is bucket
            assert index.get(key) is bucket
        else:
            index.drop(key)
            present.pop(key, None)
            assert index.get(key) is None
        if len(present) % 3 == 0:
            check(index, present, hits, data.draw(rows))
    for text in data.draw(st.lists(rows, min_size=1, max_size=8)):
        check(index, present, hits, text)
    assert len(index) == len(present)
    assert sorted(map(repr, index)) == sorted(map(repr, present.values()))
    assert sort == "texts" or list(index.find(None)) == []


def check(
    index: Index[list[Key]],
    present: dict[Key, list[Key]],
    hits: Callable[[str, Any], bool],
    text: str,
) -> None:
    expected = [bucket for key, bucket in present.items() if hits(text, key)]
    assert sorted(map(repr, index.find(text))) == sorted(map(repr, expected))


def test_a_text_that_cannot_be_read_raises() -> None:
    for key, text, error in (
        (Same("numeric", Decimal(1)), "one", ArithmeticError),
        (Span("int4", (1, 0), None), "one", ValueError),
        (Part("abc", True), "\u212aelvin", Undecided),
    ):
        index: Index[list[int]] = index_for(key)[1]()
        index.bucket(key, list)
        with pytest.raises(error):
            index.find(text)


def test_ranges_that_come_in_order_make_no_deep_tree() -> None:
    index: Index[list[int]] = index_for(Span("int4", (0, 0), None))[1]()
    for n in range(3000):
        index.bucket(Span("int4", (n, 0), (n, 1)), lambda n=n: [n])  # type: ignore[misc]  # bound now
    assert list(index.find("1500")) == [[1500]]
    for n in range(0, 3000, 2):
        index.drop(Span("int4", (n, 0), (n, 1)))
    assert list(index.find("1500")) == []
    assert list(index.find("1501")) == [[1501]]

"""Arrays of all types (``arrayfuncs.c``, ``array_userfuncs.c``). Items that are NULL are None.

Comparison operators are Python's on `Array`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from django_electric.postgres.values import Array
from django_electric.postgres.values.arrays import EMPTY, MOST_DIMENSIONS

# --- containment ----------------------------------------------------------------------------------


def contains(a: Array, b: Array) -> bool:
    """``a @> b``: every item of *b* is in *a*; dimensions and repetitions do not count, NULL is in nothing.

    >>> contains(Array.of([1, 2]), Array.of([2, 2])), contains(Array.of([None]), Array.of([None]))
    (True, False)
    """
    items = _known(a)
    return all(item is not None and item in items for item in b.items)


def contained(a: Array, b: Array) -> bool:
    """``a <@ b``."""
    return contains(b, a)


def overlaps(a: Array, b: Array) -> bool:
    """``a && b``: some item is in both."""
    return not _known(a).isdisjoint(_known(b))


def _known(array: Array) -> frozenset[Any]:
    return frozenset(item for item in array.items if item is not None)


# --- shape ----------------------------------------------------------------------------------------


def cardinality(array: Array) -> int:
    return len(array.items)


def ndims(array: Array) -> int | None:
    """NULL for an empty array."""
    return len(array.lengths) or None


def length(array: Array, dimension: int) -> int | None:
    """``array_length``; NULL where there is no such dimension."""
    return array.lengths[dimension - 1] if 1 <= dimension <= len(array.lengths) else None


def lower(array: Array, dimension: int) -> int | None:
    return array.lower_bounds[dimension - 1] if 1 <= dimension <= len(array.lengths) else None


def upper(array: Array, dimension: int) -> int | None:
    if not 1 <= dimension <= len(array.lengths):
        return None
    return array.lower_bounds[dimension - 1] + array.lengths[dimension - 1] - 1


def dims(array: Array) -> str | None:
    """``array_dims``.

    >>> dims(Array.of([7, 8]))
    '[1:2]'
    """
    pairs = zip(array.lower_bounds, array.lengths, strict=True)
    return "".join(f"[{low}:{low + count - 1}]" for low, count in pairs) or None


# --- subscripts -----------------------------------------------------------------------------------


def item(array: Array, *subscripts: int | None) -> Any:
    """``array[1][2]``; NULL outside, and where the number of subscripts is not that of dimensions.

    >>> item(Array.of([7, 8]), 2), item(Array.of([7, 8]), 0)
    (8, None)
    """
    if len(subscripts) != len(array.lengths):
        return None
    place = 0
    for subscript, low, count in zip(subscripts, array.lower_bounds, array.lengths, strict=True):
        if subscript is None or not low <= subscript < low + count:
            return None
        place = place * count + subscript - low
    return array.items[place]


ABSENT: Any = object()
"""A bound that is left out of a slice; None is one that is NULL."""


def slice_(array: Array, *bounds: tuple[Any, Any]) -> Array | None:
    """``array[1:2][:3]``, a pair for each dimension, with `ABSENT` for what is left out. It begins at 1.

    >>> slice_(Array.of([7, 8, 9]), (2, ABSENT)) == Array.of([8, 9])
    True
    """
    if any(bound is None for pair in bounds for bound in pair):
        return None
    if not 0 < len(bounds) <= len(array.lengths):
        return EMPTY
    ranges = []
    for dimension, (low, count) in enumerate(zip(array.lower_bounds, array.lengths, strict=True)):
        first, last = bounds[dimension] if dimension < len(bounds) else (ABSENT, ABSENT)
        start = 0 if first is ABSENT else max(first - low, 0)
        end = count if last is ABSENT else min(last - low + 1, count)
        if start >= end:
            return EMPTY
        ranges.append(range(start, end))
    items = _picked(array.items, array.lengths, ranges)
    return Array(tuple(items), tuple(map(len, ranges)), (1,) * len(ranges))


def _picked(items: Sequence[Any], lengths: Sequence[int], ranges: Sequence[range]) -> list[Any]:
    """The items whose subscripts lie in *ranges*."""
    if not lengths:
        return list(items)
    size = prod(lengths[1:])
    parts = (items[place * size : (place + 1) * size] for place in ranges[0])
    return [one for part in parts for one in _picked(part, lengths[1:], ranges[1:])]


# --- making arrays --------------------------------------------------------------------------------


def make(items: Sequence[Any]) -> Array:
    """``ARRAY[…]`` of items."""
    return Array.of(items)


def make_nested(arrays: Sequence[Array | None]) -> Array:
    """``ARRAY[…]`` of arrays, all of one shape.

    >>> make_nested([Array.of([1]), Array.of([2])]).lengths
    (2, 1)
    """
    parts = [part for part in arrays if part is not None and part.items]
    if not parts:
        return EMPTY
    first = parts[0]
    shape = first.lengths, first.lower_bounds
    if len(parts) < len(arrays) or any((p.lengths, p.lower_bounds) != shape for p in parts):
        raise ValueError(
            "multidimensional arrays must have array expressions with matching dimensions"
        )
    if len(first.lengths) == MOST_DIMENSIONS:
        raise ValueError("number of array dimensions exceeds the maximum allowed")
    items = tuple(one for part in parts for one in part.items)
    return Array(items, (len(parts), *first.lengths), (1, *first.lower_bounds))


def concatenate(a: Array | None, b: Array | None) -> Array | None:
    """``array || array``; NULL is as good as empty. One may have a dimension less: it is then an item of the other.

    >>> concatenate(Array.of([1]), Array.of([2])) == Array.of([1, 2]), concatenate(None, None)
    (True, None)
    """
    if a is None or b is None:
        return a if b is None else b
    if not a.items or not b.items:
        return b if b.items or not a.items else a
    more = len(a.lengths) - len(b.lengths)
    whole, part = (a, b) if more >= 0 else (b, a)
    inner = (
        (part.lengths[1:], part.lower_bounds[1:])
        if more == 0
        else (part.lengths, part.lower_bounds)
    )
    if abs(more) > 1 or (whole.lengths[1:], whole.lower_bounds[1:]) != inner:
        raise ValueError("cannot concatenate incompatible arrays")
    first = a.lengths[0] + b.lengths[0] if more == 0 else whole.lengths[0] + 1
    return Array(a.items + b.items, (first, *whole.lengths[1:]), whole.lower_bounds)


def append(array: Array | None, one: Any) -> Array:
    """``array_append``, ``array || item``: the item may be NULL."""
    if array is None or not array.items:
        return Array.of([one])
    _check_flat(array)
    return Array((*array.items, one), (len(array.items) + 1,), array.lower_bounds)


def prepend(one: Any, array: Array | None) -> Array:
    """``array_prepend``: the lower bound stays."""
    if array is None or not array.items:
        return Array.of([one])
    _check_flat(array)
    return Array((one, *array.items), (len(array.items) + 1,), array.lower_bounds)


def _check_flat(array: Array) -> None:
    if len(array.lengths) > 1:
        raise ValueError("argument must be empty or one-dimensional array")


# --- searching ------------------------------------------------------------------------------------


def position(
    array: Array | None, one: Any, start: int | None = 1, *, has_start: bool = False
) -> int | None:
    """``array_position``: the subscript of the first item that is not distinct from *one*.

    >>> position(Array.of(["a", None]), None), position(Array((5,), (1,), (0,)), 5)
    (2, 0)
    """
    if array is None:
        return None
    _check_flat(array)
    if has_start and start is None:
        raise ValueError("initial position must not be null")
    for subscript, other in enumerate(array.items, array.lower_bounds[0] if array.items else 1):
        if other == one and not (has_start and start is not None and subscript < start):
            return subscript
    return None


def positions(array: Array | None, one: Any) -> Array | None:
    """``array_positions``: all of them."""
    if array is None:
        return None
    _check_flat(array)
    low = array.lower_bounds[0] if array.items else 1
    return Array.of([place for place, other in enumerate(array.items, low) if other == one])


def remove(array: Array | None, one: Any) -> Array | None:
    """``array_remove``: without the items that are not distinct from *one*."""
    if array is None:
        return None
    if len(array.lengths) > 1:
        raise ValueError("removing elements from multidimensional arrays is not supported")
    items = tuple(other for other in array.items if other != one)
    return Array(items, (len(items),), array.lower_bounds) if items else EMPTY


def replace(array: Array | None, old: Any, new: Any) -> Array | None:
    """``array_replace``, in arrays of any shape."""
    if array is None:
        return None
    items = tuple(new if other == old else other for other in array.items)
    return Array(items, array.lengths, array.lower_bounds)


# --- texts ----------------------------------------------------------------------------------------


def to_string(array: Array, separator: str, null: str | None, encode: Callable[[Any], str]) -> str:
    """``array_to_string``; NULLs are left out unless *null* stands for them.

    >>> to_string(Array.of([1, None, 2]), "-", None, str), to_string(Array.of([1, None]), "-", "?", str)
    ('1-2', '1-?')
    """
    texts = (null if one is None else encode(one) for one in array.items)
    return separator.join(text for text in texts if text is not None)


def from_string(text: str, separator: str | None, null: str | None = None) -> Array:
    """``string_to_array``: single characters if *separator* is NULL, the whole text if it is empty.

    >>> from_string("a,b,", ",", "").items
    ('a', 'b', None)
    """
    if not text:
        return EMPTY
    return Array.of([None if piece == null else piece for piece in _pieces(text, separator)])


def _pieces(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return list(text)
    return text.split(separator) if separator else [text]


# --- ANY and ALL ----------------------------------------------------------------------------------

Comparison = Callable[[Any, Any], bool | None]


def any_(left: Any, array: Array, compare: Comparison) -> bool | None:
    """``left = ANY (array)``, the comparison being strict: true if it is for some item, else NULL if it is for some.

    >>> from operator import eq
    >>> any_(1, Array.of([None, 1]), eq), any_(2, Array.of([None, 1]), eq), any_(None, EMPTY, eq)
    (True, None, False)
    """
    return _decided(left, array, compare, decisive=True)


def all_(left: Any, array: Array, compare: Comparison) -> bool | None:
    """``left = ALL (array)``: false if it is for some item, else NULL if it is for some.

    >>> from operator import eq
    >>> all_(1, Array.of([1, 1]), eq), all_(1, Array.of([1, None]), eq), all_(1, Array.of([2, None]), eq)
    (True, None, False)
    """
    return _decided(left, array, compare, decisive=False)


def _decided(left: Any, array: Array, compare: Comparison, *, decisive: bool) -> bool | None:
    if left is None and array.items:
        return None
    result: bool | None = not decisive
    for one in array.items:
        answer = None if one is None else compare(left, one)
        if answer is decisive:
            return decisive
        if answer is None:
            result = None
    return result

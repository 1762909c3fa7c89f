"""Indexes on one column: from the text that a row has in it to the buckets of the shapes that this concerns.

A bucket holds the shapes that share a key. Every index finds its buckets without looking at the
others, and adding or removing one leaves the others alone. Where the column's text cannot be read
`find` raises, and whoever asks has to take all of the index's shapes for candidates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from django_electric.postgres.values import NAN, TYPES, array_type
from django_electric.where import Key, Part, Prefix, Same, Span
from django_electric.where.like import fold
from django_electric.where.lookups import Holds, Present

Bucket = TypeVar("Bucket")

Text = str | None


class Index(Protocol[Bucket]):
    """What the router needs of one."""

    def bucket(self, key: Any, make: Callable[[], Bucket]) -> Bucket:
        """That of *key*, made if there is none."""

    def get(self, key: Any) -> Bucket | None:
        """That of *key*, if there is one."""

    def drop(self, key: Any) -> None:
        """Forget the bucket of *key*."""

    def find(self, text: Text) -> Iterable[Bucket]:
        """The buckets that a row with this text in the column concerns."""

    def __iter__(self) -> Iterator[Bucket]: ...

    def __len__(self) -> int: ...


def index_for(key: Key) -> tuple[object, Callable[[], Index[Any]]]:
    """What sort of index *key* belongs to, one of each sort for a column, and how to make it."""
    match key:
        case Same(type_name):
            return (Same, type_name), lambda: Values(type_name)
        case Span(type_name):
            return (Span, type_name), lambda: Spans(type_name)
        case Prefix(_, ignores_case):
            return (Prefix, ignores_case), lambda: Prefixes(ignores_case=ignores_case)
        case Part(_, ignores_case):
            return (Part, ignores_case), lambda: Parts(ignores_case=ignores_case)
        case Holds(type_name):
            return (Holds, type_name), lambda: Holdings(type_name)
        case Present():
            return Present, Presence
        case _:
            return str, Texts


class Texts(Generic[Bucket]):
    """By the whole text; None is NULL."""

    def __init__(self) -> None:
        self.buckets: dict[Text, Bucket] = {}

    def bucket(self, key: Text, make: Callable[[], Bucket]) -> Bucket:
        found = self.buckets.get(key)
        if found is None:
            found = self.buckets[key] = make()
        return found

    def get(self, key: Text) -> Bucket | None:
        return self.buckets.get(key)

    def drop(self, key: Text) -> None:
        self.buckets.pop(key, None)

    def find(self, text: Text) -> Iterable[Bucket]:
        found = self.buckets.get(text)
        return () if found is None else (found,)

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self.buckets.values())

    def __len__(self) -> int:
        return len(self.buckets)


class _Keyed(Generic[Bucket]):
    """Buckets in a dict by what a key is made of."""

    def __init__(self) -> None:
        self._buckets: dict[Any, Bucket] = {}

    def bucket(self, key: Any, make: Callable[[], Bucket]) -> Bucket:
        place = self._place(key)
        found = self._buckets.get(place)
        if found is None:
            found = self._buckets[place] = make()
            self._added(place)
        return found

    def get(self, key: Any) -> Bucket | None:
        return self._buckets.get(self._place(key))

    def drop(self, key: Any) -> None:
        place = self._place(key)
        if self._buckets.pop(place, None) is not None:
            self._dropped(place)

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._buckets.values())

    def __len__(self) -> int:
        return len(self._buckets)

    def _place(self, key: Any) -> Any:
        raise NotImplementedError

    def _added(self, place: Any) -> None:
        """A new place is in the dict."""

    def _dropped(self, place: Any) -> None:
        """A place has gone from it."""


class Values(_Keyed[Bucket]):
    """By a value, however it is written."""

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self._decode = TYPES[type_name].decode

    def find(self, text: Text) -> Iterable[Bucket]:
        if text is None:
            return ()
        found = self._buckets.get(self._decode(text))
        return () if found is None else (found,)

    def _place(self, key: Same) -> Any:
        return key.value


class Presence(_Keyed[Bucket]):
    """By whether there is a value at all."""

    def find(self, text: Text) -> Iterable[Bucket]:
        return () if text is None else self._buckets.values()

    def _place(self, key: Present) -> Any:
        return key


class Holdings(_Keyed[Bucket]):
    """By what is among an array's elements.

    Several elements that have to be there together are filed under the one of them that fewest others
    are filed under.
    """

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self._decode = array_type(TYPES[type_name]).decode
        self._filed: dict[Any, dict[frozenset[Any], None]] = {}
        self._element_of: dict[frozenset[Any], Any] = {}

    def find(self, text: Text) -> Iterable[Bucket]:
        if text is None:
            return ()
        items = frozenset(self._decode(text).items)
        buckets, filed = self._buckets, self._filed
        found = [
            buckets[place]
            for element in filed.keys() & items
            for place in filed[element]
            if place <= items
        ]
        if _NOTHING in buckets:
            found.append(buckets[_NOTHING])
        return found

    def _place(self, key: Holds) -> frozenset[Any]:
        return key.items

    def _added(self, place: frozenset[Any]) -> None:
        if place:
            rarest = min(place, key=lambda element: len(self._filed.get(element, ())))
            self._element_of[place] = rarest
            self._filed.setdefault(rarest, {})[place] = None

    def _dropped(self, place: frozenset[Any]) -> None:
        if place:
            element = self._element_of.pop(place)
            del self._filed[element][place]
            if not self._filed[element]:
                del self._filed[element]


_NOTHING: frozenset[Any] = frozenset()


class Prefixes(_Keyed[Bucket]):
    """By how the text begins: one look for each length that some prefix has."""

    def __init__(self, *, ignores_case: bool) -> None:
        super().__init__()
        self._ignores_case = ignores_case
        self._lengths: dict[int, int] = {}
        """How many prefixes are of each length."""

    def find(self, text: Text) -> Iterable[Bucket]:
        if text is None:
            return ()
        if self._ignores_case:
            text = fold(text)
        size, buckets = len(text), self._buckets
        return [
            buckets[text[:length]]
            for length in self._lengths
            if length <= size and text[:length] in buckets
        ]

    def _place(self, key: Prefix) -> str:
        return key.text

    def _added(self, place: str) -> None:
        self._lengths[len(place)] = self._lengths.get(len(place), 0) + 1

    def _dropped(self, place: str) -> None:
        left = self._lengths[len(place)] - 1
        if left:
            self._lengths[len(place)] = left
        else:
            del self._lengths[len(place)]


_DIRECT = 16
"""So few literals are searched for one by one, which costs less than to cut the text into pieces."""
_WORD = 4
"""Bytes of a piece, as many as ``memoryview`` reads as one number."""
_ANY_PHASE = range(_WORD)


class Parts(_Keyed[Bucket]):
    """By what stands anywhere in the text.

    A text is cut into pieces of four bytes, and each piece names the literals that are filed under it.
    Of a literal with four pieces or more in a row, some piece begins at a multiple of four, wherever it stands: it is
    filed under a piece for each of the four phases that it may have, and the text is cut once. A
    shorter one is filed under one piece, and looked up by all four ways to cut the text. Up to three
    characters are their own piece. Of several pieces that would do, a literal is filed under the one
    that fewest others are filed under.
    """

    def __init__(self, *, ignores_case: bool) -> None:
        super().__init__()
        self._ignores_case = ignores_case
        self._long: _Filed = {}
        self._middle: _Filed = {}
        self._pieces: dict[str, tuple[int, ...]] = {}
        """Where each literal is filed."""
        self._short: dict[int, set[str]] = {}
        """By their length in characters."""

    def find(self, text: Text) -> Iterable[Bucket]:
        if text is None:
            return ()
        if self._ignores_case:
            text = fold(text)
        buckets = self._buckets
        if len(buckets) <= _DIRECT:
            return [bucket for literal, bucket in buckets.items() if literal in text]
        found = []
        if self._long or self._middle:
            data = text.encode()
            found = _holding(self._long, _words(data, 0), text)
            if self._middle:
                words = [word for phase in _ANY_PHASE for word in _words(data, phase)]
                found += _holding(self._middle, words, text)
        for size, literals in self._short.items():
            found += literals.intersection(
                [text[at : at + size] for at in range(len(text) - size + 1)]
            )
        return [buckets[literal] for literal in dict.fromkeys(found)]

    def _place(self, key: Part) -> str:
        return key.text

    def _added(self, place: str) -> None:
        if len(place) < _WORD:
            self._short.setdefault(len(place), set()).add(place)
            return
        filed, phases = self._files(place)
        pieces = tuple({_rarest(filed, phase) for phase in phases})
        self._pieces[place] = pieces
        for piece in pieces:
            filed.setdefault(piece, {})[place] = None

    def _dropped(self, place: str) -> None:
        if len(place) < _WORD:
            literals = self._short[len(place)]
            literals.remove(place)
            if not literals:
                del self._short[len(place)]
            return
        filed, _ = self._files(place)
        for piece in self._pieces.pop(place):
            del filed[piece][place]
            if not filed[piece]:
                del filed[piece]

    def _files(self, place: str) -> tuple[_Filed, list[Sequence[int]]]:
        """Where a literal is filed, and the pieces to choose from: one of each list."""
        data = place.encode()
        phases = [_words(data, phase) for phase in _ANY_PHASE]
        if all(phases):
            return self._long, phases
        return self._middle, [[word for words in phases for word in words]]


_Filed = dict[int, dict[str, None]]
"""The literals under each piece."""


def _words(data: bytes, phase: int) -> Sequence[int]:
    """The pieces of *data* from byte *phase* on, as numbers."""
    end = phase + (len(data) - phase) // _WORD * _WORD
    return memoryview(data)[phase:end].cast("I").tolist() if end > phase else ()


def _rarest(filed: _Filed, pieces: Sequence[int]) -> int:
    return min(pieces, key=lambda piece: len(filed.get(piece, ())))


def _holding(filed: _Filed, words: Iterable[int], text: str) -> list[str]:
    """The literals in *text* that are filed under one of *words*."""
    return [literal for word in filed.keys() & words for literal in filed[word] if literal in text]


# --- ranges -----------------------------------------------------------------------------------------


class _Top:
    """Greater than every bound."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return other is not self

    def __le__(self, other: object) -> bool:
        return other is self

    def __ge__(self, other: object) -> bool:
        return True


_TOP: Any = _Top()
_BOTTOM: Any = ()
"""An empty tuple is smaller than every other."""


_numbers = count()


class _Node(Generic[Bucket]):
    """A range in the tree; the tree is ordered by lower bounds, and a heap by priorities that
    look random (a treap)."""

    __slots__ = ("bucket", "highest", "left", "place", "priority", "right")

    def __init__(self, place: tuple[Any, Any], bucket: Bucket) -> None:
        self.place = place
        self.bucket = bucket
        # The hash of a tuple mixes well and asks nobody for chance; for balance only.
        self.priority = hash((next(_numbers),))
        self.highest = place[1]
        """The highest upper bound in this node's tree."""
        self.left: _Node[Bucket] | None = None
        self.right: _Node[Bucket] | None = None

    def update(self) -> _Node[Bucket]:
        highest = self.place[1]
        for child in (self.left, self.right):
            if child is not None and child.highest > highest:
                highest = child.highest
        self.highest = highest
        return self


_NUMBERS = frozenset(
    (
        "int2",
        "int4",
        "int8",
        "oid",
        "float4",
        "float8",
        "numeric",
        "date",
        "time",
        "timestamp",
        "timestamptz",
    )
)
"""Types whose values are numbers here, so that a range of them has a width."""


class Spans(_Keyed[Bucket]):
    """By ranges.

    Those with two ends that are numbers lie in a `_Grid`, the others in a `_Tree`.
    """

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self._decode = TYPES[type_name].decode
        self._is_number = type_name in _NUMBERS
        self._grid = _Grid[Bucket]()
        self._tree = _Tree[Bucket]()

    def find(self, text: Text) -> Iterable[Bucket]:
        if text is None:
            return ()
        value = self._decode(text)
        found = self._tree.find((value, 0.5))
        if self._grid and _is_finite(value):
            found += self._grid.find(value)
        return found

    def _place(self, key: Span) -> tuple[Any, Any]:
        return (
            _BOTTOM if key.low is None else key.low,
            _TOP if key.high is None else key.high,
        )

    def _has_width(self, place: tuple[Any, Any]) -> bool:
        low, high = place
        is_open = low is _BOTTOM or high is _TOP
        return self._is_number and not is_open and _is_finite(low[0]) and _is_finite(high[0])

    def _added(self, place: tuple[Any, Any]) -> None:
        (self._grid if self._has_width(place) else self._tree).add(place, self._buckets[place])

    def _dropped(self, place: tuple[Any, Any]) -> None:
        (self._grid if self._has_width(place) else self._tree).remove(place)


def _is_finite(value: Any) -> bool:
    return value is not NAN and math.isfinite(value)


class _Grid(Generic[Bucket]):
    """Ranges of numbers in cells of powers of two that are about as wide as they are.

    A range lies in two neighbouring cells at most, and a number in one cell of each size that is in use.
    """

    def __init__(self) -> None:
        self._cells: dict[int, dict[int, dict[tuple[Any, Any], Bucket]]] = {}
        """By exponent and number."""

    def __bool__(self) -> bool:
        return bool(self._cells)

    def find(self, value: Any) -> list[Bucket]:
        found: list[Bucket] = []
        point = (value, 0.5)
        for exponent, cells in self._cells.items():
            ranges = cells.get(_cell(value, exponent))
            if ranges is not None:
                found += [
                    bucket for (low, high), bucket in ranges.items() if low < point and point < high
                ]
        return found

    def add(self, place: tuple[Any, Any], bucket: Bucket) -> None:
        exponent, numbers = self._cells_of(place)
        cells = self._cells.setdefault(exponent, {})
        for number in numbers:
            cells.setdefault(number, {})[place] = bucket

    def remove(self, place: tuple[Any, Any]) -> None:
        exponent, numbers = self._cells_of(place)
        cells = self._cells[exponent]
        for number in numbers:
            del cells[number][place]
            if not cells[number]:
                del cells[number]
        if not cells:
            del self._cells[exponent]

    def _cells_of(self, place: tuple[Any, Any]) -> tuple[int, Iterable[int]]:
        (low, _), (high, _) = place
        # Compared with numerics a float is what its digits say, so both become exact fractions.
        exponent = _exponent(Fraction(high) - Fraction(low))
        first, last = _cell(low, exponent), _cell(high, exponent)
        return exponent, range(first, last + 1)


_LEAST_EXPONENT = -64


def _exponent(width: Fraction) -> int:
    """Of the smallest power of two that is not narrower, within reason."""
    if width <= 0:
        return _LEAST_EXPONENT
    exponent = width.numerator.bit_length() - width.denominator.bit_length() + 1
    return max(exponent, _LEAST_EXPONENT)


def _cell(value: Any, exponent: int) -> int:
    """The number of the cell of 2 to the power of *exponent* that *value* lies in."""
    if isinstance(value, int):
        return value >> exponent if exponent >= 0 else value << -exponent
    scale = Fraction(2) ** exponent
    return math.floor(Fraction(value) / scale)


class _Tree(Generic[Bucket]):
    """Any ranges: a treap, in which every node knows how high the ranges below it reach.

    Finding takes O(log n) and a little for each hit; adding and removing O(log n).
    """

    def __init__(self) -> None:
        self._root: _Node[Bucket] | None = None

    def find(self, point: tuple[Any, float]) -> list[Bucket]:
        found: list[Bucket] = []
        stack = [self._root]
        while stack:
            node = stack.pop()
            while node is not None and node.highest > point:
                low, high = node.place
                if low < point:
                    if high > point:
                        found.append(node.bucket)
                    stack.append(node.left)
                    node = node.right
                else:
                    node = node.left
        return found

    def add(self, place: tuple[Any, Any], bucket: Bucket) -> None:
        self._root = _insert(self._root, _Node(place, bucket))

    def remove(self, place: tuple[Any, Any]) -> None:
        self._root = _remove(self._root, place)


def _is_before(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return bool(one[0] < other[0] or (one[0] == other[0] and one[1] < other[1]))


def _insert(root: _Node[Bucket] | None, new: _Node[Bucket]) -> _Node[Bucket]:
    if root is None:
        return new
    if new.priority > root.priority:
        new.left, new.right = _split(root, new.place)
        return new.update()
    if _is_before(new.place, root.place):
        root.left = _insert(root.left, new)
    else:
        root.right = _insert(root.right, new)
    return root.update()


def _split(
    root: _Node[Bucket] | None, place: tuple[Any, Any]
) -> tuple[_Node[Bucket] | None, _Node[Bucket] | None]:
    """What comes before *place*, and the rest."""
    if root is None:
        return None, None
    if _is_before(root.place, place):
        root.right, rest = _split(root.right, place)
        return root.update(), rest
    before, root.left = _split(root.left, place)
    return before, root.update()


def _remove(root: _Node[Bucket] | None, place: tuple[Any, Any]) -> _Node[Bucket] | None:
    assert root is not None, "what is removed is there"
    if root.place == place:
        return _merge(root.left, root.right)
    if _is_before(place, root.place):
        root.left = _remove(root.left, place)
    else:
        root.right = _remove(root.right, place)
    return root.update()


def _merge(left: _Node[Bucket] | None, right: _Node[Bucket] | None) -> _Node[Bucket] | None:
    """One tree of two, of which the first lies before the second."""
    if left is None or right is None:
        return left or right
    if left.priority > right.priority:
        left.right = _merge(left.right, right)
        return left.update()
    right.left = _merge(left, right.left)
    return right.update()

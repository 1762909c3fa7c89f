"""Arrays of any type, with any number of dimensions and any lower bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django_electric.postgres.values.base import SPACES, ValueType

MOST_DIMENSIONS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """Items in row-major order, None for NULL; an empty array has no dimensions.

    The order is that of ``array_cmp``: items first (NULL is greater than all others), then how many there are,
    then dimensions, then lower bounds.

    >>> Array.of([1, 2]) < Array.of([1, None]), Array.of([1]) == Array((1,), (1,), (0,))
    (True, False)
    """

    items: tuple[Any, ...]
    lengths: tuple[int, ...]
    lower_bounds: tuple[int, ...]

    @classmethod
    def of(cls, items: Sequence[Any]) -> Array:
        """One dimension that begins at 1, as ``ARRAY[…]`` makes it."""
        return cls(tuple(items), (len(items),), (1,)) if items else EMPTY

    @property
    def _shape(self) -> tuple[object, ...]:
        return len(self.items), len(self.lengths), self.lengths, self.lower_bounds

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Array) and self._shape == other._shape and self.items == other.items
        )

    def __hash__(self) -> int:
        return hash((self.items, self.lengths, self.lower_bounds))

    def __lt__(self, other: Array) -> bool:
        return self._compare(other) < 0

    def __le__(self, other: Array) -> bool:
        return self._compare(other) <= 0

    def __gt__(self, other: Array) -> bool:
        return self._compare(other) > 0

    def __ge__(self, other: Array) -> bool:
        return self._compare(other) >= 0

    def _compare(self, other: Array) -> int:
        for one, two in zip(self.items, other.items, strict=False):
            if one is None or two is None:
                if one is not two:
                    return 1 if one is None else -1
            elif one != two:
                return -1 if one < two else 1
        if self._shape == other._shape:
            return 0
        return -1 if self._shape < other._shape else 1


EMPTY = Array((), (), ())


def array_type(element: ValueType) -> ValueType:
    """The type of arrays of *element*.

    >>> texts = array_type(ValueType(str, str, str))
    >>> texts.decode('{a,NULL,"NULL"}').items, texts.encode(Array.of(["a b", None, ""]))
    (('a', None, 'NULL'), '{"a b",NULL,""}')
    """

    def decode(text: str) -> Array:
        return _read(text, element.decode)

    def encode(value: Array) -> str:
        return _write(value, element.encode)

    def canonical(text: str) -> str:
        return encode(
            _read(text.strip(SPACES), lambda part: element.decode(element.canonical(part)))
        )

    return ValueType(decode, encode, canonical, element.is_canonical)


_EMPTY = re.compile(r"\s*\{\s*\}\s*", re.ASCII)
_PLAIN = re.compile(r"\{[^{}\"\\\s]*\}")
_BOUNDS = re.compile(r"((?:\[[+-]?[0-9]{1,9}:[+-]?[0-9]{1,9}\]){1,6})=")
_BOUND = re.compile(r"\[([^:]*):([^\]]*)\]")
# A quoted item, an unquoted one (blanks inside are its own), or a brace or comma.
_TOKEN = re.compile(
    r"""\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|((?:[^{}",\\\s]|\\.)[^{}",\\]*(?:\\.[^{}",\\]*)*)|([{},]))\s*""",
    re.DOTALL | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _read(text: str, decode: Callable[[str], Any]) -> Array:
    """Raises ValueError where the text is not that of an array."""
    if _EMPTY.fullmatch(text):
        return EMPTY
    if _PLAIN.fullmatch(text):
        parts = text[1:-1].split(",")
        if "" in parts:
            raise ValueError(text)
        return Array.of([None if p.upper() == "NULL" else decode(p) for p in parts])
    bounds = _BOUNDS.match(text)
    reader = _Reader(text[bounds.end() :] if bounds else text, decode)
    items, lengths = tuple(reader.items), tuple(reader.lengths)
    if not bounds:
        return Array(items, lengths, (1,) * len(lengths))
    pairs = [(int(low), int(high)) for low, high in _BOUND.findall(bounds[1])]
    if tuple(high - low + 1 for low, high in pairs) != lengths:
        raise ValueError(text)
    return Array(items, lengths, tuple(low for low, _ in pairs))


class _Reader:
    """The braces of a text: its items and the lengths of its dimensions."""

    def __init__(self, text: str, decode: Callable[[str], Any]) -> None:
        self.items: list[Any] = []
        self.lengths: list[int] = []
        self._decode = decode
        self._tokens = self._split(text)
        self._place = 0
        if self._next() != "{":
            raise ValueError(text)
        self._braces(0)
        if self._place != len(self._tokens):
            raise ValueError(text)

    @staticmethod
    def _split(text: str) -> list[str | tuple[str | None]]:
        """Braces and commas as they are, an item in a tuple."""
        tokens: list[str | tuple[str | None]] = []
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            if not match:
                raise ValueError(text)
            place = match.end()
            if match[3]:
                tokens.append(match[3])
            elif match[1] is not None:
                tokens.append((_ESCAPED.sub(r"\1", match[1]),))
            else:
                tokens.append((_unquoted(match[2]),))
        return tokens

    def _next(self) -> str | tuple[str | None] | None:
        self._place += 1
        return self._tokens[self._place - 1] if self._place <= len(self._tokens) else None

    def _braces(self, depth: int) -> None:
        """What stands between braces at *depth*, up to the closing one."""
        if depth == len(self.lengths):
            if self.items or depth == MOST_DIMENSIONS:
                raise ValueError("not rectangular, or too many dimensions")
            self.lengths.append(0)
        count = 0
        separator: object = ","
        while separator == ",":
            self._part(depth)
            count += 1
            separator = self._next()
        if separator != "}" or self.lengths[depth] not in (0, count):
            raise ValueError("not rectangular")
        self.lengths[depth] = count

    def _part(self, depth: int) -> None:
        """An item, or braces that are one deeper."""
        part = self._next()
        if part == "{":
            self._braces(depth + 1)
        elif isinstance(part, tuple) and depth == len(self.lengths) - 1:
            self.items.append(None if part[0] is None else self._decode(part[0]))
        else:
            raise ValueError("not an array")


def _unquoted(text: str) -> str | None:
    """An item without quotes: blanks at its end are not its own, and NULL is not a text."""
    trimmed = re.sub(r"(?<!\\)\s+$", "", text, flags=re.ASCII)
    if trimmed.upper() == "NULL":
        return None
    return _ESCAPED.sub(r"\1", trimmed)


_NEEDS_QUOTES = re.compile(r"""[{}",\\ \t\n\v\f\r]""")
_TO_ESCAPE = re.compile(r'(["\\])')


def _write(value: Array, encode: Callable[[Any], str]) -> str:
    """As ``array_out`` prints it."""
    if not value.items:
        return "{}"
    texts = ["NULL" if item is None else _quoted(encode(item)) for item in value.items]
    for length in reversed(value.lengths):
        texts = [
            "{" + ",".join(texts[start : start + length]) + "}"
            for start in range(0, len(texts), length)
        ]
    return bounds_of(value) + texts[0]


def bounds_of(value: Array) -> str:
    """What stands before the braces where some lower bound is not 1.

    >>> bounds_of(Array((1, 2), (2,), (0,)))
    '[0:1]='
    """
    if all(low == 1 for low in value.lower_bounds):
        return ""
    pairs = zip(value.lower_bounds, value.lengths, strict=True)
    return "".join(f"[{low}:{low + length - 1}]" for low, length in pairs) + "="


def _quoted(text: str) -> str:
    if text and text.upper() != "NULL" and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'

"""Members: the rows that a subquery gives, and what follows from them for IN and NOT IN.

``x IN (S)`` is true if a row of S equals x, and both have no NULL. ``x NOT IN (S)`` is true if every row of
S surely differs from x: so a row r of S *excludes* not only r itself but every x that is like r where both
are known. Of an r without NULLs these can be counted one by one: r with any of its values replaced by
NULL. An r with NULLs excludes more than can be counted; such rows are kept apart (WHERE.md section 14.5).

Values are compared by their canonical text: of the types that a subquery may compare, equal values have
equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Final

Value = tuple[str | None, ...]
"""A row of a subquery, or the left side of an IN: canonical texts."""


def _same(text: str) -> str:
    return text


def _numeric(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _float(text: str) -> str:
    return "0" if text == "-0" else text


def _bpchar(text: str) -> str:
    return text.rstrip(" ")


def _boolean(text: str) -> str:
    return text[0]


_CANONICAL: Final = {
    "numeric": _numeric,
    "float4": _float,
    "float8": _float,
    "bpchar": _bpchar,
    "bool": _boolean,
}


def canonical(type_name: str) -> Callable[[str], str]:
    """From the text of a value to the one that all equal values have.

    >>> canonical("numeric")("1.10"), canonical("int4")("110")
    ('1.1', '110')
    """
    return _CANONICAL.get(type_name, _same)


def value_reader(
    types: Sequence[str], places: Sequence[int]
) -> Callable[[Sequence[str | None]], Value]:
    """From a row to the canonical texts of some of its values.

    >>> value_reader(["numeric", "text"], [2, 0])(("a", "b", "1.0"))
    ('1', 'a')
    """
    readers = [canonical(name) for name in types]
    if len(places) == 1 and readers[0] is _same:
        only = places[0]
        return lambda row: (row[only],)
    pairs = list(zip(readers, places, strict=True))

    def read(row: Sequence[str | None]) -> Value:
        return tuple(
            None if (text := row[at]) is None else canonical_text(text)
            for canonical_text, at in pairs
        )

    return read


class Members:
    """The rows of one subquery, and which of them have come and gone since `settle` was called last."""

    def __init__(self, nullable: Sequence[bool], *, counts_excluded: bool) -> None:
        """*nullable*: which of the columns may be NULL on the left side of an IN; *counts_excluded*: whether
        anybody asks what is excluded."""
        self.counts_excluded = counts_excluded
        self._nullable = tuple(nullable)
        self._counts: dict[Value, int] = {}
        self._partial: dict[Value, int] = {}
        """Rows with NULLs."""
        self._excluded: dict[Value, int] = {}
        """What the others exclude."""
        self.turned: set[Value] = set()
        """Rows that are here now and were not, or the other way round."""
        self.turned_excluded: set[Value] = set()
        """What is excluded now by rows without NULLs and was not, or the other way round."""

    def __len__(self) -> int:
        return len(self._counts) + len(self._partial)

    def __iter__(self) -> Iterator[Value]:
        """The rows, each once."""
        yield from self._counts
        yield from self._partial

    def __contains__(self, row: Value) -> bool:
        """Whether the subquery gives *row*, NULL for NULL."""
        return row in self._counts or row in self._partial

    def contains(self, value: Value) -> bool:
        """Whether ``value IN (…)`` is true."""
        return value in self._counts

    def excludes(self, value: Value) -> bool:
        """Whether ``value NOT IN (…)`` is not true."""
        return value in self._excluded or self.is_covered(value)

    def is_covered(self, value: Value) -> bool:
        """Whether a row with NULLs excludes *value*, whatever the others do."""
        return any(may_be_equal(value, one) for one in self._partial)

    @property
    def has_partial(self) -> bool:
        """Whether there are rows with NULLs."""
        return bool(self._partial)

    def empty_copy(self) -> Members:
        """Of the same kind, without rows."""
        return Members(self._nullable, counts_excluded=self.counts_excluded)

    def settle(self) -> None:
        """From here on it is noted anew what turns."""
        self.turned, self.turned_excluded = set(), set()

    def add(self, row: Value, count: int) -> None:
        """*count* more of a row, or fewer."""
        is_partial = None in row
        if not _count(self._partial if is_partial else self._counts, row, count):
            return
        self.turned ^= {row}
        if self.counts_excluded and not is_partial:
            appeared = 1 if row in self._counts else -1
            for one in self._with_nulls(row):
                if _count(self._excluded, one, appeared):
                    self.turned_excluded ^= {one}

    def replace(self, rows: Iterable[tuple[Value, int]]) -> None:
        """These are the rows now, and how many of each."""
        gone = {**self._counts, **self._partial}
        for row, count in _summed(rows).items():
            self.add(row, count - gone.pop(row, 0))
        for row, count in gone.items():
            self.add(row, -count)

    def _with_nulls(self, row: Value) -> Iterable[Value]:
        if len(row) == 1:
            return (row, (None,)) if self._nullable[0] else (row,)
        choices = (
            (one, None) if may_be_null else (one,)
            for one, may_be_null in zip(row, self._nullable, strict=True)
        )
        return product(*choices)


def _summed(rows: Iterable[tuple[Value, int]]) -> dict[Value, int]:
    """Postgres tells texts apart that are one value."""
    counts: dict[Value, int] = {}
    for row, count in rows:
        counts[row] = counts.get(row, 0) + count
    return counts


def _count(counts: dict[Value, int], value: Value, change: int) -> bool:
    """Whether the value is new, or gone."""
    before = counts.get(value, 0)
    now = before + change
    if now:
        counts[value] = now
    else:
        counts.pop(value, None)
    return (before > 0) != (now > 0)


def may_be_equal(value: Value, partial: Value) -> bool:
    """Whether two rows are equal where both are known."""
    return all(a is None or b is None or a == b for a, b in zip(value, partial, strict=True))

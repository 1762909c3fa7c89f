"""Lsn: a position in the write-ahead log."""

from __future__ import annotations

import re
from functools import total_ordering

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@total_ordering
class Lsn:
    """A byte position in the WAL, an unsigned 64-bit number (Postgres docs, "pg_lsn Type").

    >>> Lsn.parse("16/B374D848")
    Lsn('16/B374D848')
    >>> int(Lsn.parse("0/1532D60"))
    22228320
    >>> Lsn.parse("0/2") < Lsn.parse("1/1")
    True
    """

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read Postgres's text form. Raises ValueError."""
        found = _TEXT.fullmatch(text.strip())
        if not found:
            raise ValueError(f"not an LSN: {text!r} (such as 16/B374D848)")
        return cls((int(found[1], 16) << 32) | int(found[2], 16))

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lsn) and self.value == other.value

    def __lt__(self, other: Lsn) -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash(self.value)

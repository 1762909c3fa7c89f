"""What every type says of itself: how its texts are read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

SPACES = " \t\n\v\f\r"
"""What ``isspace()`` says of a byte in the C locale; Unicode's other spaces are not trimmed."""


class NotANumber:
    """Postgres's NaN: equal to itself and greater than every number.

    >>> import math
    >>> NAN == NAN, NAN > math.inf, 1.5 < NAN, 7 >= NAN
    (True, True, True, False)
    """

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return False

    def __le__(self, other: object) -> bool:
        return other is self

    def __gt__(self, other: object) -> bool:
        return other is not self

    def __ge__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "NAN"


NAN = NotANumber()


class ValueType(NamedTuple):
    """How texts of one type are read and written."""

    decode: Callable[[str], Any]
    encode: Callable[[Any], str]
    canonical: Callable[[str], str]
    is_canonical: bool = True
    """Whether equal values have equal texts, so that ``=`` may compare texts."""


def is_infinite(value: object) -> bool:
    """Whether a date or timestamp is one of the two infinities, which alone are floats.

    >>> import math
    >>> is_infinite(-math.inf), is_infinite(10**18)
    (True, False)
    """
    return isinstance(value, float)


class Unreadable(Exception):
    """A value that Postgres holds and that cannot be read here: an enum's new label, JSON that is too deep."""

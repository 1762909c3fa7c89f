"""int2, int4 and int8 (``int.c``, ``int8.c``). *bits* is the width of the result: 16, 32 or 64."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

from django_electric.postgres.values import NotANumber
from django_electric.where.errors import Undecided


def narrow(value: int, *, bits: int) -> int:
    """*value*, if it fits.

    >>> narrow(32767, bits=16)
    32767
    """
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise OverflowError("integer out of range")
    return value


def _wrapped(value: int, bits: int) -> int:
    """The lowest *bits* of *value*, as C keeps them."""
    half = 1 << bits - 1
    return (value + half) % (2 * half) - half


def add(a: int, b: int, *, bits: int) -> int:
    return narrow(a + b, bits=bits)


def subtract(a: int, b: int, *, bits: int) -> int:
    return narrow(a - b, bits=bits)


def multiply(a: int, b: int, *, bits: int) -> int:
    return narrow(a * b, bits=bits)


def divide(a: int, b: int, *, bits: int) -> int:
    """Towards zero.

    >>> divide(-7, 2, bits=32)
    -3
    """
    quotient = abs(a) // abs(b)
    return narrow(quotient if (a < 0) == (b < 0) else -quotient, bits=bits)


def remainder(a: int, b: int, *, bits: int) -> int:
    """Of the division towards zero: it has the sign of *a*.

    >>> remainder(-7, 2, bits=32)
    -1
    """
    rest = abs(a) % abs(b)
    return narrow(-rest if a < 0 else rest, bits=bits)


def negate(a: int, *, bits: int) -> int:
    return narrow(-a, bits=bits)


def absolute(a: int, *, bits: int) -> int:
    return narrow(abs(a), bits=bits)


def gcd(a: int, b: int, *, bits: int) -> int:
    return narrow(math.gcd(a, b), bits=bits)


def lcm(a: int, b: int, *, bits: int) -> int:
    return narrow(math.lcm(a, b), bits=bits)


def bit_and(a: int, b: int) -> int:
    return a & b


def bit_or(a: int, b: int) -> int:
    return a | b


def bit_xor(a: int, b: int) -> int:
    return a ^ b


def bit_not(a: int) -> int:
    return ~a


def shift_left(a: int, count: int, *, bits: int) -> int:
    """What is shifted out is lost. C says nothing of a count that is negative or too great.

    >>> shift_left(1, 31, bits=32)
    -2147483648
    """
    _check_shift(count, bits)
    return _wrapped(a << count, bits)


def shift_right(a: int, count: int, *, bits: int) -> int:
    _check_shift(count, bits)
    return a >> count


def _check_shift(count: int, bits: int) -> None:
    if not 0 <= count < bits:
        raise Undecided("a shift by so many bits depends on the processor")


def from_float(value: float | NotANumber, *, bits: int) -> int:
    """Half to even (``rint``).

    >>> from_float(2.5, bits=32), from_float(-3.5, bits=32)
    (2, -4)
    """
    if isinstance(value, NotANumber):
        raise ValueError("integer out of range")
    return narrow(round(value), bits=bits)


def from_numeric(value: Decimal | NotANumber, *, bits: int) -> int:
    """Half away from zero.

    >>> from_numeric(Decimal("2.5"), bits=32), from_numeric(Decimal("-2.5"), bits=32)
    (3, -3)
    """
    if isinstance(value, NotANumber):
        raise ValueError("cannot convert NaN to integer")
    return narrow(int(value.to_integral_value(ROUND_HALF_UP)), bits=bits)


def from_bool(value: bool) -> int:
    return int(value)


def to_bool(value: int) -> bool:
    return value != 0


def to_hex(value: int, *, bits: int) -> str:
    """The two's complement.

    >>> to_hex(255, bits=32), to_hex(-1, bits=32)
    ('ff', 'ffffffff')
    """
    return f"{value % (1 << bits):x}"

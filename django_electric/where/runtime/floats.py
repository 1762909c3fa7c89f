"""float4 and float8 (``float.c``): IEEE arithmetic, but an overflow or underflow is an error.

*single* says that the result is a float4. A float4 is computed as a double and rounded once more, which for these
operations gives the single nearest to the exact result.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from django_electric.postgres.values import NAN, NotANumber, float8_of, single_of
from django_electric.where.errors import Undecided

Float = float | NotANumber

_GREATEST_POWER = 64


def _result(number: float, *, single: bool) -> float:
    """Rounded to single if so asked; the sign of a zero and infinities are kept."""
    if not single or math.isinf(number):
        return number
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def _checked(number: float, *operands: float, may_vanish: bool, single: bool) -> Float:
    """*number* as Postgres lets it pass: infinite only from infinities, zero only if it *may_vanish*."""
    if math.isnan(number):
        return NAN
    result = _result(number, single=single)
    if math.isinf(result) and not any(map(math.isinf, operands)):
        raise OverflowError("value out of range: overflow")
    if result == 0 and not may_vanish:
        raise ArithmeticError("value out of range: underflow")
    return result


def add(a: Float, b: Float, *, single: bool = False) -> Float:
    """
    >>> add(0.1, 0.2), add(math.inf, -math.inf)
    (0.30000000000000004, NAN)
    """
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    return _checked(a + b, a, b, may_vanish=True, single=single)


def subtract(a: Float, b: Float, *, single: bool = False) -> Float:
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    return _checked(a - b, a, b, may_vanish=True, single=single)


def multiply(a: Float, b: Float, *, single: bool = False) -> Float:
    """
    >>> multiply(1e-200, 1e-200)
    Traceback (most recent call last):
    ArithmeticError: value out of range: underflow
    """
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    return _checked(a * b, a, b, may_vanish=not a or not b, single=single)


def divide(a: Float, b: Float, *, single: bool = False) -> Float:
    """By zero is an error, unless NaN is divided."""
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    quotient = a / b
    return _checked(quotient, a, may_vanish=not a or math.isinf(b), single=single)


def power(a: Float, b: Float) -> Float:
    """Where the result is exact; any other depends on the server's C library.

    >>> power(2.0, 10.0), power(2.0, -1.0), power(NAN, 0.0)
    (1024.0, 0.5, 1.0)
    """
    if b == 0 or a == 1:
        return 1.0
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    if a == 0 and b < 0:
        raise ValueError("zero raised to a negative power is undefined")
    if math.isinf(a) or math.isinf(b) or abs(b) > _GREATEST_POWER or not b.is_integer():
        raise Undecided("a power that is not exact")
    exact = Fraction(a) ** int(b)
    try:
        result = float(exact)
    except OverflowError:
        raise OverflowError("value out of range: overflow") from None
    if Fraction(result) != exact:
        raise Undecided("a power that is not exact")
    return math.copysign(result, a) if not result and int(b) % 2 else result


def sqrt(value: Float) -> Float:
    """The root is the double nearest to it, everywhere (IEEE 754)."""
    if isinstance(value, NotANumber):
        return NAN
    if value < 0:
        raise ValueError("cannot take square root of a negative number")
    return math.sqrt(value)


def negate(value: Float) -> Float:
    return NAN if isinstance(value, NotANumber) else -value


def absolute(value: Float) -> Float:
    return NAN if isinstance(value, NotANumber) else abs(value)


def sign(value: Float) -> float:
    """-1, 0 or 1; 0 also for NaN."""
    if isinstance(value, NotANumber) or value == 0:
        return 0.0
    return math.copysign(1.0, value)


def ceil(value: Float) -> Float:
    """
    >>> ceil(-0.5), ceil(0.5)
    (-0.0, 1.0)
    """
    return _whole(math.ceil, value)


def floor(value: Float) -> Float:
    return _whole(math.floor, value)


def trunc(value: Float) -> Float:
    return _whole(math.trunc, value)


def round_(value: Float) -> Float:
    """Half to even (``rint``).

    >>> round_(0.5), round_(1.5), round_(-0.5)
    (0.0, 2.0, -0.0)
    """
    return _whole(round, value)


def _whole(function: Callable[[float], int], value: Float) -> Float:
    """What *function* makes of *value*; a zero keeps the sign."""
    if isinstance(value, NotANumber) or math.isinf(value):
        return value
    return math.copysign(float(function(value)), value)


def from_integer(value: int, *, single: bool = False) -> Float:
    return single_of(value) if single else float(value)


def from_numeric(value: Decimal | NotANumber, *, single: bool = False) -> Float:
    """Out of range is an error: overflow and underflow alike."""
    return single_of(value) if single else float8_of(value)


def narrow(value: Float) -> Float:
    """A float8 as a float4.

    >>> narrow(0.1)
    0.10000000149011612
    """
    return single_of(value) if value != 0 else value

"""numeric (``numeric.c``): exact arithmetic, with the scales that Postgres gives its results.

A Decimal's exponent is minus its scale. Decimal's own operators are not used: they round to the digits of a context.
Powers and logarithms are missing: their scales differ between versions.
"""

from __future__ import annotations

import decimal
import math
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from django_electric.postgres.values import NAN, NotANumber, encode_numeric
from django_electric.where.errors import Undecided

Numeric = Decimal | NotANumber

_EXACT = decimal.Context(prec=400_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
_BASE_DIGITS = 4
_LEAST_SIGNIFICANT_DIGITS = 16
_GREATEST_SCALE = 1000
_LONGEST = 2000
"""More digits than this are left to Postgres, which has limits of its own."""


def scale(value: Numeric) -> int | None:
    """Digits after the point; None for NaN and infinities.

    >>> scale(Decimal("1.50"))
    2
    """
    if isinstance(value, NotANumber) or value.is_infinite():
        return None
    return _scale(value)


def _scale(value: Decimal) -> int:
    return -int(value.as_tuple().exponent)


def _check_length(*values: Decimal) -> None:
    for value in values:
        if value.is_finite() and len(value.as_tuple().digits) + abs(value.adjusted()) > _LONGEST:
            raise Undecided("numbers so long are left to Postgres")


def add(a: Numeric, b: Numeric) -> Numeric:
    """
    >>> add(Decimal("1.50"), Decimal("0.5"))
    Decimal('2.00')
    """
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    if a.is_infinite() and b.is_infinite() and a != b:
        return NAN
    _check_length(a, b)
    return _EXACT.add(a, b)


def subtract(a: Numeric, b: Numeric) -> Numeric:
    return add(a, negate(b))


def multiply(a: Numeric, b: Numeric) -> Numeric:
    """
    >>> multiply(Decimal("1.50"), Decimal("2.0"))
    Decimal('3.000')
    """
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    if (a.is_infinite() and not b) or (b.is_infinite() and not a):
        return NAN
    _check_length(a, b)
    return _EXACT.multiply(a, b)


def divide(a: Numeric, b: Numeric) -> Numeric:
    """Rounded half away from zero to the scale of ``select_div_scale``.

    >>> divide(Decimal(1), Decimal(3)), divide(Decimal("10.0"), Decimal(4))
    (Decimal('0.33333333333333333333'), Decimal('2.5000000000000000'))
    """
    special = _special_quotient(a, b)
    if special is not None:
        return special
    assert isinstance(a, Decimal)
    assert isinstance(b, Decimal)
    return _quotient(a, b, _division_scale(a, b))


def _special_quotient(a: Numeric, b: Numeric) -> Numeric | None:
    """The quotient of NaN and infinities; None for other numbers."""
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    if not b:
        raise ZeroDivisionError("division by zero")
    if a.is_infinite():
        if b.is_infinite():
            return NAN
        return a.copy_sign(Decimal(1 if (a > 0) == (b > 0) else -1))
    return Decimal(0) if b.is_infinite() else None


def _division_scale(a: Decimal, b: Decimal) -> int:
    """At least sixteen significant digits, counted in the base 10,000 of Postgres."""
    first_a, weight_a = _first_digit(a)
    first_b, weight_b = _first_digit(b)
    weight = weight_a - weight_b - (1 if first_a <= first_b else 0)
    wanted = _LEAST_SIGNIFICANT_DIGITS - weight * _BASE_DIGITS
    return min(max(wanted, _scale(a), _scale(b), 0), _GREATEST_SCALE)


def _first_digit(value: Decimal) -> tuple[int, int]:
    """The first digit in base 10,000 and its place; (0, 0) for zero."""
    if not value:
        return 0, 0
    weight = value.adjusted() // _BASE_DIGITS
    digits = _EXACT.scaleb(abs(value), -weight * _BASE_DIGITS)
    return int(digits), weight


def _quotient(a: Decimal, b: Decimal, digits: int) -> Decimal:
    """*a* / *b* with so many digits after the point, half away from zero."""
    _check_length(a, b)
    numerator = int(_EXACT.scaleb(a, _scale(a))) * 10 ** (digits + _scale(b))
    denominator = int(_EXACT.scaleb(b, _scale(b))) * 10 ** _scale(a)
    quotient, rest = divmod(abs(numerator), abs(denominator))
    if 2 * rest >= abs(denominator):
        quotient += 1
    is_negative = (numerator < 0) != (denominator < 0)
    return _EXACT.scaleb(Decimal(-quotient if is_negative else quotient), -digits)


def div(a: Numeric, b: Numeric) -> Numeric:
    """The whole part of the quotient: the function ``div``.

    >>> div(Decimal("-7.5"), Decimal(2))
    Decimal('-3')
    """
    special = _special_quotient(a, b)
    if special is not None:
        return special
    assert isinstance(a, Decimal)
    assert isinstance(b, Decimal)
    return _whole_quotient(a, b)


def _whole_quotient(a: Decimal, b: Decimal) -> Decimal:
    _check_length(a, b)
    most = max(_scale(a), _scale(b))
    numerator, denominator = (int(_EXACT.scaleb(value, most)) for value in (a, b))
    quotient = abs(numerator) // abs(denominator)
    return Decimal(quotient if (numerator < 0) == (denominator < 0) else -quotient)


def remainder(a: Numeric, b: Numeric) -> Numeric:
    """What ``div`` leaves, with the greater scale of the two.

    >>> remainder(Decimal("-1.5"), Decimal("0.70"))
    Decimal('-0.10')
    """
    if isinstance(a, NotANumber) or isinstance(b, NotANumber):
        return NAN
    if not b:
        raise ZeroDivisionError("division by zero")
    if a.is_infinite():
        return NAN
    if b.is_infinite():
        return a
    return _EXACT.subtract(a, _EXACT.multiply(b, _whole_quotient(a, b)))


def negate(value: Numeric) -> Numeric:
    return value if isinstance(value, NotANumber) else value.copy_negate()


def absolute(value: Numeric) -> Numeric:
    return value if isinstance(value, NotANumber) else value.copy_abs()


def sign(value: Numeric) -> Numeric:
    if isinstance(value, NotANumber):
        return value
    return Decimal((value > 0) - (value < 0))


def round_(value: Numeric, digits: int = 0) -> Numeric:
    """Half away from zero; with negative *digits* before the point.

    >>> round_(Decimal("2.5")), round_(Decimal("-1.005"), 2), round_(Decimal(1250), -2)
    (Decimal('3'), Decimal('-1.01'), Decimal('1300'))
    """
    return _rounded(value, digits, ROUND_HALF_UP)


def trunc(value: Numeric, digits: int = 0) -> Numeric:
    """
    >>> trunc(Decimal("-1.59"), 1), trunc(Decimal("1.5"), 3)
    (Decimal('-1.5'), Decimal('1.500'))
    """
    return _rounded(value, digits, ROUND_DOWN)


def ceil(value: Numeric) -> Numeric:
    return _rounded(value, 0, ROUND_CEILING)


def floor(value: Numeric) -> Numeric:
    return _rounded(value, 0, ROUND_FLOOR)


def _rounded(value: Numeric, digits: int, rounding: str) -> Numeric:
    if isinstance(value, NotANumber) or value.is_infinite():
        return value
    if abs(digits) > _GREATEST_SCALE:
        raise Undecided("so many digits are left to Postgres")
    _check_length(value)
    rounded = value.quantize(Decimal((0, (1,), -digits)), rounding, _EXACT)
    return rounded if digits >= 0 else _EXACT.quantize(rounded, Decimal(1))


def sqrt(value: Numeric) -> Numeric:
    """With at least sixteen significant digits (``numeric_sqrt``).

    >>> sqrt(Decimal(2))
    Decimal('1.414213562373095')
    """
    if isinstance(value, NotANumber):
        return value
    if value < 0:
        raise ValueError("cannot take square root of a negative number")
    if value.is_infinite():
        return value
    _check_length(value)
    weight = _first_digit(value)[1]
    # The places before the point in the root, less one, as C divides.
    places = math.trunc((weight + 1) * _BASE_DIGITS / 2) - 1
    digits = min(max(_LEAST_SIGNIFICANT_DIGITS - places, _scale(value), 0), _GREATEST_SCALE)
    # One digit more, then rounded: a root that is not exact is never halfway.
    exact = math.isqrt(int(_EXACT.scaleb(value, 2 * digits + 2)))
    return round_(_EXACT.scaleb(Decimal(exact), -digits - 1), digits)


def min_scale(value: Numeric) -> int | None:
    """The least scale that loses nothing; None for NaN and infinities."""
    if isinstance(value, NotANumber) or value.is_infinite():
        return None
    return _scale(_trimmed(value))


def trim_scale(value: Numeric) -> Numeric:
    """Without zeros at the end of the fraction.

    >>> trim_scale(Decimal("10.500"))
    Decimal('10.5')
    """
    if isinstance(value, NotANumber) or value.is_infinite():
        return value
    return _trimmed(value)


def _trimmed(value: Decimal) -> Decimal:
    text = encode_numeric(value)
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def with_precision(value: Numeric, precision: int, digits: int = 0) -> Numeric:
    """As ``numeric(precision, digits)`` keeps it.

    >>> with_precision(Decimal("9.995"), 4, 2)
    Decimal('10.00')
    """
    if isinstance(value, NotANumber):
        return value
    if value.is_infinite():
        raise ValueError("numeric field overflow")
    rounded = _rounded(value, digits, ROUND_HALF_UP)
    assert isinstance(rounded, Decimal)
    if abs(rounded) >= _EXACT.scaleb(Decimal(1), precision - digits):
        raise ValueError("numeric field overflow")
    return rounded


def from_integer(value: int) -> Decimal:
    return Decimal(value)


def from_float8(value: float | NotANumber) -> Numeric:
    """Fifteen significant digits.

    >>> from_float8(0.1 + 0.2), from_float8(1e20)
    (Decimal('0.3'), Decimal('100000000000000000000'))
    """
    return _from_float(value, 15)


def from_float4(value: float | NotANumber) -> Numeric:
    """Six significant digits.

    >>> from_float4(0.10000000149011612)
    Decimal('0.1')
    """
    return _from_float(value, 6)


def _from_float(value: float | NotANumber, digits: int) -> Numeric:
    if isinstance(value, NotANumber):
        return value
    if math.isinf(value):
        return Decimal(value)
    # No exponent above zero.
    return Decimal(encode_numeric(Decimal(f"{value:.{digits}g}")))

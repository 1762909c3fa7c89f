"""bool, the integers, float4, float8 and numeric."""

from __future__ import annotations

import math
import re
import struct
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

from django_electric.postgres.values.base import NAN, SPACES, NotANumber

Number = int | float | Decimal | NotANumber

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_FLOAT_WORDS = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_NUMERIC_WORDS = re.compile(r"nan|[+-]?inf|[+-]?infinity", re.IGNORECASE)
_BOOLEAN_WORDS = {
    **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), "t"),
    **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), "f"),
}
_NUMERIC_DIGITS = 1000
"""Longer numeric literals are refused, though Postgres takes 131,072 digits."""


def decode_bool(text: str) -> bool:
    """The log prints ``t``, a cast to text ``true``."""
    return text in ("t", "true")


def decode_float8(text: str) -> float | NotANumber:
    """A double, or NAN."""
    return NAN if text == "NaN" else float(text)


def decode_float4(text: str) -> float | NotANumber:
    """A double that is a single, or NAN.

    >>> decode_float4("0.1")
    0.10000000149011612
    """
    return NAN if text == "NaN" else _rounded(float(text))


def _rounded(number: float) -> float:
    """To the nearest single, half to even. OverflowError if it is too great."""
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def single_of(value: Number) -> float | NotANumber:
    """The nearest single; ValueError if that is infinite, or zero and *value* is not.

    >>> single_of(Decimal("0.1")), single_of(16777217)
    (0.10000000149011612, 16777216.0)
    """
    if isinstance(value, NotANumber):
        return value
    if not isinstance(value, int) and math.isinf(value):
        return float(value)
    try:
        number = _rounded(_rounded_to_odd(value))
    except OverflowError:
        raise ValueError("out of range for type real") from None
    if number == 0 and value != 0:
        raise ValueError("out of range for type real")
    return number


def _rounded_to_odd(value: int | float | Decimal) -> float:
    """A double from which rounding to single gives what rounding *value* itself would give."""
    number = float(value)
    exact = Fraction(value)
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    if bits & 1 or Fraction(number) == exact:
        return number
    return math.nextafter(number, math.inf if exact > number else -math.inf)


def decode_numeric(text: str) -> Decimal | NotANumber:
    """A decimal of any length, or NAN."""
    return NAN if text == "NaN" else Decimal(text)


def encode_bool(value: bool) -> str:
    """As the log prints it.

    >>> encode_bool(True)
    't'
    """
    return "t" if value else "f"


def encode_float8(value: Number) -> str:
    """The shortest text that reads back as the same double, in Postgres's spelling.

    >>> [encode_float8(v) for v in (1.0, 0.0001, 0.00001, 1e14, 1e15, 1e23, -math.inf)]
    ['1', '0.0001', '1e-05', '100000000000000', '1e+15', '9.999999999999999e+22', '-Infinity']
    """
    if isinstance(value, NotANumber):
        return "NaN"
    number = float(value)
    if abs(number) < _MIDPOINTS_ARE_LONG:
        return _spelled(repr(number), plain_below=15)
    return _infinite(number) or _spelled(_shortest(number, single=False), plain_below=15)


def encode_float4(value: Number) -> str:
    """The shortest text that reads back as the same single.

    >>> encode_float4(0.10000000149011612), encode_float4(16777216.0)
    ('0.1', '1.6777216e+07')
    """
    if isinstance(value, NotANumber):
        return "NaN"
    number = float(value)
    return _infinite(number) or _spelled(_shortest(number, single=True), plain_below=6)


_MIDPOINTS_ARE_LONG = 2.0**52
"""Below it, a number halfway between two doubles has more than 17 digits."""


def _infinite(number: float) -> str:
    if not math.isinf(number):
        return ""
    return "Infinity" if number > 0 else "-Infinity"


def _shortest(number: float, *, single: bool) -> str:
    """The nearest of the shortest decimals that lie strictly nearer to *number* than to its neighbours.

    Python's ``repr`` also takes one that lies halfway, Postgres does not (``common/d2s.c``).
    """
    if not number:
        return repr(number)
    if number < 0:
        return "-" + _shortest(-number, single=single)
    below, above = _neighbours(number, single=single)
    exact = Decimal(number)
    for precision in range(1, 18):
        for rounding in _NEAREST_FIRST:
            decimal = Context(prec=precision, rounding=rounding).plus(exact)
            if below < 2 * Fraction(decimal) - Fraction(exact) < above:
                return str(decimal)
    raise ValueError(number)


_NEAREST_FIRST = (ROUND_HALF_EVEN, ROUND_CEILING)
"""A power of two has its neighbour above further away, so that a decimal above it may do where the nearest does not."""


def _neighbours(number: float, *, single: bool) -> tuple[Fraction, Fraction]:
    """What is next below and above a positive number among the doubles (or singles)."""
    if not single:
        above = math.nextafter(number, math.inf)
        below = Fraction(math.nextafter(number, -math.inf))
        return below, 2 * Fraction(number) - below if math.isinf(above) else Fraction(above)
    (bits,) = struct.unpack("<i", struct.pack("<f", number))
    below, above = (struct.unpack("<f", struct.pack("<i", bits + step))[0] for step in (-1, 1))
    return Fraction(below), 2 * Fraction(number) - Fraction(below) if math.isinf(
        above
    ) else Fraction(above)


def _spelled(text: str, *, plain_below: int) -> str:
    """Plain from 1e-4 up to (not including) ``10 ** plain_below``, scientific outside, as float8out does."""
    sign, parts, exponent = Decimal(text).normalize().as_tuple()
    digits = "".join(map(str, parts))
    if digits == "0":
        return "-0" if sign else "0"
    magnitude = len(digits) + int(exponent) - 1
    if -4 <= magnitude < plain_below:
        written = format(Decimal(f"{digits}E{exponent}"), "f")
    else:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        written = f"{mantissa}e{'-' if magnitude < 0 else '+'}{abs(magnitude):02d}"
    return "-" + written if sign else written


def encode_numeric(value: Number) -> str:
    """With its scale, never scientific, zero without a sign.

    >>> encode_numeric(Decimal("-0.00")), encode_numeric(Decimal("1e3"))
    ('0.00', '1000')
    """
    if isinstance(value, NotANumber):
        return "NaN"
    number = Decimal(value)
    if number.is_infinite():
        return "Infinity" if number > 0 else "-Infinity"
    text = format(number, "f")
    return text.lstrip("-") if not number else text


def canonical_integer(text: str, *, bits: int) -> str:
    """Decimal digits with a sign or without, as every Postgres reads them.

    >>> canonical_integer(" +007 ", bits=16)
    '7'
    """
    text = text.strip(SPACES)
    if not _INTEGER.fullmatch(text) or len(text.lstrip("+-0")) > 19:
        raise ValueError(text)
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(text)
    return str(value)


def canonical_float8(text: str) -> str:
    """As float8in reads it, without hexadecimal; what overflows or vanishes is refused.

    >>> canonical_float8(" 1.50e1 "), canonical_float8("-nan"), canonical_float8("INF")
    ('15', 'NaN', 'Infinity')
    """
    return encode_float8(_read_float(text, single=False))


def canonical_float4(text: str) -> str:
    """As float4in reads it.

    >>> canonical_float4(".1"), canonical_float4("123456789")
    ('0.1', '1.2345679e+08')
    """
    return encode_float4(_read_float(text, single=True))


def _read_float(text: str, *, single: bool) -> float | NotANumber:
    text = text.strip(SPACES)
    if _FLOAT_WORDS.fullmatch(text):
        return NAN if text[-1] in "nN" else float(text)
    if not _DECIMAL.fullmatch(text) or len(text) > _NUMERIC_DIGITS:
        raise ValueError(text)
    exponent = text.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _NUMERIC_DIGITS:
        raise ValueError(text)
    if single:
        return single_of(Decimal(text)) or math.copysign(0.0, float(text))
    return _finite(float(text), is_zero=not text.lower().split("e")[0].strip("+-0."))


def canonical_numeric(text: str) -> str:
    """As numeric_in of Postgres 14 reads it, up to a thousand digits.

    >>> canonical_numeric("1.50"), canonical_numeric("1e3"), canonical_numeric("-.0")
    ('1.50', '1000', '0.0')
    """
    text = text.strip(SPACES)
    if _NUMERIC_WORDS.fullmatch(text):
        return "NaN" if text[-1] in "nN" else encode_numeric(Decimal(text))
    if not _DECIMAL.fullmatch(text) or len(text) > _NUMERIC_DIGITS:
        raise ValueError(text)
    number = Decimal(text)
    if (
        abs(number.adjusted()) > _NUMERIC_DIGITS
        or abs(int(number.as_tuple().exponent)) > _NUMERIC_DIGITS
    ):
        raise ValueError(text)
    return encode_numeric(number)


def canonical_oid(text: str) -> str:
    """Decimal digits; Postgres also takes a negative number, and reads it modulo 2^32.

    >>> canonical_oid(" 007 ")
    '7'
    """
    text = text.strip(SPACES)
    if not text.isascii() or not text.isdigit() or len(text.lstrip("0")) > 10 or int(text) >> 32:
        raise ValueError(text)
    return str(int(text))


def canonical_bool(text: str) -> str:
    """Any unambiguous beginning of true, false, yes, no, on, off; 1 and 0.

    >>> canonical_bool(" YES "), canonical_bool("0")
    ('t', 'f')
    """
    try:
        return _BOOLEAN_WORDS[text.strip(SPACES).lower()]
    except KeyError:
        raise ValueError(text) from None


def _finite(number: float, *, is_zero: bool) -> float:
    """*number* unless the conversion that made it overflowed or vanished: Postgres fails there."""
    if math.isinf(number) or (number == 0 and not is_zero):
        raise ValueError("out of range for type float8")
    return number


def float8_of(value: Any) -> float | NotANumber:
    """An integer or numeric as a double; Postgres fails where it does not fit, so do we."""
    number: int | Decimal | NotANumber = value
    if isinstance(number, NotANumber):
        return number
    if isinstance(number, Decimal) and number.is_infinite():
        return float(number)
    return _finite(float(number), is_zero=not number)

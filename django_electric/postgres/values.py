"""A value's Postgres text, and a Python value that compares the way Postgres compares (WHERE.md section 4).

Two directions. ``decode`` reads what Postgres *prints* (replication stream, ``column::text``) under
the session settings of PROTOCOL section 4.8. ``canonical`` reads what a user *writes* in a literal
and answers with the text that Postgres would print for it. Only spellings that every supported
Postgres reads alike are taken: ISO 8601 and the common ones; all others raise ValueError.

Dates count days, timestamps microseconds, both from 1970-01-01 and with ``math.inf`` for infinity,
so that BC, the year 10000 and infinity are in order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import NamedTuple


class NotANumber:
    """Postgres's NaN: equal to itself and greater than every number.

    >>> NAN == NAN, NAN > math.inf, 1.5 < NAN, Decimal(7) >= NAN
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

Value = str | int | float | Decimal | NotANumber
"""A decoded value; ``bool`` is an ``int``. Values of one type are totally ordered."""

MICROSECONDS_PER_DAY = 86_400_000_000

# What isspace() says of a byte in the C locale; Unicode's other spaces are not trimmed.
_SPACES = " \t\n\v\f\r"


# --- numbers and booleans ---------------------------------------------------------------------

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


def decode_numeric(text: str) -> Decimal | NotANumber:
    """A decimal of any length, or NAN."""
    return NAN if text == "NaN" else Decimal(text)


def encode_bool(value: Value) -> str:
    """As the log prints it.

    >>> encode_bool(True)
    't'
    """
    return "t" if value else "f"


def encode_float8(value: Value) -> str:
    """The shortest text that reads back as the same double, in Postgres's spelling.

    >>> [encode_float8(v) for v in (1.0, 0.0001, 0.00001, 1e14, 1e15, -math.inf)]
    ['1', '0.0001', '1e-05', '100000000000000', '1e+15', '-Infinity']
    """
    if value is NAN:
        return "NaN"
    number = float(value)  # type: ignore[arg-type]  # NAN is gone
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    return ("-" if sign else "") + _shortest("".join(map(str, digits)), int(exponent))


def _shortest(digits: str, exponent: int) -> str:
    """Plain from 1e-4 up to (not including) 1e15, scientific outside, as float8out does."""
    magnitude = len(digits) + exponent - 1
    if digits == "0":
        return "0"
    if not -4 <= magnitude < 15:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{mantissa}e{'-' if magnitude < 0 else '+'}{abs(magnitude):02d}"
    return format(Decimal(f"{digits}E{exponent}"), "f")


def encode_numeric(value: Value) -> str:
    """With its scale, never scientific, zero without a sign.

    >>> encode_numeric(Decimal("-0.00")), encode_numeric(Decimal("1e3"))
    ('0.00', '1000')
    """
    if value is NAN:
        return "NaN"
    number = Decimal(value)  # type: ignore[arg-type]  # NAN is gone
    if number.is_infinite():
        return "Infinity" if number > 0 else "-Infinity"
    text = format(number, "f")
    return text.lstrip("-") if not number else text


def canonical_integer(text: str, *, bits: int) -> str:
    """Decimal digits with a sign or without, as every Postgres reads them.

    >>> canonical_integer(" +007 ", bits=16)
    '7'
    """
    text = text.strip(_SPACES)
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
    text = text.strip(_SPACES)
    if _FLOAT_WORDS.fullmatch(text):
        return "NaN" if text[-1] in "nN" else encode_float8(float(text))
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    return encode_float8(_finite(float(text), is_zero=not text.lower().split("e")[0].strip("+-0.")))


def _finite(number: float, *, is_zero: bool) -> float:
    """*number* unless the conversion that made it overflowed or vanished: Postgres fails there."""
    if math.isinf(number) or (number == 0 and not is_zero):
        raise ValueError("out of range for type float8")
    return number


def canonical_numeric(text: str) -> str:
    """As numeric_in of Postgres 14 reads it, up to a thousand digits.

    >>> canonical_numeric("1.50"), canonical_numeric("1e3"), canonical_numeric("-.0")
    ('1.50', '1000', '0.0')
    """
    text = text.strip(_SPACES)
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


def canonical_bool(text: str) -> str:
    """Any unambiguous beginning of true, false, yes, no, on, off; 1 and 0.

    >>> canonical_bool(" YES "), canonical_bool("0")
    ('t', 'f')
    """
    try:
        return _BOOLEAN_WORDS[text.strip(_SPACES).lower()]
    except KeyError:
        raise ValueError(text) from None


def float8_of(value: Value) -> float | NotANumber:
    """An integer or numeric as a double; Postgres fails where it does not fit, so do we."""
    if isinstance(value, NotANumber):
        return value
    if isinstance(value, Decimal) and value.is_infinite():
        return float(value)
    return _finite(float(value), is_zero=not value)


# --- text and uuid ----------------------------------------------------------------------------

_UUID = re.compile(r"(\{)?[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}(?(1)\})")


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def is_text(text: str) -> bool:
    """Whether Postgres can hold it: no NUL, no half of a surrogate pair."""
    return _NO_TEXT.search(text) is None


def canonical_text(text: str) -> str:
    """Any text is its own."""
    if not is_text(text):
        raise ValueError(text)
    return text


def canonical_uuid(text: str) -> str:
    """Hexadecimal digits of either case, hyphens after any fourth, braces around.

    >>> canonical_uuid("{550E8400E29B41D4-a716446655440000}")
    '550e8400-e29b-41d4-a716-446655440000'
    """
    if not _UUID.fullmatch(text):
        raise ValueError(text)
    digits = text.strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# --- dates and timestamps ---------------------------------------------------------------------

Moment = int | float
"""Days or microseconds since 1970-01-01; a float only if infinite."""


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.

    The year is made to begin in March, so that the leap day is its last.

    >>> _days_from_civil(1970, 1, 1), _days_from_civil(2000, 3, 1), _days_from_civil(0, 2, 29)
    (0, 11017, -719469)
    """
    if month <= 2:
        year, month = year - 1, month + 12
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month - 457) // 5 + day - 719_469


def _civil_from_days(days: int) -> tuple[int, int, int]:
    """The inverse of `_days_from_civil`."""
    days += 719_468
    era, days = divmod(days, 146_097)
    year_of_era = (days - days // 1_460 + days // 36_524 - days // 146_096) // 365
    day_of_year = days - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    year = era * 400 + year_of_era + (1 if month >= 10 else 0)
    return year, month + 3 if month < 10 else month - 9, day


_FIRST_DAY = _days_from_civil(-4713, 11, 24)
_LAST_DAY = _days_from_civil(5_874_897, 12, 31)
_FIRST_MICROSECOND = _FIRST_DAY * MICROSECONDS_PER_DAY
_END_OF_TIME = _days_from_civil(294_277, 1, 1) * MICROSECONDS_PER_DAY

_SPECIAL_MOMENTS: Mapping[str, Moment] = {"infinity": math.inf, "-infinity": -math.inf, "epoch": 0}


@lru_cache(maxsize=4096)
def decode_date(text: str) -> Moment:
    """Days since 1970-01-01.

    >>> decode_date("1970-01-02"), decode_date("0001-12-31 BC"), decode_date("-infinity")
    (1, -719163, -inf)
    """
    if text in _SPECIAL_MOMENTS:
        return _SPECIAL_MOMENTS[text]
    digits, _, era = text.partition(" ")
    year, month, day = digits.split("-")
    return _days_from_civil(1 - int(year) if era else int(year), int(month), int(day))


def decode_timestamp(text: str) -> Moment:
    """Microseconds since 1970-01-01, of ``timestamp`` and (its zone is UTC) ``timestamptz``.

    >>> decode_timestamp("1970-01-01 00:00:01.5"), decode_timestamp("1970-01-02 00:00:00+00")
    (1500000, 86400000000)
    """
    if text[16:17] == ":" and text[-1] != "C":
        fraction = text[20:].partition("+")[0]
        microseconds = int(fraction.ljust(6, "0")) if fraction and text[19] == "." else 0
        return _minute(text[:16]) + int(text[17:19]) * 1_000_000 + microseconds
    return _decode_any_timestamp(text)


@lru_cache(maxsize=4096)
def _minute(text: str) -> int:
    """What ``YYYY-MM-DD HH:MM`` is in microseconds: rows written together share it."""
    day = _days_from_civil(int(text[:4]), int(text[5:7]), int(text[8:10]))
    return (day * 1440 + int(text[11:13]) * 60 + int(text[14:])) * 60_000_000


def _decode_any_timestamp(text: str) -> Moment:
    """Also infinity, BC, and years of more than four digits."""
    if text in _SPECIAL_MOMENTS:
        return _SPECIAL_MOMENTS[text]
    day, clock = text.split(" ", 1)
    if clock.endswith(" BC"):
        day, clock = day + " BC", clock[:-3]
    clock = clock.removesuffix("+00")
    seconds = int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:8])
    fraction = int(clock[9:].ljust(6, "0")) if len(clock) > 8 else 0
    return decode_date(day) * MICROSECONDS_PER_DAY + seconds * 1_000_000 + fraction


def encode_date(value: Value) -> str:
    """As Postgres prints it under ``DateStyle = ISO``.

    >>> encode_date(0), encode_date(decode_date("0044-03-15 BC")), encode_date(math.inf)
    ('1970-01-01', '0044-03-15 BC', 'infinity')
    """
    day, era = _printed_day(value)
    return day + era


def encode_timestamp(value: Value) -> str:
    """As Postgres prints a timestamp.

    >>> encode_timestamp(1_500_000)
    '1970-01-01 00:00:01.5'
    """
    return _printed_timestamp(value, zone="")


def encode_timestamptz(value: Value) -> str:
    """As Postgres prints a timestamptz under ``TimeZone = UTC``.

    >>> encode_timestamptz(1_500_000)
    '1970-01-01 00:00:01.5+00'
    """
    return _printed_timestamp(value, zone="+00")


def _printed_day(value: Value) -> tuple[str, str]:
    if value in (math.inf, -math.inf):
        return ("infinity" if value == math.inf else "-infinity"), ""
    year, month, day = _civil_from_days(int(value))  # type: ignore[arg-type]  # a date
    return f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day:02d}", "" if year > 0 else " BC"


def _printed_timestamp(value: Value, zone: str) -> str:
    if value in (math.inf, -math.inf):
        return _printed_day(value)[0]
    days, rest = divmod(int(value), MICROSECONDS_PER_DAY)  # type: ignore[arg-type]  # a timestamp
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    day, era = _printed_day(days)
    return f"{day} {clock}{digits}{zone}{era}"


_MOMENT = re.compile(
    r"""(?P<year>[0-9]{4,7})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})
        (?:(?:[Tt]|[ ]+)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})
           (?::(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{0,30}))?)?
           (?P<zone>[ ]?[Zz]|[ ]?[+-][0-9]{2}(?::?[0-9]{2}(?::[0-9]{2})?)?)?)?
        (?P<era>[ ]BC)?""",
    re.VERBOSE,
)


class _Written(NamedTuple):
    """A literal's day and, apart, the microseconds of its clock and of its zone's offset."""

    day: int
    clock: int
    offset: int


def _read_moment(text: str) -> _Written | Moment:
    trimmed = text.strip(_SPACES)
    if trimmed.lower() in _SPECIAL_MOMENTS:
        return _SPECIAL_MOMENTS[trimmed.lower()]
    match = _MOMENT.fullmatch(trimmed)
    if not match:
        raise ValueError(text)
    day = _checked_day(
        int(match["year"]), int(match["month"]), int(match["day"]), bool(match["era"])
    )
    return _Written(day, _clock(match), _offset((match["zone"] or "").strip()))


def _checked_day(year: int, month: int, day: int, is_bc: bool) -> int:
    if not (year and 1 <= month <= 12 and day):
        raise ValueError("no such day")
    days = _days_from_civil(1 - year if is_bc else year, month, day)
    if _civil_from_days(days)[1] != month or not _FIRST_DAY <= days <= _LAST_DAY:
        raise ValueError("no such day")
    return days


def _clock(match: re.Match[str]) -> int:
    """Microseconds since midnight; 24:00:00 and a sixtieth second are the next day or minute."""
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    # Postgres rounds the double nearest to the fraction, so this rounds the same double.
    fraction = round(float("0." + (match["fraction"] or "0")) * 1e6)
    clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    if minute > 59 or second > 60 or (second == 60 and fraction) or hour > 24:
        raise ValueError("no such time")
    if hour == 24 and clock > MICROSECONDS_PER_DAY:
        raise ValueError("no such time")
    return clock


def _offset(zone: str) -> int:
    if zone in ("", "Z", "z"):
        return 0
    digits = zone[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    if hours > 15 or minutes > 59 or seconds > 59:
        raise ValueError("no such offset")
    total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    return -total if zone[0] == "-" else total


def canonical_date(text: str) -> str:
    """An ISO date; a time of day after it is checked and dropped, as Postgres does.

    >>> canonical_date("2024-1-9"), canonical_date("2024-01-09T10:00Z"), canonical_date("EPOCH")
    ('2024-01-09', '2024-01-09', '1970-01-01')
    """
    written = _read_moment(text)
    return encode_date(written.day if isinstance(written, _Written) else written)


def canonical_timestamp(text: str) -> str:
    """An ISO timestamp, or a date for its midnight; an offset is checked and dropped.

    >>> canonical_timestamp("2024-01-09T10:00:00.1234567+02")
    '2024-01-09 10:00:00.123457'
    """
    return encode_timestamp(_in_range(_read_moment(text), with_offset=False))


def canonical_timestamptz(text: str) -> str:
    """An ISO timestamp in UTC unless it carries an offset.

    >>> canonical_timestamptz("2024-01-09"), canonical_timestamptz("2024-01-09 10:00+02:30")
    ('2024-01-09 00:00:00+00', '2024-01-09 07:30:00+00')
    """
    return encode_timestamptz(_in_range(_read_moment(text), with_offset=True))


def _in_range(written: _Written | Moment, *, with_offset: bool) -> Moment:
    if not isinstance(written, _Written):
        return written
    local = written.day * MICROSECONDS_PER_DAY + written.clock
    return timestamp_in_range(local - written.offset if with_offset else local)


def timestamp_in_range(value: Moment) -> Moment:
    """*value* if Postgres has a timestamp for it."""
    if math.isinf(value) or _FIRST_MICROSECOND <= value < _END_OF_TIME:
        return value
    raise ValueError("timestamp out of range")


def timestamp_of_date(value: Moment) -> Moment:
    """Midnight, even where no timestamp exists: mixed comparisons do not overflow in Postgres."""
    return value * MICROSECONDS_PER_DAY


def date_of_timestamp(value: Moment) -> Moment:
    """The day that a timestamp lies in."""
    return value if math.isinf(value) else value // MICROSECONDS_PER_DAY


# --- the table --------------------------------------------------------------------------------


class ValueType(NamedTuple):
    """How texts of one type are read and written."""

    decode: Callable[[str], Value]
    encode: Callable[[Value], str]
    canonical: Callable[[str], str]
    is_canonical: bool = True
    """Whether equal values have equal texts, so that ``=`` may compare texts."""


TYPES: Mapping[str, ValueType] = {
    "bool": ValueType(decode_bool, encode_bool, canonical_bool, is_canonical=False),
    "int2": ValueType(int, str, partial(canonical_integer, bits=16)),
    "int4": ValueType(int, str, partial(canonical_integer, bits=32)),
    "int8": ValueType(int, str, partial(canonical_integer, bits=64)),
    "float8": ValueType(decode_float8, encode_float8, canonical_float8, is_canonical=False),
    "numeric": ValueType(decode_numeric, encode_numeric, canonical_numeric, is_canonical=False),
    "text": ValueType(str, str, canonical_text),
    "varchar": ValueType(str, str, canonical_text),
    # Lower-case hexadecimal is in the order of the bytes that it stands for.
    "uuid": ValueType(str, str, canonical_uuid),
    "date": ValueType(decode_date, encode_date, canonical_date),
    "timestamp": ValueType(decode_timestamp, encode_timestamp, canonical_timestamp),
    "timestamptz": ValueType(decode_timestamp, encode_timestamptz, canonical_timestamptz),
}

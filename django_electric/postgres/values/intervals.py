"""interval: months, days and microseconds, that do not know of one another until they are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from django_electric.postgres.values.base import SPACES
from django_electric.postgres.values.moments import MICROSECONDS_PER_DAY

_GREATEST_INT4 = 2**31 - 1
_GREATEST_INT8 = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Compared as if a month had 30 days and a day 24 hours (``interval_cmp_value``).

    >>> Interval(1, 0, 0) == Interval(0, 30, 0), Interval(0, 1, 0) < Interval(0, 0, 86_400_000_001)
    (True, True)
    """

    months: int
    days: int
    microseconds: int

    @property
    def span(self) -> int:
        """What is compared, in microseconds."""
        return (self.months * 30 + self.days) * MICROSECONDS_PER_DAY + self.microseconds

    @property
    def is_infinite(self) -> bool:
        """Whether Postgres 17 and newer take it for an infinity; older ones have none."""
        return (self.months, self.days, self.microseconds) in (_INFINITE, _MINUS_INFINITE)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interval) and self.span == other.span

    def __hash__(self) -> int:
        return hash(self.span)

    def __lt__(self, other: Interval) -> bool:
        return self.span < other.span

    def __le__(self, other: Interval) -> bool:
        return self.span <= other.span

    def __gt__(self, other: Interval) -> bool:
        return self.span > other.span

    def __ge__(self, other: Interval) -> bool:
        return self.span >= other.span


_INFINITE = (_GREATEST_INT4, _GREATEST_INT4, _GREATEST_INT8)
_MINUS_INFINITE = (-_GREATEST_INT4 - 1, -_GREATEST_INT4 - 1, -_GREATEST_INT8 - 1)


def checked_interval(months: int, days: int, microseconds: int) -> Interval:
    """The interval; ValueError if a field does not fit, or if all three make an infinity."""
    if (
        not -_GREATEST_INT4 - 1 <= months <= _GREATEST_INT4
        or not -_GREATEST_INT4 - 1 <= days <= _GREATEST_INT4
        or not -_GREATEST_INT8 - 1 <= microseconds <= _GREATEST_INT8
    ):
        raise ValueError("interval out of range")
    interval = Interval(months, days, microseconds)
    if interval.is_infinite:
        raise ValueError("interval out of range")
    return interval


_PRINTED = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?"
    r"(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d+))?S)?)?",
    re.ASCII,
)


def decode_interval(text: str) -> Interval:
    """What ``IntervalStyle = iso_8601`` prints.

    >>> decode_interval("P1Y2M-3DT-4H-0.5S")
    Interval(months=14, days=-3, microseconds=-14400500000)
    """
    match = _PRINTED.fullmatch(text)
    if not match:
        return Interval(*{"infinity": _INFINITE, "-infinity": _MINUS_INFINITE}[text])
    years, months, days, hours, minutes = (int(part or 0) for part in match.groups()[:5])
    fraction = int((match[8] or "").ljust(6, "0"))
    seconds = int(match[7] or 0) * 1_000_000 + fraction
    clock = (hours * 60 + minutes) * 60_000_000 + (-seconds if match[6] else seconds)
    return Interval(years * 12 + months, days, clock)


def encode_interval(value: Interval) -> str:
    """As ``IntervalStyle = iso_8601`` prints it.

    >>> encode_interval(Interval(14, -3, -14_400_500_000)), encode_interval(Interval(0, 0, 0))
    ('P1Y2M-3DT-4H-0.5S', 'PT0S')
    """
    if value.is_infinite:
        return "infinity" if value.months > 0 else "-infinity"
    sign = -1 if value.months < 0 else 1
    years, months = divmod(abs(value.months), 12)
    day = _printed((years * sign, "Y"), (months * sign, "M"), (value.days, "D"))
    clock = _printed_clock(value.microseconds)
    return f"P{day}T{clock}" if clock else f"P{day}" if day else "PT0S"


def _printed(*parts: tuple[int, str]) -> str:
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _printed_clock(microseconds: int) -> str:
    sign = -1 if microseconds < 0 else 1
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    clock = _printed((seconds // 3600 * sign, "H"), (seconds // 60 % 60 * sign, "M"))
    if not (seconds % 60 or fraction):
        return clock
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{clock}{'-' if sign < 0 else ''}{seconds % 60}{digits}S"


# --- what users write -----------------------------------------------------------------------------

_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("us", "usec", "usecs", "microsecond", "microseconds"), "microsecond"),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "millisecond"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("w", "week", "weeks"), "week"),
    **dict.fromkeys(("mon", "mons", "month", "months"), "month"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "year"),
    **dict.fromkeys(("dec", "decs", "decade", "decades"), "decade"),
    **dict.fromkeys(("c", "cent", "century", "centuries"), "century"),
    **dict.fromkeys(("mil", "mils", "millennium", "millennia"), "millennium"),
}
_CLOCK_UNITS: Mapping[str, int] = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
}
_DAY_UNITS: Mapping[str, int] = {"day": 1, "week": 7}
_YEAR_UNITS: Mapping[str, int] = {"year": 1, "decade": 10, "century": 100, "millennium": 1000}
_ISO_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")

_NUMBER = r"(?:[+-]?[0-9]{1,10}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})"
_PART = r"(-?[0-9]{1,10}(?:\.[0-9]{1,15})?)"
_ISO = re.compile(
    rf"P(?:{_PART}Y)?(?:{_PART}M)?(?:{_PART}W)?(?:{_PART}D)?"
    rf"(?:T(?:{_PART}H)?(?:{_PART}M)?(?:{_PART}S)?)?"
)
_ISO_DATE = re.compile(
    r"P([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,6})?))?"
)
_TOKEN = re.compile(
    rf"""(?P<clock>(?P<sign>[+-]?)(?P<hour>[0-9]{{1,9}}):(?P<minute>[0-5]?[0-9])
                   (?::(?P<second>[0-5]?[0-9](?:\.[0-9]{{1,6}})?))?)(?![0-9.:\w])
      |  (?P<years>[+-]?[0-9]{{1,9}})-(?P<months>[0-9]{{1,2}})(?![0-9.:\w-])
      |  (?P<number>{_NUMBER})(?![0-9.:-])[ ]*(?P<unit>[a-z]+)?(?![0-9.:-])
    """,
    re.VERBOSE,
)
_BETWEEN = re.compile(r"[ \t\n\v\f\r]*")


def canonical_interval(text: str) -> str:
    """The verbose form, the one of the SQL standard, and the two of ISO 8601, as the last of these.

    A fraction of a unit is taken if it is a whole number of microseconds.

    >>> canonical_interval("1 year 2 mons 3 days 04:05:06.5"), canonical_interval("1-2"), canonical_interval("90 min ago")
    ('P1Y2M3DT4H5M6.5S', 'P1Y2M', 'PT-1H-30M')
    """
    trimmed = text.strip(SPACES)
    total = _Total()
    if match := _ISO.fullmatch(trimmed):
        parts = [
            (number, unit)
            for number, unit in zip(match.groups(), _ISO_UNITS, strict=True)
            if number
        ]
    elif match := _ISO_DATE.fullmatch(trimmed):
        units = ("year", "month", "day", "hour", "minute", "second")
        parts = [(number or "0", unit) for number, unit in zip(match.groups(), units, strict=True)]
    else:
        return encode_interval(_read_verbose(trimmed))
    if not parts or trimmed.endswith("T"):
        raise ValueError(text)
    for number, unit in parts:
        total.add(number, unit)
    return encode_interval(total.interval())


def _read_verbose(text: str) -> Interval:
    body = text.lower().removeprefix("@")
    sign = 1
    if re.search(r"[a-z0-9]\s+ago$", body, re.ASCII):
        sign, body = -1, body[:-3].rstrip(SPACES)
    total = _Total()
    seen: set[str] = set()
    tokens = list(_tokens(body))
    if not tokens:
        raise ValueError(text)
    for place, match in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        for number, unit in _read_token(match, following, is_ago=sign < 0):
            if unit in seen:
                raise ValueError(text)
            seen.add(unit)
            total.add(number, unit)
    if len(seen & {"second", "millisecond", "microsecond"}) > 1:
        raise ValueError(text)
    return total.interval(sign)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    place = _BETWEEN.match(text).end()  # type: ignore[union-attr]  # it matches the empty text
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match:
            raise ValueError(text)
        yield match
        place = _BETWEEN.match(text, match.end()).end()  # type: ignore[union-attr]


def _read_token(
    match: re.Match[str], following: re.Match[str] | None, *, is_ago: bool
) -> list[tuple[str, str]]:
    """A token as numbers with units; *following* is the next token."""
    if match["clock"]:
        parts = (
            (match["hour"], "hour"),
            (match["minute"], "minute"),
            (match["second"] or "0", "second"),
        )
        return [(match["sign"] + number, unit) for number, unit in parts]
    if match["years"]:
        if int(match["months"]) > 11:
            raise ValueError(match[0])
        sign = "-" if match["years"].startswith("-") else ""
        return [(match["years"], "year"), (sign + match["months"], "month")]
    if match["unit"]:
        try:
            return [(match["number"], _UNITS[match["unit"]])]
        except KeyError:
            raise ValueError(match[0]) from None
    if following is None and not is_ago:
        return [(match["number"], "second")]
    if following and following["clock"]:
        return [(match["number"], "day")]
    raise ValueError(match[0])


class _Total:
    """The sum of numbers with units (``DecodeInterval``)."""

    def __init__(self) -> None:
        self._months = self._days = self._microseconds = 0

    def add(self, number: str, unit: str) -> None:
        """*number* is decimal; a fraction of it spills into the smaller fields."""
        sign = -1 if number.startswith("-") else 1
        whole, _, digits = number.lstrip("+-").partition(".")
        value = int(whole or 0) * sign
        if abs(value) > _GREATEST_INT4:
            raise ValueError("interval field value out of range")
        fraction = float("0." + digits) * sign if digits.strip("0") else 0.0
        exact = Fraction("0." + (digits or "0")) * sign
        if unit in _CLOCK_UNITS:
            self._microseconds += value * _CLOCK_UNITS[unit] + _whole(exact * _CLOCK_UNITS[unit])
        elif unit in _DAY_UNITS:
            self._days += value * _DAY_UNITS[unit]
            self._add_days(fraction, exact, _DAY_UNITS[unit])
        elif unit == "month":
            self._months += value
            self._add_days(fraction, exact, 30)
        else:
            if Fraction(fraction) != exact:
                raise ValueError(
                    "Postgres 14 cuts off a fraction of a year where newer ones round it"
                )
            self._months += value * _YEAR_UNITS[unit] * 12
            self._months += _whole(exact * _YEAR_UNITS[unit] * 12)

    def _add_days(self, fraction: float, exact: Fraction, scale: int) -> None:
        """*fraction* of so many days: the days of the double that Postgres computes, the rest as a clock."""
        microseconds = _whole(exact * scale * MICROSECONDS_PER_DAY)
        days = math.trunc(fraction * scale) if scale > 1 else 0
        self._days += days
        self._microseconds += microseconds - days * MICROSECONDS_PER_DAY

    def interval(self, sign: int = 1) -> Interval:
        """The sum; ValueError if a field does not fit."""
        return checked_interval(self._months * sign, self._days * sign, self._microseconds * sign)


def _whole(number: Fraction) -> int:
    """*number*, if it is a whole one: how others are rounded depends on the version."""
    if number.denominator != 1:
        raise ValueError("a fraction of a microsecond or of a month")
    return number.numerator

"""Parts of moments: ``extract``, ``date_part`` and ``date_trunc`` of date, time, timestamp and timestamptz in UTC.

A part of an infinite moment is NULL or infinite.
"""

from __future__ import annotations

from decimal import Decimal

from django_electric.postgres.values import (
    MICROSECONDS_PER_DAY,
    Moment,
    is_infinite,
    timestamp_in_range,
)
from django_electric.postgres.values.moments import civil_from_days, days_from_civil
from django_electric.where.errors import Undecided
from django_electric.where.runtime import numerics
from django_electric.where.runtime.moments import timestamp_of_date

_UNITS = {
    **dict.fromkeys(("microsecond", "microseconds", "us", "usec", "usecs"), "microseconds"),
    **dict.fromkeys(("millisecond", "milliseconds", "ms", "msec", "msecs"), "milliseconds"),
    **dict.fromkeys(("second", "seconds", "s", "sec", "secs"), "second"),
    **dict.fromkeys(("minute", "minutes", "m", "min", "mins"), "minute"),
    **dict.fromkeys(("hour", "hours", "h", "hr", "hrs"), "hour"),
    **dict.fromkeys(("day", "days", "d"), "day"),
    **dict.fromkeys(("week", "weeks", "w"), "week"),
    **dict.fromkeys(("month", "months", "mon", "mons"), "month"),
    **dict.fromkeys(("quarter", "qtr"), "quarter"),
    **dict.fromkeys(("year", "years", "y", "yr", "yrs"), "year"),
    **dict.fromkeys(("decade", "decades", "dec", "decs"), "decade"),
    **dict.fromkeys(("century", "centuries", "cent", "c"), "century"),
    **dict.fromkeys(("millennium", "millennia", "mil", "mils"), "millennium"),
}
_SPECIAL_UNITS = frozenset({"dow", "isodow", "doy", "isoyear", "julian", "epoch"})
_MONOTONIC = frozenset({"year", "decade", "century", "millennium", "julian", "isoyear", "epoch"})
_CLOCK_UNITS = frozenset({"microseconds", "milliseconds", "second", "minute", "hour"})
_ZONE_UNITS = frozenset({"timezone", "timezone_hour", "timezone_minute"})
JULIAN_DAY_OF_1970 = 2_440_588


def unit_of(field: str) -> str:
    """The unit that *field* names, in any case; Undecided for a name that is not known here.

    >>> unit_of("Years"), unit_of("DOW")
    ('year', 'dow')
    """
    name = field.lower()
    if name in _SPECIAL_UNITS or name in _ZONE_UNITS:
        return name
    try:
        return _UNITS[name]
    except KeyError:
        raise Undecided(f"the unit {field!r} is left to Postgres") from None


def extract_date(field: str, date: Moment) -> Decimal | None:
    """``extract(field FROM date)``; NULL or infinity for an infinite date.

    >>> extract_date("doy", 59)
    Decimal('60')
    """
    unit = unit_of(field)
    if unit in _CLOCK_UNITS or unit in _ZONE_UNITS:
        raise ValueError(f"unit {unit} not supported for type date")
    if is_infinite(date):
        return _of_infinity(unit, date)
    if unit == "epoch":
        return Decimal(int(date) * 86_400)
    return Decimal(_day_part(unit, int(date)))


def _of_infinity(unit: str, moment: Moment) -> Decimal | None:
    return Decimal(moment) if unit in _MONOTONIC else None


def extract_timestamp(field: str, timestamp: Moment) -> Decimal | None:
    """``extract(field FROM timestamp)``, with the scale that Postgres gives it.

    >>> extract_timestamp("second", 1_500_000), extract_timestamp("year", 0)
    (Decimal('1.500000'), Decimal('1970'))
    """
    unit = unit_of(field)
    if unit in _ZONE_UNITS and not is_infinite(timestamp):
        raise ValueError(f"unit {unit} not supported for type timestamp")
    return _extract(unit, timestamp)


def extract_timestamptz(field: str, timestamp: Moment) -> Decimal | None:
    """``extract(field FROM timestamptz)``, in UTC."""
    unit = unit_of(field)
    if unit in _ZONE_UNITS:
        return None if is_infinite(timestamp) else Decimal(0)
    return _extract(unit, timestamp)


def _extract(unit: str, timestamp: Moment) -> Decimal | None:
    if is_infinite(timestamp):
        return _of_infinity(unit, timestamp)
    days, clock = divmod(int(timestamp), MICROSECONDS_PER_DAY)
    if unit == "epoch":
        if timestamp >= 2**63:
            raise Undecided("Postgres computes these in another way")
        return scaled(int(timestamp), 6)
    if unit == "julian":
        return _julian(days, clock)
    return clock_part(unit, clock) if unit in _CLOCK_UNITS else Decimal(_day_part(unit, days))


def _julian(days: int, clock: int) -> Decimal:
    """The day's number and, with the scale of a division, the part of it that is over."""
    part = numerics.divide(Decimal(clock), Decimal(MICROSECONDS_PER_DAY))
    total = numerics.add(Decimal(days + JULIAN_DAY_OF_1970), part)
    assert isinstance(total, Decimal)
    return total


def scaled(value: int, digits: int) -> Decimal:
    """*value* / 10^digits, with that scale.

    >>> scaled(-1_500, 3)
    Decimal('-1.500')
    """
    return Decimal((value < 0, tuple(map(int, str(abs(value)))), -digits))


def clock_part(unit: str, clock: int) -> Decimal:
    """A unit up to the hour, of a clock in microseconds."""
    seconds = clock % 60_000_000
    match unit:
        case "microseconds":
            return Decimal(seconds)
        case "milliseconds":
            return scaled(seconds, 3)
        case "second":
            return scaled(seconds, 6)
        case "minute":
            return Decimal(clock // 60_000_000 % 60)
        case _:
            return Decimal(clock // 3_600_000_000)


def _day_part(unit: str, days: int) -> int:
    """A unit from the day upwards. Year 0, in the arithmetic, is 1 BC."""
    year, month, day = civil_from_days(days)
    match unit:
        case "day":
            return day
        case "month":
            return month
        case "quarter":
            return (month + 2) // 3
        case "year":
            return year if year > 0 else year - 1
        case "decade":
            return year // 10
        case "century":
            return (year + 99) // 100 if year > 0 else -((100 - year) // 100)
        case "millennium":
            return (year + 999) // 1000 if year > 0 else -((1000 - year) // 1000)
        case "doy":
            return days - days_from_civil(year, 1, 1) + 1
        case "dow":
            return (days + 4) % 7
        case "isodow":
            return (days + 3) % 7 + 1
        case "julian":
            return days + JULIAN_DAY_OF_1970
        case "week":
            return _iso_week(days)[1]
        case _:
            iso_year = _iso_week(days)[0]
            return iso_year if iso_year > 0 else iso_year - 1


def _iso_week(days: int) -> tuple[int, int]:
    """The year and week of ISO 8601: those of the week's Thursday."""
    thursday = days - (days + 3) % 7 + 3
    year = civil_from_days(thursday)[0]
    return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1


def extract_time(field: str, time: int) -> Decimal:
    """``extract(field FROM time)``.

    >>> extract_time("epoch", 1_500_000)
    Decimal('1.500000')
    """
    unit = unit_of(field)
    if unit == "epoch":
        return scaled(time, 6)
    if unit not in _CLOCK_UNITS:
        raise ValueError(f"unit {unit} not supported for type time")
    return clock_part(unit, time)


def date_part_date(field: str, date: Moment) -> float | None:
    """``date_part(field, date)``: of its midnight."""
    return date_part_timestamp(field, timestamp_of_date(date))


def date_part_timestamp(field: str, timestamp: Moment) -> float | None:
    """``date_part(field, timestamp)``, a double."""
    unit = unit_of(field)
    if unit == "julian" and not is_infinite(timestamp):
        days, clock = divmod(int(timestamp), MICROSECONDS_PER_DAY)
        seconds, fraction = divmod(clock, 1_000_000)
        return days + JULIAN_DAY_OF_1970 + (seconds + fraction / 1e6) / 86_400.0
    return as_double(unit, extract_timestamp(unit, timestamp))


def date_part_timestamptz(field: str, timestamp: Moment) -> float | None:
    if unit_of(field) in _ZONE_UNITS:
        return as_double("", extract_timestamptz(field, timestamp))
    return date_part_timestamp(field, timestamp)


def date_part_time(field: str, time: int) -> float | None:
    unit = unit_of(field)
    return as_double(unit, extract_time(unit, time))


def as_double(unit: str, part: Decimal | None) -> float | None:
    """What ``date_part`` gives where ``extract`` gives *part*: computed in doubles, seconds and fraction apart."""
    if part is None or not part.is_finite():
        return None if part is None else float(part)
    if unit not in ("second", "milliseconds", "epoch"):
        return float(part)
    microseconds = int(part.scaleb(3 if unit == "milliseconds" else 6))
    if unit == "epoch":
        return microseconds / 1e6
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    whole = (
        seconds * 1000.0 + fraction / 1000.0 if unit == "milliseconds" else seconds + fraction / 1e6
    )
    return -whole if microseconds < 0 else whole


# --- date_trunc -----------------------------------------------------------------------------------

UNIT_MICROSECONDS = {
    "microseconds": 1,
    "milliseconds": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": MICROSECONDS_PER_DAY,
}


def trunc(field: str, timestamp: Moment) -> Moment:
    """``date_trunc(field, timestamp)``, of a timestamptz in UTC.

    >>> from django_electric.postgres.values import decode_timestamp, encode_timestamp
    >>> encode_timestamp(trunc("week", decode_timestamp("2024-02-29 10:00:00")))
    '2024-02-26 00:00:00'
    """
    unit = unit_of(field)
    is_special = unit in _SPECIAL_UNITS or unit in _ZONE_UNITS
    if is_infinite(timestamp):
        if is_special:
            raise Undecided(f"the unit {unit} of infinity depends on the version")
        return timestamp
    if is_special:
        raise ValueError(f"unit {unit} not supported")
    if unit in UNIT_MICROSECONDS:
        size = UNIT_MICROSECONDS[unit]
        return timestamp_in_range(int(timestamp) // size * size)
    days = _trunc_day(unit, int(timestamp) // MICROSECONDS_PER_DAY)
    return timestamp_in_range(days * MICROSECONDS_PER_DAY)


def _trunc_day(unit: str, days: int) -> int:
    """The first day of a week or of anything greater."""
    if unit == "week":
        return days - (days + 3) % 7
    year, month, _ = civil_from_days(days)
    match unit:
        case "month":
            return days_from_civil(year, month, 1)
        case "quarter":
            return days_from_civil(year, month - (month - 1) % 3, 1)
        case "year":
            return days_from_civil(year, 1, 1)
        case "decade":
            return days_from_civil(year // 10 * 10, 1, 1)
        case "century":
            return days_from_civil((year - 1) // 100 * 100 + 1, 1, 1)
        case _:
            return days_from_civil((year - 1) // 1000 * 1000 + 1, 1, 1)

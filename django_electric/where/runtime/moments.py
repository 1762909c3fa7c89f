"""date, time, timestamp and timestamptz (``date.c``, ``timestamp.c``). The session's zone is UTC.

Functions of a timestamp serve both kinds. How intervals with infinity are added depends on the version: Undecided.
"""

from __future__ import annotations

import math

from django_electric.postgres import values
from django_electric.postgres.values import (
    MICROSECONDS_PER_DAY,
    Interval,
    Moment,
    NotANumber,
    is_infinite,
    timestamp_in_range,
)
from django_electric.postgres.values.intervals import checked_interval
from django_electric.postgres.values.moments import (
    END_OF_TIME,
    FIRST_DAY,
    FIRST_MICROSECOND,
    LAST_DAY,
    civil_from_days,
    days_from_civil,
)
from django_electric.postgres.values.written_moments import checked_day
from django_electric.where.errors import Undecided

_LEAST_INT4 = -(2**31)
_EPOCH_OF_POSTGRES = days_from_civil(2000, 1, 1) * MICROSECONDS_PER_DAY


def check_finite(interval: Interval) -> None:
    """Raises Undecided for an infinite interval: it is finite before Postgres 17."""
    if interval.is_infinite:
        raise Undecided("an infinite interval")


def interval_of(months: int, days: int, microseconds: int) -> Interval:
    """The interval; Undecided if a field does not fit: not every version has the same limits."""
    try:
        return checked_interval(months, days, microseconds)
    except ValueError as error:
        raise Undecided(str(error)) from error


# --- dates and days -------------------------------------------------------------------------------


def add_days(date: Moment, days: int) -> Moment:
    """
    >>> add_days(0, 31)
    31
    """
    return date if is_infinite(date) else _date_in_range(date + days)


def subtract_days(date: Moment, days: int) -> Moment:
    return add_days(date, -days)


def _date_in_range(date: Moment) -> Moment:
    if not FIRST_DAY <= date <= LAST_DAY:
        raise ValueError("date out of range")
    return date


def difference_in_days(a: Moment, b: Moment) -> int:
    """``date - date``."""
    if is_infinite(a) or is_infinite(b):
        raise ValueError("cannot subtract infinite dates")
    return int(a - b)


def date_add_time(date: Moment, time: int) -> Moment:
    """``date + time``, a timestamp."""
    if is_infinite(date):
        return date
    return timestamp_in_range(timestamp_of_date(date) + time)


# --- timestamps and intervals ---------------------------------------------------------------------


def add_interval(timestamp: Moment, interval: Interval) -> Moment:
    """First the months, to the end of the month at most; then the days; then the clock.

    >>> from django_electric.postgres.values import decode_timestamp, encode_timestamp
    >>> encode_timestamp(add_interval(decode_timestamp("2024-01-31 10:00:00"), Interval(1, 0, 0)))
    '2024-02-29 10:00:00'
    """
    check_finite(interval)
    if is_infinite(timestamp):
        return timestamp
    result: Moment = timestamp
    if interval.months:
        result = timestamp_in_range(_add_months(int(result), interval.months))
    if interval.days:
        result = timestamp_in_range(result + interval.days * MICROSECONDS_PER_DAY)
    return timestamp_in_range(result + interval.microseconds)


def subtract_interval(timestamp: Moment, interval: Interval) -> Moment:
    check_finite(interval)
    if _LEAST_INT4 in (interval.months, interval.days):
        raise Undecided("the negation of this interval depends on the version")
    return add_interval(
        timestamp, Interval(-interval.months, -interval.days, -interval.microseconds)
    )


def _add_months(timestamp: int, months: int) -> int:
    days, clock = divmod(timestamp, MICROSECONDS_PER_DAY)
    year, month, day = civil_from_days(days)
    year, month = divmod(year * 12 + month - 1 + months, 12)
    last = days_in_month(year, month + 1)
    return days_from_civil(year, month + 1, min(day, last)) * MICROSECONDS_PER_DAY + clock


def days_in_month(year: int, month: int) -> int:
    """
    >>> days_in_month(2024, 2), days_in_month(1900, 2)
    (29, 28)
    """
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def difference(a: Moment, b: Moment) -> Interval:
    """``timestamp - timestamp``: days and a clock, no months.

    >>> difference(90_000_000_000, 0)
    Interval(months=0, days=1, microseconds=3600000000)
    """
    if is_infinite(a) or is_infinite(b):
        raise Undecided("the difference of infinite timestamps depends on the version")
    microseconds = abs(int(a - b))
    if microseconds >= 2**63 - 1:
        raise Undecided("interval out of range, in some versions")
    days, clock = divmod(microseconds, MICROSECONDS_PER_DAY)
    return Interval(0, days, clock) if a >= b else Interval(0, -days, -clock)


def age(a: Moment, b: Moment) -> Interval:
    """The difference in years, months, days and a clock (``timestamp_age``).

    >>> from django_electric.postgres.values import decode_timestamp as at, encode_interval
    >>> encode_interval(age(at("2001-04-10 00:00:00"), at("1957-06-13 00:00:00")))
    'P43Y9M27D'
    """
    if is_infinite(a) or is_infinite(b):
        raise Undecided("the age of infinite timestamps depends on the version")
    if a < b:
        months, days, clock = _age(int(b), int(a))
        return Interval(-months, -days, -clock)
    return Interval(*_age(int(a), int(b)))


def _age(later: int, earlier: int) -> tuple[int, int, int]:
    """Days are borrowed from the month of the earlier one."""
    (year, month, day), clock = _fields(later)
    (other_year, other_month, other_day), other_clock = _fields(earlier)
    months = (year - other_year) * 12 + month - other_month
    days, clock = day - other_day, clock - other_clock
    if clock < 0:
        days, clock = days - 1, clock + MICROSECONDS_PER_DAY
    while days < 0:
        days, months = days + days_in_month(other_year, other_month), months - 1
    return months, days, clock


def _fields(timestamp: int) -> tuple[tuple[int, int, int], int]:
    """Year, month and day, and the microseconds of the clock."""
    days, clock = divmod(timestamp, MICROSECONDS_PER_DAY)
    return civil_from_days(days), clock


# --- times of day ---------------------------------------------------------------------------------


def time_add_interval(time: int, interval: Interval) -> int:
    """Only the clock of the interval counts."""
    check_finite(interval)
    return (time + interval.microseconds) % MICROSECONDS_PER_DAY


def time_subtract_interval(time: int, interval: Interval) -> int:
    check_finite(interval)
    return (time - interval.microseconds) % MICROSECONDS_PER_DAY


def time_difference(a: int, b: int) -> Interval:
    return Interval(0, 0, a - b)


# --- casts and constructors -----------------------------------------------------------------------


def timestamp_of_date(date: Moment) -> Moment:
    """``date::timestamp``."""
    return timestamp_in_range(values.timestamp_of_date(date))


def date_of_timestamp(timestamp: Moment) -> Moment:
    """``timestamp::date``."""
    return values.date_of_timestamp(timestamp)


def time_of_timestamp(timestamp: Moment) -> int | None:
    """NULL for infinity."""
    return None if is_infinite(timestamp) else int(timestamp) % MICROSECONDS_PER_DAY


def time_of_interval(interval: Interval) -> int:
    check_finite(interval)
    return interval.microseconds % MICROSECONDS_PER_DAY


def round_seconds(timestamp: Moment, digits: int) -> Moment:
    """As ``timestamp(digits)`` keeps it: half away from the first day of 2000.

    >>> round_seconds(500_000, 0)
    0
    """
    if is_infinite(timestamp) or digits >= 6:
        return timestamp
    rounded = round_time(abs(int(timestamp) - _EPOCH_OF_POSTGRES), digits)
    result = _EPOCH_OF_POSTGRES + (-rounded if timestamp < _EPOCH_OF_POSTGRES else rounded)
    if not FIRST_MICROSECOND <= result < END_OF_TIME:
        raise Undecided("Postgres rounds past its own last timestamp")
    return result


def round_time(time: int, digits: int) -> int:
    """As ``time(digits)`` keeps it."""
    unit = 10 ** (6 - digits) if digits < 6 else 1
    return (time + unit // 2) // unit * unit


def make_date(year: int, month: int, day: int) -> int:
    """A negative year is BC.

    >>> make_date(1970, 1, 2), make_date(-1, 12, 31)
    (1, -719163)
    """
    return checked_day(abs(year), month, day, is_bc=year < 0)


def make_time(hour: int, minute: int, second: float | NotANumber) -> int:
    """
    >>> make_time(8, 15, 23.5)
    29723500000
    """
    if isinstance(second, NotANumber) or math.isinf(second):
        raise ValueError("time field value out of range")
    # Rounded first: 59.9999999 is a whole minute, which a 24th hour may not have.
    microseconds = round(second * 1e6)
    if not 0 <= microseconds <= 60_000_000:
        raise ValueError("time field value out of range")
    time = (hour * 60 + minute) * 60_000_000 + microseconds
    if not (0 <= hour <= 24 and 0 <= minute <= 59) or time > MICROSECONDS_PER_DAY:
        raise ValueError("time field value out of range")
    return time


def make_timestamp(
    year: int, month: int, day: int, hour: int, minute: int, second: float | NotANumber
) -> Moment:
    return timestamp_in_range(
        make_date(year, month, day) * MICROSECONDS_PER_DAY + make_time(hour, minute, second)
    )


def to_timestamp(seconds: float | NotANumber) -> Moment:
    """``to_timestamp(seconds)`` since 1970, a timestamptz (``float8_timestamptz``).

    >>> to_timestamp(1.5)
    1500000
    """
    if isinstance(seconds, NotANumber):
        raise ValueError("timestamp cannot be NaN")
    if math.isinf(seconds):
        return seconds
    # Postgres counts from 2000, and rounds there.
    return timestamp_in_range(round((seconds - 946_684_800) * 1e6) + _EPOCH_OF_POSTGRES)


def date_bin(stride: Interval, timestamp: Moment, origin: Moment) -> Moment:
    """The beginning of the stride, counted from *origin*, in which *timestamp* lies.

    >>> date_bin(Interval(0, 0, 900), 2_000, 0)
    1800
    """
    check_finite(stride)
    if is_infinite(timestamp):
        return timestamp
    size = stride.days * MICROSECONDS_PER_DAY + stride.microseconds
    if stride.months or size <= 0 or is_infinite(origin):
        raise ValueError("stride must be greater than zero and without months, origin finite")
    distance = int(timestamp - origin)
    if abs(distance) >= 2**63 or (distance < 0 and distance % size == 0):
        raise Undecided("the bin of this timestamp depends on the version")
    return timestamp_in_range(origin + distance // size * size)


def isfinite(moment: Moment) -> bool:
    """``isfinite`` of a date or timestamp."""
    return not is_infinite(moment)


def overlaps(
    start: Moment | None, end: Moment | None, other_start: Moment | None, other_end: Moment | None
) -> bool | None:
    """``(start, end) OVERLAPS (other_start, other_end)`` (``overlaps_timestamp``): half-open, ends in either order.

    >>> overlaps(1, 3, 2, 5), overlaps(1, 2, 2, 3), overlaps(1, 1, 1, 1), overlaps(1, None, 5, 6)
    (True, False, True, None)
    """
    one, two = _period(start, end), _period(other_start, other_end)
    if one is None or two is None:
        return None
    if one[0] == two[0]:
        return None if one[1] is None or two[1] is None else True
    (_, first_end), (second_start, second_end) = (one, two) if one[0] < two[0] else (two, one)
    if first_end is None:
        return None
    if second_start < first_end:
        return True
    return None if second_end is None else False


def _period(start: Moment | None, end: Moment | None) -> tuple[Moment, Moment | None] | None:
    """The earlier end first, one that is NULL last; None if both are."""
    if start is None or (end is not None and end < start):
        start, end = end, start
    return None if start is None else (start, end)

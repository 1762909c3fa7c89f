"""interval (``timestamp.c``). Infinite ones, which are finite before Postgres 17, are left to Postgres."""

from __future__ import annotations

import math
from decimal import Decimal

from django_electric.postgres.values import MICROSECONDS_PER_DAY, Interval, NotANumber
from django_electric.where.errors import Undecided
from django_electric.where.runtime import parts
from django_electric.where.runtime.moments import check_finite, interval_of

_SECONDS_PER_DAY = 86_400
_DAYS_PER_MONTH = 30
_GREATEST_INT4 = 2**31 - 1


def add(a: Interval, b: Interval) -> Interval:
    """Field by field.

    >>> add(Interval(1, 2, 3), Interval(0, -2, 4))
    Interval(months=1, days=0, microseconds=7)
    """
    check_finite(a)
    check_finite(b)
    return interval_of(a.months + b.months, a.days + b.days, a.microseconds + b.microseconds)


def subtract(a: Interval, b: Interval) -> Interval:
    check_finite(a)
    check_finite(b)
    return interval_of(a.months - b.months, a.days - b.days, a.microseconds - b.microseconds)


def negate(value: Interval) -> Interval:
    check_finite(value)
    return interval_of(-value.months, -value.days, -value.microseconds)


def multiply(value: Interval, factor: float | NotANumber) -> Interval:
    """What is over of months becomes days, and of days a clock (``interval_mul``).

    >>> multiply(Interval(1, 1, 0), 1.5)
    Interval(months=1, days=16, microseconds=43200000000)
    """
    number = _finite(value, factor)
    return _cascade(value.months * number, value.days * number, value.microseconds * number)


def divide(value: Interval, factor: float | NotANumber) -> Interval:
    """
    >>> divide(Interval(0, 1, 0), 2.0)
    Interval(months=0, days=0, microseconds=43200000000)
    """
    number = _finite(value, factor)
    return _cascade(value.months / number, value.days / number, value.microseconds / number)


def _finite(value: Interval, factor: float | NotANumber) -> float:
    check_finite(value)
    if isinstance(factor, NotANumber) or math.isinf(factor):
        raise Undecided("what NaN and infinity make of an interval depends on the version")
    return factor


def _cascade(months: float, days: float, microseconds: float) -> Interval:
    """Doubles as an interval, in the steps of C, roundings included."""
    if max(abs(months), abs(days)) > _GREATEST_INT4:
        raise Undecided("interval out of range, in some versions")
    whole_months, whole_days = math.trunc(months), math.trunc(days)
    spilled_days = _to_microseconds((months - whole_months) * _DAYS_PER_MONTH)
    seconds = _to_microseconds(
        (days - whole_days + spilled_days - math.trunc(spilled_days)) * _SECONDS_PER_DAY
    )
    if abs(seconds) >= _SECONDS_PER_DAY:
        more = math.trunc(seconds / _SECONDS_PER_DAY)
        whole_days, seconds = whole_days + more, seconds - more * _SECONDS_PER_DAY
    clock = microseconds + seconds * 1e6
    if abs(clock) >= 2.0**63:
        raise Undecided("interval out of range, in some versions")
    return interval_of(whole_months, whole_days + math.trunc(spilled_days), round(clock))


def _to_microseconds(number: float) -> float:
    """``TSROUND``: six digits after the point, half to even."""
    return round(number * 1e6) / 1e6


# --- justify --------------------------------------------------------------------------------------


def justify_hours(value: Interval) -> Interval:
    """A clock of 24 hours becomes a day.

    >>> justify_hours(Interval(0, 1, -3_600_000_000))
    Interval(months=0, days=0, microseconds=82800000000)
    """
    check_finite(value)
    days, clock = _carried(value.days, value.microseconds, MICROSECONDS_PER_DAY)
    return interval_of(value.months, days, clock)


def justify_days(value: Interval) -> Interval:
    """30 days become a month."""
    check_finite(value)
    months, days = _carried(value.months, value.days, _DAYS_PER_MONTH)
    return interval_of(months, days, value.microseconds)


def justify_interval(value: Interval) -> Interval:
    """Both, so that all fields have one sign.

    >>> justify_interval(Interval(1, 0, -3_600_000_000))
    Interval(months=0, days=29, microseconds=82800000000)
    """
    check_finite(value)
    whole_days, clock = _divided(value.microseconds, MICROSECONDS_PER_DAY)
    whole_months, days = _divided(value.days + whole_days, _DAYS_PER_MONTH)
    months = value.months + whole_months
    if months > 0 and (days, clock) < (0, 0):
        months, days = months - 1, days + _DAYS_PER_MONTH
    elif months < 0 and (days, clock) > (0, 0):
        months, days = months + 1, days - _DAYS_PER_MONTH
    if days > 0 > clock:
        days, clock = days - 1, clock + MICROSECONDS_PER_DAY
    elif days < 0 < clock:
        days, clock = days + 1, clock - MICROSECONDS_PER_DAY
    return interval_of(months, days, clock)


def _divided(number: int, size: int) -> tuple[int, int]:
    """Quotient towards zero, and the rest."""
    quotient = abs(number) // size
    return (
        (quotient, number - quotient * size)
        if number >= 0
        else (-quotient, number + quotient * size)
    )


def _carried(great: int, small: int, size: int) -> tuple[int, int]:
    """Whole *size*s of *small* added to *great*, and both with one sign."""
    more, small = _divided(small, size)
    great += more
    if great > 0 > small:
        return great - 1, small + size
    if great < 0 < small:
        return great + 1, small - size
    return great, small


# --- parts ----------------------------------------------------------------------------------------

_YEARS = {"year": 1, "decade": 10, "century": 100, "millennium": 1000}


def trunc(field: str, value: Interval) -> Interval:
    """``date_trunc(field, interval)``, each field towards zero.

    >>> trunc("quarter", Interval(-5, 3, 1))
    Interval(months=-3, days=0, microseconds=0)
    """
    check_finite(value)
    unit = parts.unit_of(field)
    if unit in _YEARS or unit in ("quarter", "month"):
        size = _YEARS[unit] * 12 if unit in _YEARS else 3 if unit == "quarter" else 1
        return Interval(_divided(value.months, size)[0] * size, 0, 0)
    size = parts.UNIT_MICROSECONDS.get(unit, 0)
    if not size:
        raise ValueError(f"unit {unit} not supported for type interval")
    clock = 0 if unit == "day" else _divided(value.microseconds, size)[0] * size
    return Interval(value.months, value.days, clock)


def extract(field: str, value: Interval) -> Decimal:
    """``extract(field FROM interval)``.

    >>> extract("hour", Interval(0, 1, 90_000_000_000)), extract("epoch", Interval(12, 0, 0))
    (Decimal('25'), Decimal('31557600.000000'))
    """
    check_finite(value)
    unit = parts.unit_of(field)
    years, months = _divided(value.months, 12)
    match unit:
        case "day":
            return Decimal(value.days)
        case "month":
            return Decimal(months)
        case "quarter" if value.months >= 0:
            return Decimal(months // 3 + 1)
        case "year" | "decade" | "century" | "millennium":
            return Decimal(_divided(years, _YEARS[unit])[0])
        case "epoch":
            return parts.scaled(_epoch(value) * 1_000_000 + value.microseconds, 6)
        case "microseconds" | "milliseconds" | "second" | "minute" | "hour":
            part = parts.clock_part(unit, abs(value.microseconds))
            return part.copy_negate() if value.microseconds < 0 and part else part
        case "quarter" | "week":
            raise Undecided(f"the {unit} of an interval depends on the version")
    raise ValueError(f"unit {unit} not supported for type interval")


def _epoch(value: Interval) -> int:
    """The seconds of months and days: a year has 365.25 days."""
    years, months = _divided(value.months, 12)
    return (1461 * years + 4 * _DAYS_PER_MONTH * months + 4 * value.days) * (_SECONDS_PER_DAY // 4)


def date_part(field: str, value: Interval) -> float:
    """``date_part(field, interval)``, a double."""
    unit = parts.unit_of(field)
    if unit != "epoch":
        part = parts.as_double(unit, extract(unit, value))
        assert part is not None
        return part
    check_finite(value)
    years, months = _divided(value.months, 12)
    result = value.microseconds / 1e6
    result += 365.25 * _SECONDS_PER_DAY * years
    result += float(_DAYS_PER_MONTH * _SECONDS_PER_DAY) * months
    return result + float(_SECONDS_PER_DAY) * value.days


def from_time(time: int) -> Interval:
    """``time::interval``."""
    return Interval(0, 0, time)


def isfinite(value: Interval) -> bool:
    """``isfinite(interval)``."""
    check_finite(value)
    return True

"""date, time, timetz, timestamp and timestamptz as Postgres prints them.

Dates count days, timestamps microseconds, both from 1970-01-01 and with ``math.inf`` for infinity, so that BC,
the year 10000 and infinity are in order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from django_electric.postgres.values.base import is_infinite

MICROSECONDS_PER_DAY = 86_400_000_000

Moment = int | float
"""Days or microseconds since 1970-01-01; a float only if infinite."""


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.

    The year is made to begin in March, so that the leap day is its last.

    >>> days_from_civil(1970, 1, 1), days_from_civil(2000, 3, 1), days_from_civil(0, 2, 29)
    (0, 11017, -719469)
    """
    if month <= 2:
        year, month = year - 1, month + 12
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month - 457) // 5 + day - 719_469


def civil_from_days(days: int) -> tuple[int, int, int]:
    """The inverse of `days_from_civil`."""
    days += 719_468
    era, days = divmod(days, 146_097)
    year_of_era = (days - days // 1_460 + days // 36_524 - days // 146_096) // 365
    day_of_year = days - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    year = era * 400 + year_of_era + (1 if month >= 10 else 0)
    return year, month + 3 if month < 10 else month - 9, day


FIRST_DAY = days_from_civil(-4713, 11, 24)
LAST_DAY = days_from_civil(5_874_897, 12, 31)
FIRST_MICROSECOND = FIRST_DAY * MICROSECONDS_PER_DAY
END_OF_TIME = days_from_civil(294_277, 1, 1) * MICROSECONDS_PER_DAY

SPECIAL_MOMENTS: Mapping[str, Moment] = {"infinity": math.inf, "-infinity": -math.inf, "epoch": 0}


@lru_cache(maxsize=4096)
def decode_date(text: str) -> Moment:
    """Days since 1970-01-01.

    >>> decode_date("1970-01-02"), decode_date("0001-12-31 BC"), decode_date("-infinity")
    (1, -719163, -inf)
    """
    if text in SPECIAL_MOMENTS:
        return SPECIAL_MOMENTS[text]
    digits, _, era = text.partition(" ")
    year, month, day = digits.split("-")
    return days_from_civil(1 - int(year) if era else int(year), int(month), int(day))


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
    day = days_from_civil(int(text[:4]), int(text[5:7]), int(text[8:10]))
    return (day * 1440 + int(text[11:13]) * 60 + int(text[14:])) * 60_000_000


def _decode_any_timestamp(text: str) -> Moment:
    """Also infinity, BC, and years of more than four digits."""
    if text in SPECIAL_MOMENTS:
        return SPECIAL_MOMENTS[text]
    day, clock = text.split(" ", 1)
    if clock.endswith(" BC"):
        day, clock = day + " BC", clock[:-3]
    return decode_date(day) * MICROSECONDS_PER_DAY + decode_time(clock.removesuffix("+00"))


def decode_time(text: str) -> int:
    """Microseconds since midnight.

    >>> decode_time("00:00:01.5"), decode_time("24:00:00") == MICROSECONDS_PER_DAY
    (1500000, True)
    """
    seconds = int(text[:2]) * 3600 + int(text[3:5]) * 60 + int(text[6:8])
    return seconds * 1_000_000 + (int(text[9:].ljust(6, "0")) if len(text) > 8 else 0)


def encode_time(value: int) -> str:
    """As Postgres prints a time.

    >>> encode_time(1_500_000)
    '00:00:01.5'
    """
    seconds, fraction = divmod(value, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return clock + (f".{fraction:06d}".rstrip("0") if fraction else "")


class TimeTz(NamedTuple):
    """A time of day in a zone. Ordered by the instant, then by the zone, the eastern first."""

    instant: int
    """Microseconds since midnight UTC; below 0 and above 24 hours too."""

    west: int
    """Seconds that the zone lies west of UTC."""


def decode_timetz(text: str) -> TimeTz:
    """A clock with its offset.

    >>> decode_timetz("01:00:00+02"), decode_timetz("00:00:00-03:30")
    (TimeTz(instant=-3600000000, west=-7200), TimeTz(instant=12600000000, west=12600))
    """
    place = max(text.rfind("+"), text.rfind("-"))
    hours, minutes, seconds = (text[place + 1 :] + ":0:0").split(":")[:3]
    offset = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    west = -offset if text[place] == "+" else offset
    return TimeTz(decode_time(text[:place]) + west * 1_000_000, west)


def encode_timetz(value: TimeTz) -> str:
    """As Postgres prints a timetz.

    >>> encode_timetz(decode_timetz("00:00:00-03:30"))
    '00:00:00-03:30'
    """
    minutes, seconds = divmod(abs(value.west), 60)
    hours, minutes = divmod(minutes, 60)
    offset = f"{hours:02d}" + (f":{minutes:02d}" if minutes or seconds else "")
    offset += f":{seconds:02d}" if seconds else ""
    sign = "-" if value.west > 0 else "+"
    return encode_time(value.instant - value.west * 1_000_000) + sign + offset


def encode_date(value: Moment) -> str:
    """As Postgres prints it under ``DateStyle = ISO``.

    >>> encode_date(0), encode_date(decode_date("0044-03-15 BC")), encode_date(math.inf)
    ('1970-01-01', '0044-03-15 BC', 'infinity')
    """
    day, era = _printed_day(value)
    return day + era


def encode_timestamp(value: Moment) -> str:
    """As Postgres prints a timestamp.

    >>> encode_timestamp(1_500_000)
    '1970-01-01 00:00:01.5'
    """
    return _printed_timestamp(value, zone="")


def encode_timestamptz(value: Moment) -> str:
    """As Postgres prints a timestamptz under ``TimeZone = UTC``.

    >>> encode_timestamptz(1_500_000)
    '1970-01-01 00:00:01.5+00'
    """
    return _printed_timestamp(value, zone="+00")


def _printed_day(value: Moment) -> tuple[str, str]:
    if is_infinite(value):
        return ("infinity" if value == math.inf else "-infinity"), ""
    year, month, day = civil_from_days(int(value))
    return f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day:02d}", "" if year > 0 else " BC"


def _printed_timestamp(value: Moment, zone: str) -> str:
    if is_infinite(value):
        return _printed_day(value)[0]
    days, rest = divmod(int(value), MICROSECONDS_PER_DAY)
    day, era = _printed_day(days)
    return f"{day} {encode_time(rest)}{zone}{era}"


def timestamp_in_range(value: Moment) -> Moment:
    """*value* if Postgres has a timestamp for it."""
    if math.isinf(value) or FIRST_MICROSECOND <= value < END_OF_TIME:
        return value
    raise ValueError("timestamp out of range")


def timestamp_of_date(value: Moment) -> Moment:
    """Midnight, even where no timestamp exists: mixed comparisons do not overflow in Postgres."""
    return value * MICROSECONDS_PER_DAY


def date_of_timestamp(value: Moment) -> Moment:
    """The day that a timestamp lies in."""
    return value if math.isinf(value) else value // MICROSECONDS_PER_DAY

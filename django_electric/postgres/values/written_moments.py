"""What users write for a date, a time or a timestamp, as the text that Postgres would print for it.

Only spellings that every supported Postgres reads alike, whatever its DateStyle and its clock: ISO 8601 and the
common ones. All others raise ValueError.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from django_electric.postgres.values.base import SPACES
from django_electric.postgres.values.moments import (
    FIRST_DAY,
    LAST_DAY,
    MICROSECONDS_PER_DAY,
    SPECIAL_MOMENTS,
    Moment,
    TimeTz,
    civil_from_days,
    days_from_civil,
    encode_date,
    encode_time,
    encode_timestamp,
    encode_timestamptz,
    encode_timetz,
    timestamp_in_range,
)

_ISO_DAY = r"(?P<year>[0-9]{4,7})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
_DAY = rf"(?:{_ISO_DAY}|(?P<packed>[0-9]{{8}}))"
_FRACTION = r"(?:\.(?P<fraction>[0-9]{0,30}))?"
_CLOCK = (
    rf"(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{1,2}})(?::(?P<second>[0-9]{{1,2}}){_FRACTION})?"
)
_HALF = r"(?:[ ]*(?P<half>[AaPp][Mm]))?"
_OFFSET = r"[+-][0-9]{2}(?::?[0-9]{2}(?::[0-9]{2})?)?"
_ZONE = rf"(?P<zone>[ ]?(?:[Zz]|{_OFFSET})|[ ](?:UTC|GMT|utc|gmt))?"
_MOMENT = re.compile(rf"{_DAY}(?:(?:[Tt]|[ ]+){_CLOCK}{_HALF}{_ZONE})?(?P<era>[ ]BC)?")
_TIME = re.compile(rf"(?:{_ISO_DAY}[ ]+)?{_CLOCK}{_HALF}(?P<zone>[ ]?(?:[Zz]|{_OFFSET}))?")
_PACKED_TIME = re.compile(r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})")


class _Written(NamedTuple):
    """A literal's day and, apart, the microseconds of its clock and of its zone's offset."""

    day: int
    clock: int
    offset: int


def _read_moment(text: str) -> _Written | Moment:
    trimmed = text.strip(SPACES)
    if trimmed.lower() in SPECIAL_MOMENTS:
        return SPECIAL_MOMENTS[trimmed.lower()]
    match = _MOMENT.fullmatch(trimmed)
    if not match:
        raise ValueError(text)
    return _Written(_day(match), _clock(match), _offset((match["zone"] or "").strip()))


def _day(match: re.Match[str]) -> int:
    found = match.groupdict()
    packed = found.get("packed")
    if packed:
        parts = packed[:4], packed[4:6], packed[6:]
    else:
        parts = match["year"], match["month"], match["day"]
    year, month, day = map(int, parts)
    return checked_day(year, month, day, is_bc=bool(found.get("era")))


def checked_day(year: int, month: int, day: int, *, is_bc: bool = False) -> int:
    """Days since 1970-01-01, or ValueError if Postgres knows no such day."""
    if not (year > 0 and 1 <= month <= 12 and day > 0):
        raise ValueError("no such day")
    days = days_from_civil(1 - year if is_bc else year, month, day)
    if civil_from_days(days)[1] != month or not FIRST_DAY <= days <= LAST_DAY:
        raise ValueError("no such day")
    return days


def _clock(match: re.Match[str]) -> int:
    """Microseconds since midnight; 24:00:00 and a sixtieth second are the next day or minute."""
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    half = (match["half"] or "").lower()
    if half:
        if hour > 12:
            raise ValueError("no such time")
        hour = hour % 12 + (12 if half == "pm" else 0)
    # Postgres rounds the double nearest to the fraction, so this rounds the same double.
    fraction = round(float("0." + (match["fraction"] or "0")) * 1e6)
    clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    if minute > 59 or second > 60 or (second == 60 and fraction) or hour > 24:
        raise ValueError("no such time")
    if hour == 24 and clock > MICROSECONDS_PER_DAY:
        raise ValueError("no such time")
    return clock


def _offset(zone: str) -> int:
    """Microseconds east of UTC."""
    if zone[:1] not in ("+", "-"):
        return 0
    digits = zone[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    if hours > 15 or minutes > 59 or seconds > 59:
        raise ValueError("no such offset")
    total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    return -total if zone[0] == "-" else total


def canonical_date(text: str) -> str:
    """An ISO date; a time of day after it is checked and dropped, as Postgres does.

    >>> canonical_date("2024-1-9"), canonical_date("20240109T10:00Z"), canonical_date("EPOCH")
    ('2024-01-09', '2024-01-09', '1970-01-01')
    """
    written = _read_moment(text)
    return encode_date(written.day if isinstance(written, _Written) else written)


def canonical_time(text: str) -> str:
    """A clock of 24 or of 12 hours; a date before it and an offset after it are checked and dropped.

    >>> canonical_time("9:30 pm"), canonical_time("24:00"), canonical_time("101500")
    ('21:30:00', '24:00:00', '10:15:00')
    """
    return encode_time(_read_time(text).clock)


def canonical_timetz(text: str) -> str:
    """A clock in UTC unless it carries an offset.

    >>> canonical_timetz("9:30"), canonical_timetz("9:30-0230")
    ('09:30:00+00', '09:30:00-02:30')
    """
    written = _read_time(text)
    return encode_timetz(TimeTz(written.clock - written.offset, -written.offset // 1_000_000))


def _read_time(text: str) -> _Written:
    trimmed = text.strip(SPACES)
    if _PACKED_TIME.fullmatch(trimmed):
        trimmed = f"{trimmed[:2]}:{trimmed[2:4]}:{trimmed[4:]}"
    match = _TIME.fullmatch(trimmed)
    if not match:
        raise ValueError(text)
    day = _day(match) if match["year"] else 0
    return _Written(day, _clock(match), _offset((match["zone"] or "").strip()))


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

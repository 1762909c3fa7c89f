"""AT TIME ZONE (``timestamp.c``, ``DetermineTimeZoneOffset`` in ``datetime.c``).

By the time-zone database of this machine, for the years in which all its editions agree. Only names with a slash are
looked up: what a short one means (CET, EST) is a setting of the server's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django_electric.postgres.values import (
    MICROSECONDS_PER_DAY,
    Interval,
    Moment,
    is_infinite,
    timestamp_in_range,
)
from django_electric.postgres.values.moments import days_from_civil
from django_electric.where.errors import Undecided
from django_electric.where.runtime import parts
from django_electric.where.runtime.moments import check_finite

_NAME = re.compile(r"[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z0-9_+-]*)+")
_UTC = frozenset({"utc", "gmt", "z", "zulu"})
_EPOCH = datetime(1970, 1, 1)  # a local time
_FIRST = days_from_civil(1970, 1, 3) * MICROSECONDS_PER_DAY
_LAST = days_from_civil(2037, 12, 29) * MICROSECONDS_PER_DAY


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    """None for UTC; Undecided for a name that is not certainly Postgres's too."""
    if name.lower() in _UTC:
        return None
    if not _NAME.fullmatch(name):
        raise Undecided(f"the time zone {name!r} is left to Postgres")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise Undecided(f"the time zone {name!r} is not known here") from None


def timestamptz_of_local(zone: str, local: Moment) -> Moment:
    """``timestamp AT TIME ZONE zone``.

    A local time that a change of clocks leaves out is read with the offset before, one that it repeats with the
    offset after: the lesser of the two, both times.

    >>> from django_electric.postgres.values import decode_timestamp, encode_timestamptz
    >>> encode_timestamptz(timestamptz_of_local("Europe/Berlin", decode_timestamp("2024-10-27 02:30:00")))
    '2024-10-27 01:30:00+00'
    """
    found = _zone(zone)
    if found is None or is_infinite(local):
        return local
    naive = _EPOCH + timedelta(microseconds=_checked(local))
    offsets = [found.utcoffset(naive.replace(fold=fold)) for fold in (0, 1)]
    return local - min(_microseconds(offset) for offset in offsets)


def local_of_timestamptz(zone: str, timestamp: Moment) -> Moment:
    """``timestamptz AT TIME ZONE zone``, a timestamp."""
    found = _zone(zone)
    if found is None or is_infinite(timestamp):
        return timestamp
    return timestamp + _offset(found, timestamp)


def _offset(zone: ZoneInfo, timestamp: Moment) -> int:
    moment = _EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=_checked(timestamp))
    return _microseconds(moment.astimezone(zone).utcoffset())


def _checked(moment: Moment) -> int:
    if not _FIRST <= moment < _LAST:
        raise Undecided("a year for which time-zone databases differ")
    return int(moment)


def _microseconds(offset: timedelta | None) -> int:
    assert offset is not None
    return offset // timedelta(microseconds=1)


def timestamptz_of_offset(offset: Interval, local: Moment) -> Moment:
    """``timestamp AT TIME ZONE interval``: *offset* is east of UTC and has neither months nor days.

    >>> timestamptz_of_offset(Interval(0, 0, 3_600_000_000), 0)
    -3600000000
    """
    return _shifted(local, -_seconds(offset))


def local_at_offset(offset: Interval, timestamp: Moment) -> Moment:
    """``timestamptz AT TIME ZONE interval``."""
    return _shifted(timestamp, _seconds(offset))


def _seconds(offset: Interval) -> int:
    """In microseconds, but whole seconds."""
    check_finite(offset)
    if offset.months or offset.days:
        raise ValueError("interval time zone must not include months or days")
    seconds = abs(offset.microseconds) // 1_000_000 * 1_000_000
    if seconds > 100 * 3_600_000_000:
        raise Undecided("an offset that no zone has")
    return seconds if offset.microseconds >= 0 else -seconds


def _shifted(moment: Moment, microseconds: int) -> Moment:
    return moment if is_infinite(moment) else timestamp_in_range(moment + microseconds)


def trunc_in_zone(field: str, timestamp: Moment, zone: str) -> Moment:
    """``date_trunc(field, timestamptz, zone)``: from the day upwards the offset is the one of the result."""
    found = _zone(zone)
    if found is None or is_infinite(timestamp):
        return parts.trunc(field, timestamp)
    offset = _offset(found, timestamp)
    local = parts.trunc(field, timestamp + offset)
    if parts.unit_of(field) in ("microseconds", "milliseconds", "second", "minute", "hour"):
        return local - offset
    return timestamptz_of_local(zone, local)

"""Operators and functions on dates, times and intervals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django_electric.where.implementations import overloads
from django_electric.where.runtime import intervals, moments, parts, zones


def _swapped(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """*function* with its arguments the other way round."""
    return partial(_call_swapped, function)


def _call_swapped(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    return function(b, a)


def _date_add_interval(date: Any, interval: Any) -> Any:
    return moments.add_interval(moments.timestamp_of_date(date), interval)


def _date_subtract_interval(date: Any, interval: Any) -> Any:
    return moments.subtract_interval(moments.timestamp_of_date(date), interval)


MOMENT_ROWS = {
    **overloads(
        "+",
        ("date int4", moments.add_days),
        ("int4 date", _swapped(moments.add_days)),
        ("date time", moments.date_add_time),
        ("time date", _swapped(moments.date_add_time)),
        ("date interval", _date_add_interval),
        ("interval date", _swapped(_date_add_interval)),
        ("timestamp interval", moments.add_interval),
        ("timestamptz interval", moments.add_interval),
        ("interval timestamp", _swapped(moments.add_interval)),
        ("interval timestamptz", _swapped(moments.add_interval)),
        ("time interval", moments.time_add_interval),
        ("interval time", _swapped(moments.time_add_interval)),
        ("interval interval", intervals.add),
    ),
    **overloads(
        "-",
        ("date int4", moments.subtract_days),
        ("date date", moments.difference_in_days),
        ("date interval", _date_subtract_interval),
        ("timestamp interval", moments.subtract_interval),
        ("timestamptz interval", moments.subtract_interval),
        ("timestamp timestamp", moments.difference),
        ("timestamptz timestamptz", moments.difference),
        ("time interval", moments.time_subtract_interval),
        ("time time", moments.time_difference),
        ("interval interval", intervals.subtract),
        ("interval", intervals.negate),
    ),
    **overloads("*", ("interval float8", intervals.multiply), ("float8 interval", _swapped(intervals.multiply))),
    **overloads("/", ("interval float8", intervals.divide)),
    **overloads(
        "date_trunc",
        ("text timestamp", parts.trunc),
        ("text timestamptz", parts.trunc),
        ("text timestamptz text", zones.trunc_in_zone),
        ("text interval", intervals.trunc),
    ),
    **overloads(
        "extract",
        ("text date", parts.extract_date),
        ("text time", parts.extract_time),
        ("text timestamp", parts.extract_timestamp),
        ("text timestamptz", parts.extract_timestamptz),
        ("text interval", intervals.extract),
    ),
    **overloads(
        "date_part",
        ("text date", parts.date_part_date),
        ("text time", parts.date_part_time),
        ("text timestamp", parts.date_part_timestamp),
        ("text timestamptz", parts.date_part_timestamptz),
        ("text interval", intervals.date_part),
    ),
    **overloads("age", ("timestamp timestamp", moments.age), ("timestamptz timestamptz", moments.age)),
    **overloads("make_date", ("int4 int4 int4", moments.make_date)),
    **overloads("make_time", ("int4 int4 float8", moments.make_time)),
    **overloads("make_timestamp", ("int4 int4 int4 int4 int4 float8", moments.make_timestamp)),
    **overloads("justify_days", ("interval", intervals.justify_days)),
    **overloads("justify_hours", ("interval", intervals.justify_hours)),
    **overloads("justify_interval", ("interval", intervals.justify_interval)),
    **overloads("isfinite", *((one, moments.isfinite) for one in ("date", "timestamp", "timestamptz")), total=True),
    **overloads("isfinite", ("interval", intervals.isfinite), total=True),
    **overloads("date_bin", *((f"interval {one} {one}", moments.date_bin) for one in ("timestamp", "timestamptz"))),
    **overloads("to_timestamp", ("float8", moments.to_timestamp)),
    **overloads("overlaps", *((f"{one} " * 4, moments.overlaps) for one in ("timestamp", "timestamptz"))),
    **overloads(
        "timezone",
        ("text timestamp", zones.timestamptz_of_local),
        ("text timestamptz", zones.local_of_timestamptz),
        ("interval timestamp", zones.timestamptz_of_offset),
        ("interval timestamptz", zones.local_at_offset),
    ),
}  # fmt: skip

"""Dates, times, timestamps, intervals and time zones against Postgres."""

from __future__ import annotations

import doctest
from functools import partial
from random import Random
from types import ModuleType

import pytest

from django_electric.postgres.values import (
    Interval,
    decode_timestamp,
    encode_timestamp,
    encode_timestamptz,
)
from django_electric.where.runtime import intervals, moments, parts, zones
from tests.support.oracle import Oracle
from tests.where.runtime.operations import Operation, check, check_on
from tests.where.runtime.samples import SAMPLES

FIELDS = [
    "microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year",
    "decade", "century", "millennium", "dow", "isodow", "doy", "isoyear", "julian", "epoch", "timezone", "Years",
]  # fmt: skip
ZONES = [
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
    "Pacific/Apia", "Africa/Monrovia", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires",
]  # fmt: skip

at = moments.timestamp_of_date

ARITHMETIC = [
    Operation("{0} + {1} / 10", "date int4", "date", lambda date, n: moments.add_days(date, int(n / 10))),
    Operation("{0} + {1}", "date int2", "date", moments.add_days),
    Operation("{0} - {1}", "date int2", "date", moments.subtract_days),
    Operation("{0} - {1}", "date date", "int4", moments.difference_in_days),
    Operation("{0} + {1}", "date time", "timestamp", moments.date_add_time),
    *(
        Operation(f"{{0}} {sign} {{1}}", f"{kind} interval", kind, function)
        for kind in ("timestamp", "timestamptz")
        for sign, function in {"+": moments.add_interval, "-": moments.subtract_interval}.items()
    ),
    Operation("{0} - {1}", "timestamp timestamp", "interval", moments.difference),
    Operation("{0} - {1}", "timestamptz timestamptz", "interval", moments.difference),
    Operation("age({0}, {1})", "timestamp timestamp", "interval", moments.age),
    Operation("age({0}, {1})", "timestamptz timestamptz", "interval", moments.age),
    Operation("{0} + {1}", "time interval", "time", moments.time_add_interval),
    Operation("{0} - {1}", "time interval", "time", moments.time_subtract_interval),
    Operation("{0} - {1}", "time time", "interval", moments.time_difference),
    Operation("{0}::timestamp", "date", "timestamp", moments.timestamp_of_date),
    Operation("{0}::date", "timestamptz", "date", moments.date_of_timestamp),
    Operation("{0}::time", "timestamp", "time", moments.time_of_timestamp),
    Operation("{0}::time", "timestamptz", "time", moments.time_of_timestamp),
    Operation("{0}::time", "interval", "time", moments.time_of_interval),
    Operation("{0}::interval", "time", "interval", intervals.from_time),
    *(Operation(f"{{0}}::timestamp({n})", "timestamp", "timestamp", partial(moments.round_seconds, digits=n)) for n in (0, 2, 6)),
    *(Operation(f"{{0}}::timestamptz({n})", "timestamptz", "timestamptz", partial(moments.round_seconds, digits=n)) for n in (0, 5)),
    *(Operation(f"{{0}}::time({n})", "time", "time", partial(moments.round_time, digits=n)) for n in (0, 3)),
    Operation("make_date({0} / 10, {1} / 2000, {2} / 1000)", "int2 int2 int2", "date", lambda y, m, d: moments.make_date(int(y / 10), int(m / 2000), int(d / 1000))),
    Operation("make_time({0} / 1000, {1} / 500, {2})", "int2 int2 float8", "time", lambda h, m, s: moments.make_time(int(h / 1000), int(m / 500), s)),
    Operation("make_timestamp({0}, 2, 3, 4, 5, {1})", "int2 float8", "timestamp", lambda y, s: moments.make_timestamp(y, 2, 3, 4, 5, s)),
    Operation("to_timestamp({0})", "float8", "timestamptz", moments.to_timestamp),
    Operation("to_timestamp({0} / 7.0::float8)", "int8", "timestamptz", lambda n: moments.to_timestamp(n / 7.0)),
    Operation("date_bin({0}, {1}, {2})", "interval timestamp timestamp", "timestamp", moments.date_bin),
    Operation("date_bin({0} * interval 'PT1M', {1}, 'epoch')", "int2 timestamptz", "timestamptz", lambda n, ts: moments.date_bin(Interval(0, 0, n * 60_000_000), ts, 0)),
    Operation("isfinite({0})", "timestamp", "bool", moments.isfinite),
    Operation("isfinite({0})", "date", "bool", moments.isfinite),
    Operation("isfinite({0})", "interval", "bool", intervals.isfinite),
    Operation("({0}, {1}) OVERLAPS ({2}, {3})", "timestamp timestamp timestamp timestamp", "bool", moments.overlaps),
    Operation("({0}, NULL) OVERLAPS ({1}, {2})", "date date date", "bool", lambda a, b, c: moments.overlaps(at(a), None, at(b), at(c))),
    Operation("(NULL, {0}) OVERLAPS ({1}, NULL)", "date date", "bool", lambda a, b: moments.overlaps(None, at(a), at(b), None)),
    Operation("({0}, {1}) OVERLAPS ({0}, {1})", "date date", "bool", lambda a, b: moments.overlaps(at(a), at(b), at(a), at(b))),
]  # fmt: skip

OF_INTERVALS = [
    Operation("{0} + {1}", "interval interval", "interval", intervals.add),
    Operation("{0} - {1}", "interval interval", "interval", intervals.subtract),
    Operation("- {0}", "interval", "interval", intervals.negate),
    Operation("{0} * {1}", "interval float8", "interval", intervals.multiply, least_decided=0.3),
    Operation("{0} / {1}", "interval float8", "interval", intervals.divide, least_decided=0.3),
    Operation("{0} * ({1} / 1000.0)", "interval int2", "interval", lambda i, n: intervals.multiply(i, n / 1000.0)),
    Operation("{0} / ({1} / 1000.0)", "interval int2", "interval", lambda i, n: intervals.divide(i, n / 1000.0)),
    Operation("justify_days({0})", "interval", "interval", intervals.justify_days),
    Operation("justify_hours({0})", "interval", "interval", intervals.justify_hours),
    Operation("justify_interval({0})", "interval", "interval", intervals.justify_interval),
    Operation("{0} < {1}", "interval interval", "bool", lambda a, b: a < b),
    Operation("{0} = {1}", "interval interval", "bool", lambda a, b: a == b),
    *(Operation(f"date_trunc('{field}', {{0}})", "interval", "interval", partial(intervals.trunc, field)) for field in FIELDS),
    *(Operation(f"extract({field} from {{0}})", "interval", "numeric", partial(intervals.extract, field), least_decided=0) for field in FIELDS),
    *(Operation(f"date_part('{field}', {{0}})", "interval", "float8", partial(intervals.date_part, field), least_decided=0) for field in FIELDS),
]  # fmt: skip

PARTS = [
    Operation(sql.format(field=field), kind, result, partial(function, field))
    for field in FIELDS
    for kind, sql, result, function in [
        ("date", "extract({field} from {{0}})", "numeric", parts.extract_date),
        ("time", "extract({field} from {{0}})", "numeric", parts.extract_time),
        ("timestamp", "extract({field} from {{0}})", "numeric", parts.extract_timestamp),
        ("timestamptz", "extract({field} from {{0}})", "numeric", parts.extract_timestamptz),
        ("date", "date_part('{field}', {{0}})", "float8", parts.date_part_date),
        ("time", "date_part('{field}', {{0}})", "float8", parts.date_part_time),
        ("timestamp", "date_part('{field}', {{0}})", "float8", parts.date_part_timestamp),
        ("timestamptz", "date_part('{field}', {{0}})", "float8", parts.date_part_timestamptz),
        ("timestamp", "date_trunc('{field}', {{0}})", "timestamp", parts.trunc),
        ("timestamptz", "date_trunc('{field}', {{0}})", "timestamptz", parts.trunc),
    ]
]

IN_ZONES = [
    Operation(sql.format(zone=zone), kind, result, partial(function, zone))
    for zone in ZONES
    for kind, sql, result, function in [
        ("timestamp", "{{0}} AT TIME ZONE '{zone}'", "timestamptz", zones.timestamptz_of_local),
        ("timestamptz", "{{0}} AT TIME ZONE '{zone}'", "timestamp", zones.local_of_timestamptz),
        ("timestamptz", "date_trunc('day', {{0}}, '{zone}')", "timestamptz", lambda zone, ts: zones.trunc_in_zone("day", ts, zone)),
        ("timestamptz", "date_trunc('hour', {{0}}, '{zone}')", "timestamptz", lambda zone, ts: zones.trunc_in_zone("hour", ts, zone)),
        ("timestamptz", "date_trunc('year', {{0}}, '{zone}')", "timestamptz", lambda zone, ts: zones.trunc_in_zone("year", ts, zone)),
    ]
]  # fmt: skip


@pytest.mark.parametrize(
    "operation", ARITHMETIC + OF_INTERVALS + PARTS, ids=lambda o: f"{o.sql} {o.arguments}"
)
def test_an_operation_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    check(oracle, operation)


@pytest.mark.parametrize("operation", IN_ZONES, ids=lambda o: o.sql)
def test_a_zone_s_changes_of_clock_are_postgres_s(oracle: Oracle, operation: Operation) -> None:
    """Every quarter of an hour of the days on which clocks change somewhere, and random ones."""
    random = Random(5)
    hour = 3_600_000_000
    starts = [
        "2024-03-30 12:00:00",
        "2024-10-26 12:00:00",
        "2024-03-09 12:00:00",
        "2024-04-06 06:00:00",
        "2011-12-29 12:00:00",
    ]
    rows = [decode_timestamp(start) + step * hour // 4 for start in starts for step in range(160)]
    rows += [random.randrange(0, 67 * 365 * 24) * hour + random.randrange(hour) for _ in range(40)]
    encode = encode_timestamp if operation.arguments == "timestamp" else encode_timestamptz
    check_on(oracle, operation, [(encode(moment),) for moment in rows])


@pytest.mark.parametrize(
    "operation",
    [
        Operation("{0} AT TIME ZONE {1}", "timestamp interval", "timestamptz", lambda ts, i: zones.timestamptz_of_offset(i, ts)),
        Operation("{0} AT TIME ZONE {1}", "timestamptz interval", "timestamp", lambda ts, i: zones.local_at_offset(i, ts)),
    ],
    ids=lambda o: o.sql,
)  # fmt: skip
def test_an_offset_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    random = Random(6)
    kind = operation.arguments.split()[0]
    offsets = ["PT0S", "PT2H", "PT-3H-30M", "PT1.5S", "PT-1.5S", "P1D", "P1M"]
    check_on(
        oracle,
        operation,
        [(random.choice(SAMPLES[kind]), random.choice(offsets)) for _ in range(60)],
    )


@pytest.mark.parametrize(
    "module", [intervals, moments, parts, zones], ids=lambda module: module.__name__
)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0

"""What users write, and the order of values, against a real Postgres: whatever we take, it reads alike."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from math import prod
from random import Random
from types import ModuleType
from typing import Any

import psycopg
import pytest

from django_electric.postgres.relation import quote_literal
from django_electric.postgres.values import (
    TYPES,
    Array,
    Interval,
    Jsonb,
    Unreadable,
    ValueType,
    array_type,
    arrays,
    base,
    enum_type,
    enums,
    intervals,
    jsons,
    moments,
    numbers,
    texts,
    written_moments,
)
from tests.support.oracle import Oracle, asking, differences

_RANDOM = Random(1)

UNITS = [
    "us", "usecs", "microsecond", "microseconds", "ms", "msec", "millisecond", "milliseconds", "s", "sec", "secs", "second", "seconds",
    "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day", "days", "w", "week", "weeks", "mon", "mons",
    "month", "months", "y", "yr", "yrs", "year", "years", "dec", "decs", "decade", "decades", "c", "cent", "century", "centuries", "mil",
    "mils", "millennium", "millennia",
]  # fmt: skip
COUNTS = [
    "1",
    "-1",
    "+2",
    "0",
    "1.5",
    "-1.5",
    "0.1",
    "-.5",
    ".5",
    "2.25",
    "0.25",
    "100",
    "1.",
    "0.3",
    "0.7",
    "0.29",
]


def some_intervals() -> list[str]:
    written = [f"{count}{blank}{unit}" for unit in UNITS for count in COUNTS for blank in (" ", "")]
    for _ in range(1500):
        parts = [
            _RANDOM.choice(COUNTS) + _RANDOM.choice([" ", ""]) + _RANDOM.choice(UNITS)
            for _ in range(_RANDOM.randint(1, 4))
        ]
        end = _RANDOM.choice(["", " 04:05:06", " -1:30", " 10:20:30.5", " 5", " 1-2", " 3 4:05:06"])
        written.append(
            _RANDOM.choice(["", "@ "]) + " ".join(parts) + end + _RANDOM.choice(["", "", " ago"])
        )
    return written  # fmt: skip


def some_floats(least: int, most: int) -> list[str]:
    return [
        f"{_RANDOM.uniform(-1, 1) * 10.0 ** _RANDOM.randint(least, most):.{_RANDOM.randint(3, 20)}e}"
        for _ in range(400)
    ]


CLOCKS = [
    "10:00", "1000", "101010", "10:00:00.5", "10:00 AM", "10:00am", "12:00 am", "12:30 PM", "0:30 pm", "13:00 pm", "24:00", "24:00:01",
    "23:59:60", "23:59:59.9999999", "10:00+02", "10:00-0330", "10:00Z", "T10:00", "10:00 +02", " 10:00 ", "1:2:3", "25:00", "10:60",
    "10:00:61", "10:00:60", "10:00:60.5", "2024-01-01 10:00", "20240101 10:00", "2024-01-01T10:00:00+01", "2024-01-01 10:00+01",
    "2024-01-01 10:00Z", "2024-01-01 10:00 pm", "0044-01-01 10:00", "100000.5", "10:00+05:30", "10:00-00:00:30", "10:00+15:59",
    "10:00+16", "24:00+01", "now", "allballs", "10",
]  # fmt: skip
MOMENTS = [
    "2024-01-01", "20240229", "20240229 10:00", "20240229T10:00:00", "2024-01-01 10:00 UTC", "2024-01-01 10:00 GMT", "2024-01-01 10:00:00 PM",
    "2024-01-01T10:00Z", "2024-1-1 1:1", "0044-03-15 BC", "0044-03-15 10:00 BC", "2024-02-30", "20240230", "2024-01-01 10:00pm",
    "2024-01-01 10:00 pm+02", "2024-01-01 10:00 pm Z", "12024-01-01", "2024-01-01  10:00:00.123456789", "20240229 BC", "99999999",
    "10000-01-01 10:00+02", "2024-01-01 24:00", "2024-01-01 24:00 AM", "epoch", "infinity", "-Infinity", "today", "tomorrow",
]  # fmt: skip
ARRAYS = [
    "{}", "{1,2}", "{1,NULL}", "{ 1 , null }", "{{1,2},{3,4}}", "{{1,2},{3}}", "{{1},2}", "{1,{2}}", "{{}}", "{{},{}}", "[0:1]={1,2}", "[0:1]={1}",
    "[2:1]={}", "[0:0][1:2]={{1,2}}", "[1:2]={3,4}", "[0:1] = {1,2}", "{1,2", "1,2", "{1,,2}", "{,}", "{1,}", "", '{"1"}', " {1} ", "{1}}", "{1}x",
    "[0]={1}", "[3]={1,2,3}", "[-1:0]={1,2}", "{{{{{{1}}}}}}", "{{{{{{{1}}}}}}}", "{1 2}", '{"1" }', '{ "1"}', '{"1"2}', '{1"2"}',
]  # fmt: skip
JSONS = [
    "1", "1.50", "1e2", "-0", "-0.0", "1e-3", '"a"', "null", "true", ' [1, 2 ,{"b":1,"a":2,"aa":3}] ', '{"a":1,"a":2}', '{"é":1,"zz":2,"z":3}',
    '"\\u0000"', '"\\ud800"', '"\\u00e9\\n\\t\\/\\u007f"', "NaN", "Infinity", "[1,]", "{a:1}", "01", "1.", ".5", "+1", '""', '"\x7f"', '"a\x01"',
    "[[[]]]", "{}", "[]", '{"":1}', "1E400", '"\\ud83d\\ude00"', "123456789012345678901234567890.123456789", "\u00a01", "tru", '"abc', "1 2",
    "[1,2", "1e-1001", "1.0e3", "0e5", "12e-1", '"\\u000b\\u001f"', '{"a":1e1000000}', "[1,\v2]", "[" * 300 + "]" * 300,
]  # fmt: skip

WRITTEN: dict[str, list[str]] = {
    "bool": ["YES", "of", "o", " t ", "1"],
    "int4": ["1_000", "0x10", "1.5", "1e3", " +007 ", "-2147483648", "2147483648"],
    "oid": ["1", "4294967295", "4294967296", " 7 ", "-1", "a"],
    "float4": [
        "0.1", "1e38", "3.5e38", "1e-45", "1e-46", "7e-46", "-0", ".5", "5.", "nan", "-inf", "infinity", "1e", "1e-40", "16777217",
        "1.00000005960464477540", "1.000000059604644775390625", "1.00000005960464477539", "3.4028235677973366e38", "8388608.5", "0e0",
        "340282356779733661637539395458142568447", "340282356779733661637539395458142568448", "0e-999", *some_floats(-44, 38),
        *(str(2.0**power) for power in range(-149, 128)),
    ],
    "float8": [
        "1e23", "9007199254740993", "5e-324", "2e-324", "3e-324", "1.7976931348623157e308", "1.8e308", *some_floats(-300, 300),
        *(f"{_RANDOM.randint(1, 99)}e{power}" for power in range(15, 40)), *(repr(2.0**power) for power in range(-1074, 1024)),
    ],
    "numeric": ["1e3", "1.5e-3", "NaN", "-inf", "1_0", "0x1", "1e-5", ".5", "5.", "+.5", "00012.3400"],
    "bpchar": ["a ", "", "é"],
    "name": ["a" * 70, "é" * 40, "x", " a "],
    '"char"': ["a", "", "abc", "é", "\\101", " "],
    "bytea": ["", "abc", "\\x", "\\xDEAD", "\\xde ad", "\\x d", "\\xdea", "\\\\", "a\\\\b", "\\000", "\\377", "\\400", "\\8", "\\x\n01", "a\\b", "\\xg0", "\\X01"],
    "uuid": ["{550E8400E29B41D4-a716446655440000}", "550e8400"],
    "date": MOMENTS,
    "time": CLOCKS,
    "timetz": CLOCKS,
    "timestamp": MOMENTS,
    "timestamptz": MOMENTS,
    "interval": [
        "P1Y2M3DT4H5M6.5S", "P2W", "P1.5Y", "P1.5M", "P1.5D", "P1.5W", "PT1.5H", "PT1.5M", "P-1Y", "P+1Y", "P1Y-2M", "P0001-02-03T04:05:06",
        "P0001-02-03", "P", "PT", "P1YT", "p1y", "P1DT", "P1Y1Y", "PT-0.5S", "P-1.5D", "P00010203T040506", "1-2", "-1-2", "+1-2", "1-12",
        "1-11 3", "1-2 3 4:05:06", "3 4:05:06", "3 4:05", "3", "-3", "3.5", "4:05", "4:05:06", "-4:05:06", "+4:05", "100:05", "4:60",
        "4:05:60", "4:05:61", "4:5", "04:05.5", "1 2", "", "ago", "@", "1 day ago", "1 day -ago", "infinity", "-infinity",
        "2147483647 months", "2147483648 months", "178956970 years", "2147483647 days 9223372036854 s", "2562047788:00:54.775807",
        "2562047789:00:00", "1 day 2", "1 hour 2", "1 day 1 day", "1s 5ms", "1.5s 5ms", "10 10:10", "1 year 1-2", "1day12h", "1d12:00",
        "yesterday", "1  day", "1 day\t2 hours", "-1 day 2 hours", "- 1 day", "1 day 2:30 3 min", "1 week 1 day", *some_intervals(),
    ],
    "json": JSONS,
    "jsonb": JSONS,
    "int4[]": ARRAYS,
    "text[]": [
        *ARRAYS, "{a b}", "{ a b }", '{"a b"}', '{"a\\"b"}', '{a\\"b}', "{a\\\\b}", "{a\\ }", '{NULL,"NULL","null",nULL}', '{"",x}', '{"{}"}', "{\\{}",
        '{"a,b"}', '{é,"😀"}', '{"a\nb"}', "{a\nb}", "{N\\ULL}", "{\\NULL}", '{""}', '{a"b"}', '{"a"b}', "{\x0ba}", "{a\x0b}",
    ],
    "numeric[]": ["{1.50,1e2}", "{NaN}", "{ .5 }"],
    "bool[]": ["{yes,no,t,NULL}"],
    "date[]": ["{2024-1-1}", '{"2024-01-01 10:00"}'],
    "jsonb[]": ['{"{\\"a\\":1}",null,"null","1"}'],
    "bytea[]": ['{"\\\\x01"}', "{\\\\x01}"],
    "interval[]": ['{"1 day",P1D}'],
}  # fmt: skip
"""Spellings of all kinds, right and wrong: what we refuse need not be wrong."""

LEAST_TAKEN = 4000


def value_type(name: str) -> ValueType:
    if name.endswith("[]"):
        return array_type(TYPES[name.removesuffix("[]")])
    return TYPES[name.strip('"')]


@pytest.fixture(scope="module")
def oracle(pg: psycopg.Connection[Any]) -> Iterator[Oracle]:
    """Postgres, under the session settings of the stream."""
    with asking(pg) as answers:
        yield answers


def test_what_we_take_postgres_reads_alike(oracle: Oracle) -> None:
    ours: dict[str, Any] = {}
    for name, spellings in WRITTEN.items():
        for text in spellings:
            try:
                canonical = value_type(name).canonical(text)
            except ValueError:
                continue
            # A cast of a bool to text is the long word.
            expected = {"t": "true", "f": "false"}[canonical] if name == "bool" else canonical
            ours[f"{quote_literal(text)}::{name}"] = (
                expected.rstrip(" ") if name == "bpchar" else expected
            )
    assert len(ours) > LEAST_TAKEN
    assert differences(ours, oracle) == {}  # fmt: skip


def test_what_we_take_comes_back() -> None:
    for name, spellings in WRITTEN.items():
        kind = value_type(name)
        for text in spellings[:500]:
            try:
                canonical = kind.canonical(text)
            except ValueError:
                continue
            if name != "bpchar":
                assert kind.encode(kind.decode(canonical)) == canonical


ODD = [*"abZ ,{}\"\\'\n\t\v", "NULL", "null", "é", "😀", "\u00a0", "\x7f"]


def some_text() -> str:
    return "".join(_RANDOM.choice(ODD) for _ in range(_RANDOM.randrange(5)))


def test_random_arrays_of_texts_are_printed_as_postgres_prints_them(oracle: Oracle) -> None:
    kind = array_type(TYPES["text"])
    ours: dict[str, Any] = {}
    for _ in range(400):
        lengths = tuple(_RANDOM.randint(1, 3) for _ in range(_RANDOM.randint(1, 3)))
        items = tuple(_RANDOM.choice([None, some_text()]) for _ in range(prod(lengths)))
        value = Array(items, lengths, tuple(_RANDOM.choice([1, 1, -2]) for _ in lengths))
        text = kind.encode(value)
        assert kind.decode(text) == value
        ours[f"{quote_literal(text)}::text[]"] = text
    assert differences(ours, oracle) == {}


def some_json(depth: int = 3) -> Any:
    kind = _RANDOM.randrange(8 if depth else 5)
    if kind < 2:
        return _RANDOM.choice(
            [None, True, False, 0, -1, 12345678901234567890, 1.5, -0.001, 1e30, 2.5e-8]
        )
    if kind < 5:
        return some_text()
    if kind == 5:
        return [some_json(depth - 1) for _ in range(_RANDOM.randrange(4))]
    return {some_text(): some_json(depth - 1) for _ in range(_RANDOM.randrange(5))}


def test_random_json_is_printed_as_postgres_prints_it(oracle: Oracle) -> None:
    ours: dict[str, Any] = {}
    for _ in range(600):
        text = json.dumps(
            some_json(), ensure_ascii=_RANDOM.random() < 0.3, indent=_RANDOM.choice([None, 1])
        )
        canonical = TYPES["jsonb"].canonical(text)
        assert TYPES["jsonb"].encode(TYPES["jsonb"].decode(canonical)) == canonical
        ours[f"{quote_literal(text)}::jsonb"] = canonical
    assert differences(ours, oracle) == {}


VALUES: dict[str, list[str]] = {
    "oid": ["0", "7", "2147483648", "4294967295"],
    "float4": ["-Infinity", "-1e+30", "0", "-0", "1e-45", "0.1", "16777216", "Infinity", "NaN"],
    "bpchar": ["a", "a  ", "", " ", "ab", "a\n"],
    '"char"': ["", " ", "A", "a", "~"],
    "bytea": ["\\x", "\\x00", "\\x0000", "\\x01", "\\xff", "\\x7f"],
    "time": ["00:00:00", "00:00:00.000001", "23:59:59.999999", "24:00:00"],
    "timetz": ["10:00:00+00", "12:00:00+02", "09:00:00-01", "10:00:00.5+00", "24:00:00+00", "00:00:00-15:59:59", "11:00:00+01:00:01"],
    "interval": ["PT0S", "P1M", "P30D", "PT720H", "P1MT-1S", "P-1M", "P1Y", "P12M", "P360D", "P365D", "P1DT-24H", "PT0.000001S"],
    "jsonb": [
        "[]", "null", '""', '"a"', '"b"', "1", "1.0", "2", "false", "true", "[null]", "[[]]", "[1]", "[1, 2]", "[2, 1]", "{}", '{"a": 1}',
        '{"a": 1.0}', '{"b": 0}', '{"a": 1, "b": 2}', '{"aa": 1}', '{"a": [1]}', '{"a": []}', "[{}]", '["a"]', '[{"a": 1}]',
    ],
    "int4[]": [
        "{}", "{1}", "{1,2}", "{1,NULL}", "{NULL}", "{2}", "{{1,2}}", "{{1},{2}}", "[0:1]={1,2}", "[2:3]={1,2}", "{1,2,3}", "{{1,2},{3,4}}", "{{1,2,3,4}}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_are_equal_and_in_order_as_in_postgres(oracle: Oracle, name: str) -> None:
    kind = value_type(name)
    ours: dict[str, Any] = {}
    for one in VALUES[name]:
        for two in VALUES[name]:
            a, b = kind.decode(one), kind.decode(two)
            left, right = (f"{quote_literal(text)}::{name}" for text in (one, two))
            collate = ' COLLATE "C"' if name == "bpchar" else ""
            for sign, answer in {
                "=": a == b,
                "<": a < b,
                "<=": a <= b,
                ">": a > b,
                ">=": a >= b,
            }.items():
                ours[f"{left}{collate} {sign} {right}"] = str(answer).lower()
            assert a != b or hash(a) == hash(b)
    assert differences(ours, oracle) == {}


def test_an_enum_is_in_the_order_of_its_labels() -> None:
    mood = enum_type(["sad", "ok", "happy"])
    assert mood.decode("sad") < mood.decode("ok") < mood.decode("happy")
    assert mood.encode(mood.decode("ok")) == mood.canonical("ok") == "ok"
    with pytest.raises(ValueError, match="glad"):
        mood.canonical("glad")
    with pytest.raises(Unreadable):
        mood.decode("glad")
    assert array_type(mood).decode("{ok,sad}") == Array.of([1, 0])


def test_json_that_is_too_deep_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        TYPES["jsonb"].decode("[" * 100_000 + "]" * 100_000)


def test_values_of_other_kinds_are_not_equal() -> None:
    assert Interval(0, 0, 0) != 0
    assert Jsonb(True) != True  # noqa: E712  # that is the point
    assert Array.of([1]) != (1,)


MODULES = [base, numbers, texts, moments, written_moments, intervals, enums, arrays, jsons]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0

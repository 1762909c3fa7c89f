"""Values of each type, as Postgres prints them: the corners and some random ones."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random

from django_electric.postgres.values import (
    TYPES,
    Interval,
    encode_date,
    encode_float8,
    encode_numeric,
    encode_timestamp,
    encode_timestamptz,
)
from django_electric.postgres.values.intervals import encode_interval
from django_electric.postgres.values.moments import encode_time
from django_electric.postgres.values.numbers import encode_float4, single_of

_RANDOM = Random(20)


def _integers(bits: int) -> list[str]:
    corners = [0, 1, -1, 2, 3, -7, 10, 100, 5000, (1 << bits - 1) - 1, -(1 << bits - 1)]
    return [
        *map(str, corners),
        *(
            str(_RANDOM.randrange(-(1 << bits - 1), 1 << bits - 1) >> _RANDOM.randrange(bits))
            for _ in range(20)
        ),
    ]


def _floats() -> list[str]:
    corners = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        0.1,
        1e-300,
        1e300,
        -1e300,
        5e-324,
        1e23,
        4.0,
        2.0,
        32767.5,
        2147483647.5,
        1e10,
    ]
    numbers = [
        *corners,
        *(_RANDOM.uniform(-1, 1) * 10.0 ** _RANDOM.randint(-20, 20) for _ in range(25)),
    ]
    return [*map(encode_float8, numbers), "NaN", "Infinity", "-Infinity"]


def _singles() -> list[str]:
    corners = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -2.5,
        0.1,
        1e-38,
        1e38,
        3e38,
        -1e38,
        1e-45,
        16777216.0,
        123456.7,
    ]
    numbers = [
        *corners,
        *(_RANDOM.uniform(-1, 1) * 10.0 ** _RANDOM.randint(-20, 20) for _ in range(25)),
    ]
    return [
        *(encode_float4(single_of(number)) if number else "0" for number in numbers),
        "NaN",
        "Infinity",
        "-Infinity",
    ]


def _numerics() -> list[str]:
    corners = [
        "0",
        "0.00",
        "1",
        "-1",
        "0.5",
        "-0.5",
        "1.5",
        "2.5",
        "-2.5",
        "1.005",
        "10",
        "100",
        "9999",
        "10000",
        "10001",
        "0.0001",
        "0.00010",
        "123.4500",
        "1250",
        "99999999.5",
        "-0.1",
        "3",
        "7",
        "12345678901234567890.123",
        "0.000000000000000000001",
        "2147483647.5",
        "32768",
        "1e0",
    ]
    numbers = [
        str(
            Decimal(_RANDOM.randint(-(10 ** _RANDOM.randint(1, 25)), 10**20)).scaleb(
                -_RANDOM.randint(0, 15)
            )
        )
        for _ in range(40)
    ]
    return [
        *(encode_numeric(Decimal(text)) for text in corners + numbers),
        "NaN",
        "Infinity",
        "-Infinity",
    ]


TEXTS = ["", "a", "b", "ab", "abc", "abcabc", "A", "ABC", " a b ", "  ", "xxaxx", "a,b,c", ",", "hello world", "Hello World", "été", "日本語テキスト", "😀b", "a\nb", "\t x", "O'Neil", "50%", "a_b", "a\\b", "x-y-z", "aaa", "12", " 12 ", "-3.5", "true", "t", "2024-02-29", "NULL", "é", "Straße"]  # fmt: skip


def _days() -> list[int]:
    corners = [
        TYPES["date"].decode(text)
        for text in (
            "1970-01-01",
            "2000-01-01",
            "2024-02-29",
            "2023-12-31",
            "2024-12-30",
            "1900-02-28",
            "0001-01-01",
            "0001-12-31 BC",
            "0044-03-15 BC",
            "0101-01-01 BC",
            "1001-01-01 BC",
            "2000-12-31",
            "2001-01-01",
            "9999-12-31",
            "10000-01-01",
            "2021-01-03",
            "2020-12-28",
            "1999-10-31",
        )
    ]
    return [
        *corners,
        *(_RANDOM.randint(-40_000, 40_000) for _ in range(30)),
        *(_RANDOM.randint(-1_000_000, 1_000_000) for _ in range(10)),
    ]


_DAYS = _days()
_CLOCKS = [
    0,
    1,
    999_999,
    86_399_999_999,
    43_200_000_000,
    36_000_500_000,
    *(_RANDOM.randrange(86_400_000_000) for _ in range(25)),
]


def _moments(encode: Callable[[int], str]) -> list[str]:
    moments = [day * 86_400_000_000 + _RANDOM.choice(_CLOCKS) for day in (*_DAYS, *_DAYS)]
    return [*map(encode, moments), "infinity", "-infinity"]


def _intervals() -> list[str]:
    corners = [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 30, 0),
        (0, 0, 86_400_000_000),
        (-1, 0, 0),
        (1, -1, 0),
        (0, 1, -1),
        (12, 0, 0),
        (13, 45, 100_000_000_000),
        (-14, 3, -5_000_000),
        (0, -31, 90_000_000_000),
        (1, 0, -1),
        (-1, 1, 0),
        (120, 0, 0),
        (1200, 0, 500_000),
        (0, 0, -1_500_000),
        (0, 0, 3_600_000_000),
        (0, 0, 7_200_000_000),
    ]
    numbers = [
        (_RANDOM.randint(-50, 50), _RANDOM.randint(-100, 100), _RANDOM.randint(-(10**12), 10**12))
        for _ in range(30)
    ]
    return [encode_interval(Interval(*fields)) for fields in corners + numbers]


JSONS = ['{"a": 1, "b": [1, 2, {"c": null}], "é": "x"}', "[1, 2, 3]", '["a", "b", "a"]', "[]", "{}", "1", "1.0", "1.50", '"a"', '""', "null", "true", "false", '[[1, 2], [3]]', '{"a": {"b": {"c": "deep"}}}', '{"a": null}', '{"a": "1"}', '{"b": 1}', '{"a": 1}', '{"a": 1.0}', "[null]", "[1]", "[1.0, 1]", '[{"a": 1}]', '{"a": [], "b": {}}', '{"a": "te\\"xt\\n", "bb": true, "c": 1e10}', "[true, false]", "-3", "123456789012345678901234567890", "2.5", "-0.5", '["1", 1]', '{"1": "one", "0": "zero"}', '[[], {}, "x"]', '{"aa": 1, "b": 2, "": 3}']  # fmt: skip
_KEYS = ["a", "b", "c", "é", "", "1", "0", "-1", "x", "aa", "deep", "d"]

SAMPLES: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "int2": _integers(16),
    "int4": _integers(32),
    "int8": _integers(64),
    "float8": _floats(),
    "float4": _singles(),
    "numeric": _numerics(),
    "text": TEXTS,
    "bytea": ["\\x", "\\x00", "\\x616263", "\\xff00ff", "\\x" + "ab" * 57, "\\x" + "cd" * 58, "\\x" + "01" * 200, "\\x61"],
    "date": [*map(encode_date, _DAYS), "infinity", "-infinity", "5874897-12-31", "4714-11-24 BC"],
    "timestamp": [*_moments(encode_timestamp), "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC"],
    "timestamptz": _moments(encode_timestamptz),
    "time": [*map(encode_time, _CLOCKS), "24:00:00"],
    "interval": _intervals(),
    "json": JSONS,
    "jsonb": [TYPES["jsonb"].canonical(text) for text in JSONS],
    "int4[]": ["{}", "{1}", "{1,2}", "{2,1}", "{1,2,3}", "{NULL}", "{1,NULL}", "{NULL,NULL}", "{{1,2},{3,4}}", "{{1},{2}}", "[0:1]={1,2}", "[5:6]={7,8}", "{{1,2}}", "{1,1,2}", "[-1:0][2:3]={{1,2},{3,4}}", "{{{1}}}", "{3,4}"],
    "text[]": ["{}", "{a}", "{a,b}", "{NULL,a}", '{"",x}', '{"a b","NULL"}', "{{a,b},{c,d}}", "[2:3]={a,b}", "{c}", "{a,a}", "{0}", "{a,b,c}", "{b,1,c}", "{-1}", "{1,1}", "{NULL}"],
    "numeric[]": ["{}", "{1.0,2}", "{NaN,1}", "{1.50}", "{1,NULL}"],
    "jsonb[]": ["{}", '{"{\\"a\\": 1}"}', "{1,null}"],
    "key": _KEYS,
}  # fmt: skip

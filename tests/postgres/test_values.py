"""A value's Postgres text, both ways (WHERE.md section 4)."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_electric.postgres import values
from django_electric.postgres.values import NAN, TYPES, Value, moments

IN_ORDER: dict[str, list[str]] = {
    "bool": ["f", "t"],
    "int8": ["-9223372036854775808", "-1", "0", "9", "10", "9223372036854775807"],
    "float8": ["-Infinity", "-1.5e+300", "-0.1", "0", "1e-07", "10", "1e+20", "Infinity", "NaN"],
    "numeric": ["-Infinity", "-10", "-0.1", "0.00", "1.10", "1.2", "100000000000000000000.1", "Infinity", "NaN"],
    "text": ["", "A", "Z", "a", "a\n", "aa", "é", "\ufffd", "😀"],
    "uuid": ["0a000000-0000-0000-0000-000000000000", "a0000000-0000-0000-0000-000000000000"],
    "date": [
        "-infinity", "4714-11-24 BC", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "1970-01-01", "2024-02-29",
        "9999-12-31", "10000-01-01", "5874897-12-31", "infinity",
    ],
    "timestamp": [
        "-infinity", "4714-11-24 00:00:00 BC", "0044-03-15 10:00:00 BC", "0044-03-15 10:00:00.5 BC",
        "0001-01-01 00:00:00", "1999-12-31 23:59:59.999999", "2024-02-29 10:00:00", "2024-02-29 10:00:00.000001",
        "2024-02-29 10:00:00.45", "2024-02-29 10:00:00.5", "10000-01-01 00:00:00", "infinity",
    ],
    "timestamptz": [
        "-infinity", "0044-03-15 10:00:00+00 BC", "0044-03-15 10:00:00.5+00 BC", "2024-02-29 10:00:00+00",
        "2024-02-29 10:00:00.45+00", "2024-02-29 10:00:00.5+00", "12345-01-01 00:00:00.25+00", "infinity",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", IN_ORDER)
def test_values_are_in_the_order_of_postgres(kind: str) -> None:
    decoded = [TYPES[kind].decode(text) for text in IN_ORDER[kind]]
    for one, two in pairwise(decoded):
        assert one < two  # type: ignore[operator]  # values of one type
        assert two > one  # type: ignore[operator]  # values of one type
        assert one <= two  # type: ignore[operator]  # values of one type
        assert not two <= one  # type: ignore[operator]  # values of one type
        assert one != two


@pytest.mark.parametrize("kind", IN_ORDER)
def test_what_postgres_prints_is_canonical_and_comes_back(kind: str) -> None:
    for text in IN_ORDER[kind]:
        assert TYPES[kind].canonical(text) == text
        assert TYPES[kind].encode(TYPES[kind].decode(text)) == text


def test_nan_is_one_value() -> None:
    everything: list[Value] = [1, 1.5, Decimal("1.5"), math.inf, Decimal("Infinity"), True]
    for value in everything:
        assert value < NAN
        assert value < NAN
        assert value != NAN
        assert not value >= NAN
        assert not value >= NAN
    assert NAN == values.NAN
    assert NAN <= NAN
    assert NAN >= NAN
    assert not NAN < NAN
    assert not NAN > NAN
    assert {NAN, values.decode_float8("NaN"), values.decode_numeric("NaN")} == {NAN}
    assert repr(NAN) == "NAN"


@given(st.floats(allow_nan=False))
def test_a_float_comes_back(number: float) -> None:
    text = values.encode_float8(number)
    assert values.decode_float8(text) == number
    assert values.canonical_float8(text) == text


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.decimals(-(10**30), 10**30)
)
def test_a_numeric_comes_back_with_its_scale(number: Decimal) -> None:
    text = values.encode_numeric(number)
    assert values.decode_numeric(text) == number
    assert "e" not in text.lower()


@given(st.integers(moments.FIRST_DAY, moments.LAST_DAY))
def test_a_day_comes_back(day: int) -> None:
    assert values.decode_date(values.encode_date(day)) == day


@given(st.integers(moments.FIRST_MICROSECOND, moments.END_OF_TIME - 1))
def test_a_timestamp_comes_back(moment: int) -> None:
    assert values.decode_timestamp(values.encode_timestamp(moment)) == moment
    assert values.decode_timestamp(values.encode_timestamptz(moment)) == moment
    assert values.canonical_timestamptz(
        values.encode_timestamptz(moment)
    ) == values.encode_timestamptz(moment)


REFUSED: dict[str, list[str]] = {
    "bool": ["", "o", "2", "01", "tt"],
    "int2": ["", "32768", "- 5", "0x1F", "1_000", "1.0", "\u00a05", "\uff15", "9" * 5000],
    "float8": ["", "e5", "1e", "1e1000", "1e-400", "0x10", "1.5 2", "Infinit", "1_0"],
    "numeric": ["", "+NaN", "1 2", "1e", "1e2000", "1e-2000", "0x1F", "1_0", "9" * 2000, "1e" + "9" * 30],
    "text": ["a\0b", "\udc00"],
    "uuid": ["x", "{550e8400e29b41d4a716446655440000", "550e8400e29b41d4a716446655440000}"],
    "date": ["today", "2024-02-30", "0000-01-01", "2024-13-01", "2024-00-01", "2024-01-00", "5874898-01-01", "4714-11-23 BC", "24-01-01", "01/02/2024", "Feb 1 2024"],
    "timestamp": ["now", "2024-01-01 25:00", "2024-01-01 24:00:00.1", "2024-01-01 10:60", "2024-01-01 10:00:61", "2024-01-01 23:59:60.5", "294277-01-01", "2024-01-01 10"],
    "timestamptz": ["now", "2024-01-01 10:00+16", "2024-01-01 10:00+02:60", "2024-01-01 10:00:00+01:00:60", "2024-01-01 10:00 Europe/Paris", "294276-12-31 23:59:59-01"],
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_alike_by_every_postgres_is_refused(kind: str) -> None:
    for text in REFUSED[kind]:
        with pytest.raises(ValueError):
            TYPES[kind].canonical(text)


@pytest.mark.parametrize(
    ("kind", "written", "canonical"),
    [
        ("bool", " YES\n", "t"),
        ("int4", "\t+007 ", "7"),
        ("int4", "-0", "0"),
        ("int8", "0" * 30 + "1", "1"),
        ("float8", "100000000000000", "100000000000000"),
        ("float8", "1000000000000000", "1e+15"),
        ("float8", ".00001", "1e-05"),
        ("float8", "-0", "-0"),
        ("float8", "0e5", "0"),
        ("float8", "-INF", "-Infinity"),
        ("numeric", "-0.00", "0.00"),
        ("numeric", "1.5e2", "150"),
        ("numeric", "100e-2", "1.00"),
        ("numeric", "-inf", "-Infinity"),
        ("date", " 2024-1-9 ", "2024-01-09"),
        ("date", "2024-12-31 24:00:00", "2024-12-31"),
        ("timestamp", "2024-12-31 24:00:00", "2025-01-01 00:00:00"),
        ("timestamp", "2024-01-01 23:59:59.9999999", "2024-01-02 00:00:00"),
        ("timestamp", "2024-01-01 10:00:00.1234565", "2024-01-01 10:00:00.123456"),
        ("timestamp", "0044-03-15 10:00 BC", "0044-03-15 10:00:00 BC"),
        ("timestamptz", "2024-01-01T10:00:00.5-0230", "2024-01-01 12:30:00.5+00"),
        ("timestamptz", "0001-01-01 00:00+02", "0001-12-31 22:00:00+00 BC"),
        ("timestamptz", "epoch", "1970-01-01 00:00:00+00"),
    ],
)
def test_what_users_write(kind: str, written: str, canonical: str) -> None:
    assert TYPES[kind].canonical(written) == canonical


def test_what_does_not_fit_a_double_fails() -> None:
    assert values.float8_of(Decimal("0.1")) == 0.1
    assert values.float8_of(Decimal("Infinity")) == math.inf
    assert values.float8_of(2**63) == 2.0**63
    assert values.float8_of(Decimal(0)) == 0.0
    assert values.float8_of(NAN) is NAN
    for text in ("1e400", "1e-400"):
        with pytest.raises(ValueError, match="out of range"):
            values.float8_of(Decimal(text))


def test_a_date_beside_a_timestamp() -> None:
    assert values.timestamp_of_date(1) == values.MICROSECONDS_PER_DAY
    assert values.timestamp_of_date(math.inf) == math.inf
    assert values.date_of_timestamp(-1) == -1
    assert values.date_of_timestamp(-math.inf) == -math.inf
    with pytest.raises(ValueError, match="out of range"):
        values.timestamp_in_range(moments.END_OF_TIME)

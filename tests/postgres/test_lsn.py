"""Lsn."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres import lsn
from django_electric.postgres.lsn import Lsn

values = st.integers(0, (1 << 64) - 1)


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(lsn).failed == 0


@settings(max_examples=50, deadline=None)
@given(values)
def test_its_text_reads_back(value: int) -> None:
    assert Lsn.parse(str(Lsn(value))) == Lsn(value)
    assert int(Lsn(value)) == value
    assert eval(repr(Lsn(value)), {"Lsn": Lsn.parse}) == Lsn(value)


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_it_is_ordered_and_hashed_as_the_number_it_is(a: int, b: int) -> None:
    assert (Lsn(a) < Lsn(b)) == (a < b)
    assert (Lsn(a) >= Lsn(b)) == (a >= b)
    assert (Lsn(a) == Lsn(b)) == (a == b)
    assert hash(Lsn(a)) == hash(Lsn(a))


def test_it_equals_nothing_but_an_lsn() -> None:
    assert Lsn(5) != 5


@pytest.mark.parametrize(("text", "value"), [("0/0", 0), ("0/1532D60", 22228320), (" 1/ff ", (1 << 32) + 255),
                                             ("FFFFFFFF/FFFFFFFF", (1 << 64) - 1)])  # fmt: skip
def test_the_text_of_postgres_is_read(text: str, value: int) -> None:
    assert int(Lsn.parse(text)) == value


@pytest.mark.parametrize(
    "text",
    ["", "/", "0", "0/", "/0", "123456789/0", "0/123456789", "g/0", "0/g", "0/0/0", "-1/0", "0/-1",
     "+1/0", "0x1/0", "1_0/0", "0/ 1", "1 /0"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Lsn.parse(text)

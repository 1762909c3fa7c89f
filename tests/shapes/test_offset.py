"""LogOffset: PROTOCOL sections 3.1 and 3.2."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.shapes import offset
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, SNAPSHOT_END, LogOffset

numbers = st.integers(0, 1 << 64) | st.integers(0, 3)
ops = st.integers(0, INFINITE)
offsets = st.builds(LogOffset, numbers, ops | st.integers(0, 3))


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(offset).failed == 0


@settings(max_examples=50, deadline=None)
@given(offsets)
def test_its_text_reads_back(offset: LogOffset) -> None:
    assert LogOffset.parse(str(offset)) == offset


@settings(max_examples=50, deadline=None)
@given(offsets, offsets)
def test_offsets_are_ordered_by_tx_then_op(a: LogOffset, b: LogOffset) -> None:
    assert (a < b) == (a.tx < b.tx or (a.tx == b.tx and a.op < b.op))
    assert a > BEFORE_ALL
    assert a <= LogOffset(a.tx, INFINITE)


def test_the_order_is_the_one_in_the_specification() -> None:
    texts = [
        "-1",
        "0_0",
        "0_1",
        "0_inf",
        "1_0",
        "1_9",
        "1_10",
        "1_inf",
        "2_0",
        "18446744073709551615_0",
    ]
    assert [str(o) for o in sorted(map(LogOffset.parse, reversed(texts)))] == texts
    assert LogOffset.parse("0_inf") == SNAPSHOT_END


@pytest.mark.parametrize(
    ("text", "offset"),
    [("-1", BEFORE_ALL), ("-1_0", BEFORE_ALL), ("0_02", LogOffset(0, 2)), ("+7_+3", LogOffset(7, 3)),
     ("007_inf", LogOffset(7, INFINITE))],
)  # fmt: skip
def test_other_spellings_are_taken(text: str, offset: LogOffset) -> None:
    assert LogOffset.parse(text) == offset


@pytest.mark.parametrize(
    "text",
    ["", "now", "_", "1", "1_", "_1", "1_2_3", "-2", "-1_1", "-1_inf", "-0_0", "1_-1", "1_Inf", "inf_1",
     "1.0_0", "1e3_0", " 1_0", "1_0 ", "1_0\n", "0x1_0", "1__0", "١_0", "++1_0"],
)  # fmt: skip
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        LogOffset.parse(text)

"""Transaction ids and snapshots: PROTOCOL section 9.1."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres import xid
from django_electric.postgres.xid import PgSnapshot, precedes

WRAP = 1 << 32
near = st.integers(-(1 << 30), 1 << 30)


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(xid).failed == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1 << 31, 1 << 50), st.integers(1 - (1 << 31), (1 << 31) - 1))
def test_ids_are_compared_across_the_wrap_around(a: int, distance: int) -> None:
    """Less than 2^31 apart, 32 bits tell what 64 bits tell."""
    b = a + distance
    assert precedes(a % WRAP, b % WRAP) == (a < b)


def test_ids_that_are_half_the_range_apart_precede_one_another() -> None:
    assert precedes(0, 1 << 31)
    assert precedes(1 << 31, 0)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(WRAP, 1 << 40),
    st.integers(0, 50),
    st.sets(st.integers(0, 49)),
    st.integers(-60, 110),
)
def test_a_snapshot_sees_what_postgres_says_it_sees(
    xmin: int, width: int, running: set[int], at: int
) -> None:
    """``pg_visible_in_snapshot`` on whole 64-bit ids is the model."""
    xmax = xmin + width
    xip = frozenset(xmin + n for n in running if n < width)
    xid64 = xmin + at
    visible = xid64 < xmin or (xid64 < xmax and xid64 not in xip)
    snapshot = PgSnapshot(xmin, xmax, xip)
    assert snapshot.sees(xid64 % WRAP) == visible


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_the_wrap_around_may_lie_inside_a_snapshot(epoch: int) -> None:
    base = epoch * WRAP + WRAP
    snapshot = PgSnapshot(base - 3, base + 6, frozenset([base - 2, base + 4]))
    seen = [n for n in range(-6, 9) if snapshot.sees((base + n) % WRAP)]
    assert seen == [-6, -5, -4, -3, -1, 0, 1, 2, 3, 5]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 63), near.map(abs), st.frozensets(st.integers(0, 1 << 63), max_size=5))
def test_its_text_reads_back(xmin: int, width: int, xip: frozenset[int]) -> None:
    for wal_lsn in (None, xmin):
        snapshot = PgSnapshot(xmin, xmin + width, xip, wal_lsn)
        assert PgSnapshot.parse(str(snapshot)) == snapshot


def test_the_text_is_the_one_that_postgres_writes() -> None:
    assert str(PgSnapshot(10, 20, frozenset([14, 10]))) == "10:20:10,14"
    assert str(PgSnapshot(10, 10)) == "10:10:"
    assert PgSnapshot.parse("10:10:") == PgSnapshot(10, 10)


def test_a_position_in_the_wal_stands_behind_it() -> None:
    assert str(PgSnapshot(10, 20, frozenset([14]), 22228320)) == "10:20:14@22228320"
    assert PgSnapshot.parse("10:10:@7") == PgSnapshot(10, 10, wal_lsn=7)


def test_nothing_is_seen_that_was_committed_after_the_snapshot_was_taken() -> None:
    """Whatever its id: ids wrap, and of two commits the later may become visible first."""
    snapshot = PgSnapshot(10, 20, wal_lsn=500)
    assert [snapshot.sees_nothing_from(tx) for tx in (0, 499, 500, 501)] == [
        False,
        False,
        True,
        True,
    ]
    assert not PgSnapshot(10, 20).sees_nothing_from(1 << 60)


@pytest.mark.parametrize(
    "text", ["", "1", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:c", "1:2:@x", "1:2@3"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        PgSnapshot.parse(text)

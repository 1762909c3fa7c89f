"""RoutedShape: how a log joins its snapshot (PROTOCOL section 9.1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes import routed
from django_electric.shapes.routed import RoutedShape
from tests.shapes.world import define, shape, sink_of

HEAD = b',{"headers":{"operation":"insert"'
WRAP = 1 << 32


def text(tx: int, op: int) -> bytes:
    return b',{"headers":{"lsn":"%d","op_position":%d' % (tx, op)


def give(one: RoutedShape, tx: int, count: int = 1) -> None:
    """*count* changes of the transaction under way."""
    start = one.ops[-1] + 2 if one.ops else 0
    for op in range(start, start + 2 * count, 2):
        one.take(op, text(tx, op))


def transaction(one: RoutedShape, tx: int, xid: int | None = None, count: int = 1) -> str:
    give(one, tx, count)
    return one.end_transaction(tx if xid is None else xid, tx)


def test_a_shape_shows_its_handle() -> None:
    assert repr(shape(handle="12-34")) == "RoutedShape(12-34)"


def test_only_the_last_entry_of_a_transaction_says_so() -> None:
    one = shape()
    transaction(one, 10, count=3)
    transaction(one, 20)
    assert [m["headers"].get("last") for m in sink_of(one).messages] == [None, None, True, True]
    assert sink_of(one).ops == [0, 2, 4, 0]


def test_a_transaction_without_changes_for_the_shape_appends_nothing() -> None:
    one = shape()
    assert one.end_transaction(10, 10) == ""
    assert sink_of(one).transactions == []


def test_a_transaction_that_the_log_holds_is_not_appended_again() -> None:
    one = shape()
    sink_of(one).last_tx = 20
    for tx in (10, 20, 30):
        assert transaction(one, tx) == ""
    assert sink_of(one).txs == [30]


def test_a_replayed_reason_to_rotate_is_void_if_the_log_is_past_it() -> None:
    one = shape()
    sink_of(one).last_tx = 20
    one.rotates = "its table was truncated"
    assert one.end_transaction(20, 20) == ""
    one.rotates = "its table was truncated"
    assert one.end_transaction(30, 30) == "its table was truncated"


def test_what_the_snapshot_sees_is_dropped_and_the_rest_is_appended() -> None:
    one = shape(snapshot=PgSnapshot(100, 110, frozenset([103])))
    for tx, xid in enumerate([99, 105, 103, 109, 110, 111], start=1):
        transaction(one, tx, xid)
    assert sink_of(one).txs == [3, 5, 6]


def test_commits_may_become_visible_in_another_order_than_they_are_streamed() -> None:
    """A commit record is streamed before the commit is visible; another may overtake it in between."""
    one = shape(snapshot=PgSnapshot(100, 108))
    transaction(one, 1, 108)  # streamed, and not visible yet when the snapshot was taken
    transaction(one, 2, 107)  # streamed after it, and visible already
    assert sink_of(one).txs == [1]


def test_what_was_committed_after_the_snapshot_was_taken_is_appended_whatever_its_id() -> None:
    """Ids wrap: two thousand million transactions later this one looks older than the snapshot."""
    one = shape(snapshot=PgSnapshot(100, 110, wal_lsn=50))
    assert transaction(one, 40, 105) == ""
    transaction(one, 50, (110 + (1 << 31) + 5) % WRAP)
    assert sink_of(one).txs == [50]
    assert one.snapshot is None
    transaction(one, 60, 105)
    assert sink_of(one).txs == [50, 60]


def test_a_reason_to_rotate_is_void_if_the_snapshot_sees_the_transaction() -> None:
    one = shape(snapshot=PgSnapshot(100, 110))
    one.rotates = "its table was truncated"
    assert one.end_transaction(105, 1) == ""
    one.rotates = "its table was truncated"
    assert one.end_transaction(110, 2) == "its table was truncated"
    assert sink_of(one).transactions == []


def test_with_a_reason_to_rotate_nothing_of_the_transaction_is_appended() -> None:
    one = shape()
    one.rotates = "its table was truncated"
    assert transaction(one, 10, count=2) == "its table was truncated"
    assert sink_of(one).transactions == []


# -- held ----------------------------------------------------------------------------------------------


def test_a_shape_without_a_snapshot_holds_everything_back() -> None:
    one = shape(snapshot=None)
    assert transaction(one, 10, count=2) == ""
    one.rotates = "its table was truncated"
    assert transaction(one, 20) == ""
    assert sink_of(one).transactions == []
    assert one.held is not None
    assert [(held.tx, held.rotates) for held in one.held] == [
        (10, ""),
        (20, "its table was truncated"),
    ]
    assert one.held_bytes == sum(len(text) for held in one.held for text in held.texts) > 0


def test_with_its_snapshot_a_shape_drops_what_is_seen_and_appends_the_rest_in_order() -> None:
    one = shape(snapshot=None)
    for tx, xid in enumerate([99, 105, 103, 104, 110], start=1):
        transaction(one, tx, xid, count=2)
    one.end_transaction(111, 6)
    assert one.join(PgSnapshot(100, 110, frozenset([103]))) == ""
    assert sink_of(one).txs == [3, 5]
    assert [m["headers"].get("last") for m in sink_of(one).messages] == [None, True, None, True]
    assert (one.held, one.held_bytes) == (None, 0)
    transaction(one, 7, 107)
    transaction(one, 8, 112)
    assert sink_of(one).txs == [3, 5, 8]


def test_a_held_truncate_rotates_unless_the_snapshot_is_past_it() -> None:
    for xid, reason in ((105, ""), (120, "truncated")):
        one = shape(snapshot=None)
        transaction(one, 1, 90)
        one.rotates = "truncated"
        transaction(one, 2, xid)
        transaction(one, 3, 130)
        assert one.join(PgSnapshot(100, 110)) == reason
        assert sink_of(one).txs == ([3] if not reason else [])


def test_joining_a_shape_that_held_nothing_is_harmless() -> None:
    one = shape(snapshot=PgSnapshot(1, 1))
    assert one.join(PgSnapshot(100, 110)) == ""
    transaction(one, 1, 105)
    assert sink_of(one).txs == []


def test_the_transaction_under_way_while_the_shape_joins_is_judged_at_its_end() -> None:
    for xid, txs in ((105, []), (115, [1])):
        one = shape(snapshot=None)
        give(one, 1)
        one.join(PgSnapshot(100, 110))
        give(one, 1)
        one.end_transaction(xid, 1)
        assert sink_of(one).txs == txs


@settings(max_examples=80, deadline=None)
@given(
    st.integers(WRAP - 12, WRAP + 2),
    st.lists(st.integers(WRAP - 15, WRAP + 15), unique=True, max_size=14),
    st.sets(st.integers(0, 9)),
    st.integers(0, 14),
)
def test_a_row_is_in_the_snapshot_or_in_the_log_and_never_in_both(
    xmin: int, xids: list[int], running: set[int], joins_after: int
) -> None:
    """Whenever the shape joins; around the wrap-around of xids; each transaction writes one row."""
    xmax = xmin + 10
    snapshot = PgSnapshot(xmin, xmax, frozenset(xmin + n for n in running))
    # What the snapshot sees has committed before it was taken, so it comes first in the stream.
    seen = [x for x in xids if x < xmin or (x < xmax and x not in snapshot.xip)]
    stream = seen + [x for x in xids if x not in seen]
    one = shape(snapshot=None)
    for tx, xid in enumerate(stream, start=1):
        if tx - 1 == joins_after:
            one.join(snapshot)
        transaction(one, tx, xid % WRAP)
    if one.held is not None:
        one.join(snapshot)
    assert sink_of(one).txs == [tx for tx, xid in enumerate(stream, 1) if xid not in seen]


# -- too much to hold --------------------------------------------------------------------------------------


def test_what_is_held_is_bounded_and_too_much_of_it_rotates_the_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routed, "HELD_BYTES", 500)
    one = shape(snapshot=None)
    for tx in range(1, 40):
        transaction(one, tx, count=2)
    assert one.held is not None
    assert sum(len(text) for held in one.held for text in held.texts) <= 500
    assert "too much" in one.join(PgSnapshot(5, 5))
    assert sink_of(one).transactions == []


def test_one_transaction_that_is_too_much_rotates_a_held_shape_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routed, "HELD_BYTES", 500)
    one = shape(snapshot=None)
    give(one, 1, 5)
    one.spill(1, 1)
    assert len(one.texts) == 5
    give(one, 1, 30)
    one.spill(1, 1)
    assert one.texts == []
    one.end_transaction(1, 1)
    assert "too much" in one.join(PgSnapshot(5, 5))
    assert sink_of(one).spills == 0


# -- spilling ------------------------------------------------------------------------------------------


def test_a_spill_keeps_the_last_entry_since_it_may_be_the_transactions_last() -> None:
    one = shape()
    give(one, 10, 3)
    one.spill(10, 10)
    assert len(one.texts) == 1
    assert [op for _, op, _ in sink_of(one).spilled] == [0, 2]
    one.spill(10, 10)
    assert len(sink_of(one).spilled) == 2
    give(one, 10, 2)
    one.spill(10, 10)
    one.end_transaction(10, 10)
    assert sink_of(one).ops == [0, 2, 4, 6, 8]
    assert [m["headers"].get("last") for m in sink_of(one).messages] == [None] * 4 + [True]


def test_a_held_shape_spills_nothing() -> None:
    one = shape(snapshot=None)
    give(one, 10, 3)
    one.spill(10, 10)
    assert sink_of(one).spills == 0
    assert len(one.texts) == 3


def test_a_transaction_that_the_snapshot_sees_is_not_spilled() -> None:
    one = shape(snapshot=PgSnapshot(100, 110))
    give(one, 1, 3)
    one.spill(105, 1)
    assert sink_of(one).spills == 0
    one.spill(110, 1)
    assert sink_of(one).spills == 1


def test_an_abandoned_transaction_leaves_nothing() -> None:
    one = shape()
    transaction(one, 10)
    give(one, 20, 3)
    one.spill(20, 20)
    one.rotates = "truncated"
    one.abandon_transaction()
    assert (one.ops, one.texts, one.rotates) == ([], [], "")
    assert sink_of(one).discards == 1
    assert transaction(one, 20) == ""
    assert sink_of(one).txs == [10, 20]


@pytest.mark.parametrize("where", [None, "id > 1"])
def test_the_condition_is_read_once_from_the_definition(where: str | None) -> None:
    one = shape(define(where=where))
    assert (one.where is None) == (where is None)

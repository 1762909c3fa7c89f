"""FlushTracker: what may be confirmed, and when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.shapes.flush import SYNC_INTERVAL, SYNC_SHARE, FlushTracker


def test_nothing_is_synced_while_there_is_nothing_new() -> None:
    tracker = FlushTracker(100)
    assert tracker.next_sync(0.0) is None
    assert tracker.goal() == tracker.confirmed == 100


def test_the_first_news_is_synced_at_once_and_the_next_after_the_interval() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    assert tracker.next_sync(5.0) == 200
    assert tracker.next_sync(5.0) is None
    tracker.published = 300
    assert tracker.next_sync(5.0 + SYNC_INTERVAL / 2) is None
    assert tracker.next_sync(5.0 + SYNC_INTERVAL) == 300


def test_only_what_is_synced_is_confirmed_and_only_once() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    tracker.next_sync(0.0)
    assert tracker.confirmed == 100
    assert tracker.synced(200)
    assert tracker.confirmed == 200
    assert not tracker.synced(200)
    assert not tracker.synced(150)
    assert tracker.confirmed == 200


def test_a_sync_that_nobody_asked_for_counts_too() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    assert tracker.synced(200)
    assert tracker.requested == 200
    assert tracker.next_sync(0.0) is None


def test_a_transaction_that_is_not_visible_yet_holds_back() -> None:
    tracker = FlushTracker(100)
    tracker.published = 300
    tracker.hold_at(200)
    assert tracker.goal() == 200
    assert tracker.next_sync(0.0) == 200
    assert tracker.next_sync(9.0) is None
    tracker.hold_at(None)
    assert tracker.next_sync(18.0) == 300


def test_a_hold_beyond_what_is_published_changes_nothing() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    tracker.hold_at(500)
    assert tracker.goal() == 200


def test_the_goal_never_goes_back_behind_what_was_confirmed() -> None:
    """Else an orderly stop would save less than the slot has, and every shape would be rotated."""
    tracker = FlushTracker(100)
    tracker.published = 300
    tracker.synced(300)
    tracker.hold_at(200)
    assert tracker.goal() >= 300


_STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 50)),
    st.tuples(st.just("hold"), st.none() | st.integers(0, 500)),
    st.tuples(st.just("tick"), st.integers(0, 2)),
    st.tuples(st.just("synced"), st.just(0)),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(_STEPS, max_size=30))
def test_nothing_is_ever_confirmed_that_was_not_published_and_synced(
    steps: list[tuple[str, int | None]],
) -> None:
    tracker, now, under_way = FlushTracker(10), 0.0, None
    for step, amount in steps:
        before = tracker.confirmed
        if step == "publish":
            tracker.published += amount or 0
        elif step == "hold":
            tracker.hold_at(amount)
        elif step == "tick":
            now += amount or 0
            if under_way is None:
                under_way = tracker.next_sync(now)
        elif under_way is not None:
            tracker.synced(under_way)
            under_way = None
        assert tracker.published >= tracker.requested >= tracker.confirmed >= before


def test_first_rows_are_made_durable_though_no_lsn_tells_of_them() -> None:
    tracker = FlushTracker(100)
    assert tracker.next_sync(0.0, has_more=True) == 100
    assert tracker.next_sync(0.5, has_more=True) is None
    assert tracker.next_sync(SYNC_INTERVAL, has_more=True) == 100


def test_a_slow_disk_is_given_rest() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    assert tracker.next_sync(10.0) == 200
    tracker.synced(200, now=13.0)
    tracker.published = 300
    rested = 10.0 + 3.0 / SYNC_SHARE
    assert tracker.next_sync(rested - 0.1) is None
    assert tracker.next_sync(rested) == 300


def test_a_fast_disk_is_asked_once_an_interval() -> None:
    tracker = FlushTracker(100)
    tracker.published = 200
    tracker.next_sync(10.0)
    tracker.synced(200, now=10.01)
    tracker.published = 300
    assert tracker.next_sync(10.5) is None
    assert tracker.next_sync(10.0 + SYNC_INTERVAL) == 300

"""PROTOCOL sections 3.5, 3.6, 6.5, 7.1 and 11.3: what to do, given a look at the log."""

from __future__ import annotations

import pytest

from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams, ShapeRequest
from django_electric.protocol.plan import (
    Awaiting,
    LogView,
    NoNews,
    NotModified,
    OutOfBounds,
    Send,
    SnapshotOverdue,
    Wait,
    after_waiting,
    plan,
)
from django_electric.shapes.offset import BEFORE_ALL, SNAPSHOT_END, LogOffset

SHAPE = ShapeParams(TableName("public", "items"))
FIRST = LogOffset(0, 0)
AT_7 = LogOffset(7, 0)
AT_9 = LogOffset(9, 2)


def asking(offset: LogOffset | None, *, live: bool = False) -> ShapeRequest:
    return ShapeRequest(SHAPE, offset, "h", is_live=live)


class TestSnapshot:
    def test_the_first_chunk_is_never_up_to_date(self) -> None:
        log = LogView(1, SNAPSHOT_END, FIRST, 10)
        assert plan(asking(BEFORE_ALL), log, "h") == Send(FIRST, is_up_to_date=False)

    def test_first_rows_are_waited_for(self) -> None:
        log = LogView(0, SNAPSHOT_END, None)
        assert plan(asking(BEFORE_ALL), log, "h") == Wait(Awaiting.FIRST_ROWS, SNAPSHOT_END)

    def test_the_next_rows_are_waited_for_even_by_a_request_that_is_not_live(self) -> None:
        log = LogView(1, SNAPSHOT_END, None)
        assert plan(asking(FIRST), log, "h") == Wait(Awaiting.NEXT_ROWS, SNAPSHOT_END)

    def test_after_the_last_chunk_the_client_is_up_to_date(self) -> None:
        log = LogView(1, SNAPSHOT_END, SNAPSHOT_END)
        assert plan(asking(FIRST), log, "h") == Send(SNAPSHOT_END, is_up_to_date=True)


class TestLog:
    def test_a_chunk_that_ends_before_the_log_is_not_up_to_date(self) -> None:
        log = LogView(1, AT_9, AT_7, 100)
        assert plan(asking(SNAPSHOT_END), log, "h") == Send(AT_7, is_up_to_date=False)

    def test_a_chunk_that_ends_the_log_is_up_to_date(self) -> None:
        log = LogView(1, AT_9, AT_9, 100)
        assert plan(asking(AT_7, live=True), log, "h") == Send(AT_9, is_up_to_date=True)

    def test_without_news_a_live_request_waits_and_another_does_not(self) -> None:
        log = LogView(1, AT_9, AT_9)
        assert plan(asking(AT_9, live=True), log, "h") == Wait(Awaiting.NEWS, AT_9)
        assert plan(asking(AT_9), log, "h") == Send(AT_9, is_up_to_date=True)

    @pytest.mark.parametrize("live", [True, False])
    def test_an_offset_beyond_the_log_is_waited_for_live_or_not(self, live: bool) -> None:
        log = LogView(1, AT_7, AT_7)
        assert plan(asking(AT_9, live=live), log, "h") == Wait(Awaiting.BOUNDS, AT_7)


class TestNow:
    """Section 11.3."""

    def test_now_is_answered_at_once_with_the_end_of_the_log(self) -> None:
        assert plan(asking(None), LogView(1, AT_9, None), "h") == NoNews(AT_9)

    def test_now_waits_until_the_snapshot_has_started(self) -> None:
        log = LogView(0, SNAPSHOT_END, None)
        assert plan(asking(None), log, "h") == Wait(Awaiting.FIRST_ROWS, SNAPSHOT_END)


class TestTags:
    """Section 6.5."""

    def test_a_client_that_holds_the_chunk_hears_that_it_is_unchanged(self) -> None:
        log = LogView(1, SNAPSHOT_END, SNAPSHOT_END)
        tags = {"x", "h:0_0:0_inf"}
        assert plan(asking(FIRST), log, "h", tags) == NotModified(SNAPSHOT_END, is_up_to_date=True)
        assert plan(asking(FIRST), log, "other", tags) == Send(SNAPSHOT_END, is_up_to_date=True)

    def test_the_tag_is_looked_at_before_waiting(self) -> None:
        log = LogView(1, AT_9, AT_9, 50)
        assert isinstance(plan(asking(AT_7, live=True), log, "h", {"h:7_0:9_2"}), NotModified)


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        (Awaiting.NEWS, NoNews(AT_9)),
        (Awaiting.BOUNDS, OutOfBounds()),
        (Awaiting.FIRST_ROWS, SnapshotOverdue()),
        (Awaiting.NEXT_ROWS, SnapshotOverdue()),
    ],
)
def test_what_is_answered_when_time_is_up(reason: Awaiting, answer: object) -> None:
    assert after_waiting(Wait(reason, AT_9)) == answer

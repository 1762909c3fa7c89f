"""What every road has: an outbox, patience, and beats."""

from __future__ import annotations

import asyncio
import logging

import pytest

from django_electric.wakeup import road as module
from django_electric.wakeup.road import Outbox, Road, RoadBroken
from tests.wakeup.ends import Someone, until


def outbox(*lines: bytes) -> Outbox:
    box = Outbox()
    box.put(lines)
    return box


# -- the outbox --------------------------------------------------------------------------------------


def test_lines_leave_in_order_and_once() -> None:
    box = outbox(b"moved a", b"gone b", b"moved a", b"moved c")
    assert box
    assert box.take() == [b"gone b", b"moved a", b"moved c"]
    assert box.take() == []
    assert not box


def test_of_states_and_positions_only_the_last_one_is_of_interest() -> None:
    box = outbox(b"state starting", b"lsn 1", b"moved a", b"lsn 2", b"state active")
    assert box.take() == [b"moved a", b"lsn 2", b"state active"]


def test_a_position_alone_is_not_urgent() -> None:
    assert not outbox().is_urgent
    assert not outbox(b"lsn 1", b"lsn 2").is_urgent
    assert outbox(b"lsn 1", b"moved a").is_urgent
    assert outbox(b"state active").is_urgent


def test_too_many_lines_become_one() -> None:
    box = outbox(b"state active", b"lsn 9")
    for n in range(20_000):
        box.put([b"moved %030d" % n])
    lines = box.take()
    assert lines[:3] == [b"state active", b"lsn 9", b"look"]
    assert sum(map(len, lines)) <= module._MOST_BYTES
    assert lines[-1] == b"moved %030d" % 19_999


def test_what_was_taken_does_not_count() -> None:
    box = Outbox()
    for n in range(20_000):
        box.put([b"moved %030d" % n])
        assert box.take() == [b"moved %030d" % n]


# -- connecting --------------------------------------------------------------------------------------


class Fake(Road):
    """Converses as the test says; what is sent is kept."""

    def __init__(self, *fates: str) -> None:
        super().__init__()
        self.fates = list(fates)
        self.times: list[float] = []
        self.sent: list[bytes] = []
        self.beats = 0

    async def converse(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        fate = self.fates.pop(0) if self.fates else "holds"
        if fate == "fails":
            raise RoadBroken("because\nof this")
        self.connected()
        if fate == "breaks":
            raise RoadBroken("of that")
        if fate == "ends":
            return
        while not self.is_over:
            self.beats += self.is_beat_due()
            self.sent += self.outbox.take()
            if not self.is_over:
                await self.stir()


async def test_pauses_grow_until_there_is_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.08)
    road, end = Fake(*["fails"] * 4, "breaks", "breaks"), Someone()
    running = asyncio.create_task(road.run(end))
    await until(lambda: len(road.times) == 7)
    running.cancel()
    pauses = [after - before for before, after in zip(road.times, road.times[1:], strict=False)]
    expected = [0.02, 0.04, 0.08, 0.08, 0.02, 0.02]
    assert all(
        wanted <= pause < wanted + 0.06 for pause, wanted in zip(pauses, expected, strict=True)
    )
    assert end.losses == 6


async def test_an_outage_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    package = logging.getLogger("django_electric")
    package.addHandler(caplog.handler)
    road = Fake("fails", "fails", "ends", "breaks", "holds")
    with caplog.at_level(logging.INFO, "django_electric.wakeup"):
        running = asyncio.create_task(road.run(Someone()))
        await until(lambda: len(road.times) == 5)
    running.cancel()
    package.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        "no wake-ups for the moment, files are polled: because",
        "wake-ups come again",
        "no wake-ups for the moment, files are polled: of that",
        "wake-ups come again",
    ]


async def test_what_is_sent_before_there_is_a_connection_waits() -> None:
    road = Fake("fails")
    road.send(b"registered a\nregistered b\n")
    running = asyncio.create_task(road.run(Someone()))
    await until(lambda: road.sent)
    assert road.sent == [b"registered a", b"registered b"]
    running.cancel()


async def test_a_position_waits_a_little_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 60)
    road = Fake()
    running = asyncio.create_task(road.run(Someone()))
    await until(lambda: road.beats)
    began = asyncio.get_running_loop().time()
    road.send(b"lsn 1\n")
    road.send(b"lsn 2\n")
    await until(lambda: road.sent)
    assert asyncio.get_running_loop().time() - began > 0.08
    assert road.sent == [b"lsn 2"]
    road.send(b"lsn 3\n")
    road.send(b"moved a\n")
    await until(lambda: len(road.sent) > 1)
    assert road.sent == [b"lsn 2", b"lsn 3", b"moved a"]
    running.cancel()


async def test_beats_are_not_kept_from_their_time_by_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.05)
    road = Fake()
    running = asyncio.create_task(road.run(Someone()))
    while road.beats < 4:
        road.send(b"moved a\n")
        await asyncio.sleep(0.005)
    assert len(road.sent) > 10
    running.cancel()


async def test_a_road_that_is_stopped_sends_its_last_words() -> None:
    road = Fake()
    running = asyncio.create_task(road.run(Someone()))
    await until(lambda: road.is_connected)
    road.send(b"moved a\n")
    road.stop()
    await asyncio.wait_for(running, 2)
    assert road.sent == [b"moved a"]
    assert not road.is_connected


class Swallowing(Fake):
    """Uses a library that keeps a cancellation to itself."""

    async def converse(self) -> None:
        self.connected()
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.sent.append(b"swallowed")
            await self.stir()


async def test_a_cancellation_that_a_library_swallows_is_heeded() -> None:
    road = Swallowing()
    running = asyncio.create_task(road.run(Someone()))
    await until(lambda: road.is_connected)
    running.cancel()
    await asyncio.wait([running], timeout=2)
    assert running.cancelled()
    assert road.sent == [b"swallowed"]

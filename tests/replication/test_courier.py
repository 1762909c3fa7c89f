"""Courier: a road in a thread of its own, and a main thread that never waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from django_electric.replication import courier as module
from django_electric.replication.courier import Courier
from django_electric.wakeup import Road
from django_electric.wakeup.road import RoadBroken
from tests.support.waiting import eventually


class Fake(Road):
    """Keeps what is sent; hears what the test puts in; breaks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.breaks = 0
        self.hangs = False

    async def converse(self) -> None:
        if self.breaks:
            self.breaks -= 1
            raise RoadBroken
        self.connected()
        self.loop = asyncio.get_running_loop()
        self.send(self.end.first_words())
        while not self.is_over:
            if self.hangs:
                await asyncio.sleep(60)
            self.sent += self.outbox.take()
            if not self.is_over:
                await self.stir()

    def say(self, line: bytes) -> None:
        """As if it came from a web process."""
        self.loop.call_soon_threadsafe(self.end.hear, line)


class World:
    """A courier whose roads the test can reach."""

    def __init__(self) -> None:
        self.roads: list[Fake] = []
        self.breaks = 0
        self.heard: list[tuple[str, str]] = []
        self.courier = Courier(self._make_road, lambda *words: self.heard.append(words))

    def _make_road(self) -> Fake:
        self.roads.append(Fake())
        self.roads[-1].breaks = self.breaks
        return self.roads[-1]

    def open(self) -> Fake:
        self.courier.open(lambda: b"state active\nlsn 5\n")
        return self.roads[-1]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.courier.close()
    assert not couriers()


def couriers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "electric-courier"]


def test_a_connection_begins_with_the_greeting_and_a_look(world: World) -> None:
    road = world.open()
    eventually(lambda: road.sent == [b"state active", b"lsn 5", b"look"])


def test_what_is_said_is_sent_in_order(world: World) -> None:
    road = world.open()
    for n in range(100):
        world.courier.say(b"moved %d\n" % n)
    eventually(lambda: b"moved 99" in road.sent)
    assert [line for line in road.sent if line.startswith(b"moved")] == [
        b"moved %d" % n for n in range(100)
    ]


def test_what_is_said_while_the_road_is_broken_is_sent_later(world: World) -> None:
    world.breaks = 3
    road = world.open()
    world.courier.say(b"moved a\n")
    eventually(lambda: road.sent == [b"moved a", b"state active", b"lsn 5", b"look"])


def test_a_hello_is_answered_and_everything_else_handed_on(world: World) -> None:
    road = world.open()
    eventually(lambda: road.sent)
    road.sent.clear()
    road.say(b"hello")
    road.say(b"registered 1-2")
    eventually(lambda: road.sent == [b"state active", b"lsn 5"])
    eventually(lambda: world.heard == [("registered", "1-2")])


def test_the_main_thread_does_not_wait_for_a_road_that_hangs(world: World) -> None:
    road = world.open()
    road.hangs = True
    eventually(lambda: road.is_connected)
    began = time.monotonic()
    for _ in range(1000):
        world.courier.say(b"moved a\n")
    assert time.monotonic() - began < 1


def test_last_words_are_sent(world: World) -> None:
    road = world.open()
    eventually(lambda: road.sent)
    world.courier.say(b"moved a\n")
    world.courier.close()
    assert road.sent[-1] == b"moved a"
    world.courier.close()


def test_a_road_that_hangs_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 0.1)
    road = world.open()
    road.hangs = True
    eventually(lambda: road.is_connected)
    world.courier.close()
    assert not couriers()


def test_a_road_that_is_broken_is_left_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 60)
    world.breaks = 1000
    road = world.open()
    eventually(lambda: road.breaks < 995)
    world.courier.close()
    assert not couriers()


def test_each_session_has_a_road_of_its_own(world: World) -> None:
    first = world.open()
    eventually(lambda: first.sent)
    second = world.open()
    eventually(lambda: second.sent)
    assert first is not second
    assert len(couriers()) == 1
    world.courier.close()
    world.courier.say(b"moved a\n")
    assert b"moved a" not in first.sent + second.sent

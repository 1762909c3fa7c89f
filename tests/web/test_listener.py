"""Listener: hints from the worker, and what holds without them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from django_electric.storage import MemoryStorage
from django_electric.web.listener import Listener
from django_electric.web.roads import SocketRoad
from tests.web.conftest import FakeWorker


class Ear:
    """A listener and its worker."""

    def __init__(self, path: Path) -> None:
        self.gone: list[str] = []
        self.worker = FakeWorker(path, MemoryStorage())
        self.worker.fills = False
        self.listener = Listener(SocketRoad(path), 0.05, self.gone.append)

    async def connected(self) -> None:
        await self.worker.start()
        self.listener.start()
        assert await self.listener.until_active(2)


@pytest.fixture
async def ear(tmp_path: Path) -> AsyncIterator[Ear]:
    ear = Ear(tmp_path / "worker.sock")
    yield ear
    await ear.listener.stop()
    await ear.worker.stop()


async def until(condition: object, seconds: float = 2) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_moved_shape_wakes_those_who_wait_for_it(ear: Ear) -> None:
    await ear.connected()
    with ear.listener.subscribe("1-1") as one, ear.listener.subscribe("2-2") as other:
        ear.worker.tell("moved", "1-1", "3-3")
        await one.wait(2)
        began = time.monotonic()
        await other.wait(0.05)
        assert time.monotonic() - began >= 0.04


async def test_a_wake_up_between_look_and_wait_is_not_lost(ear: Ear) -> None:
    with ear.listener.subscribe("1-1") as news:
        news.clear()
        news.wake()
        began = time.monotonic()
        await news.wait(5)
        assert time.monotonic() - began < 1


async def test_everybody_looks_again_after_a_reconnect(ear: Ear) -> None:
    await ear.connected()
    await ear.worker.stop()
    await until(lambda: ear.listener.state is None)
    with ear.listener.subscribe("1-1") as news:
        await ear.worker.start()
        began = time.monotonic()
        await news.wait(5)
        assert time.monotonic() - began < 2
    assert ear.listener.is_active


async def test_everybody_looks_when_the_worker_says_so(ear: Ear) -> None:
    await ear.connected()
    with ear.listener.subscribe("1-1") as one, ear.listener.subscribe("2-2") as other:
        one.clear()
        other.clear()
        ear.worker.tell("look")
        began = time.monotonic()
        await one.wait(5)
        await other.wait(5)
        assert time.monotonic() - began < 1


async def test_what_is_said_while_the_worker_is_away_is_said_later_and_once(ear: Ear) -> None:
    ear.listener.start()
    ear.listener.send("registered", "1-1")
    ear.listener.send("registered", "1-1")
    await ear.worker.start()
    await until(lambda: ear.worker.heard)
    ear.listener.send("deleted", "1-1")
    await until(lambda: len(ear.worker.heard) > 1)
    assert ear.worker.heard == [("registered", "1-1"), ("deleted", "1-1")]


async def test_the_lsn_is_unknown_without_a_connection(ear: Ear) -> None:
    await ear.connected()
    await until(lambda: ear.listener.last_lsn == 5)
    await ear.worker.stop()
    await until(lambda: ear.listener.last_lsn is None)


async def test_a_failure_reaches_those_who_wait(ear: Ear) -> None:
    await ear.connected()
    with ear.listener.subscribe("1-1") as news:
        ear.worker.tell("failed", "1-1", '{"status": 503, "message": "because"}')
        await news.wait(2)
        assert news.failure == (503, "because")
    assert ear.gone == ["1-1"]


async def test_a_shape_that_is_gone_is_forgotten(ear: Ear) -> None:
    await ear.connected()
    ear.worker.tell("gone", "1-1", "2-2")
    await until(lambda: ear.gone == ["1-1", "2-2"])


async def test_what_is_not_understood_does_not_end_the_conversation(ear: Ear) -> None:
    await ear.connected()
    ear.worker.tell("lsn", "nonsense")
    ear.worker.tell("hello", "world")
    ear.worker.tell("failed", "1-1", "not json")
    ear.worker.tell("lsn", "7")
    await until(lambda: ear.listener.last_lsn == 7)


async def test_a_worker_that_is_not_active_is_waited_for(ear: Ear) -> None:
    await ear.worker.start("starting")
    ear.listener.start()
    assert not await ear.listener.until_active(0.05)
    ear.worker.tell("state", "active")
    assert await ear.listener.until_active(2)


async def test_many_waiters_look_less_often_while_the_worker_is_there(ear: Ear) -> None:
    await ear.connected()
    assert ear.listener.poll_seconds == 0.05
    subscriptions = [ear.listener.subscribe(str(n)) for n in range(2000)]
    for subscription in subscriptions:
        subscription.__enter__()
    assert ear.listener.poll_seconds == pytest.approx(0.1)
    for subscription in subscriptions:
        subscription.__exit__(None, None, None)
    assert not ear.listener.waiting

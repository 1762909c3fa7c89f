"""Signals reach the server when those who waited have been answered, and not long after."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from django_electric.web import ending
from django_electric.web.ending import Ending
from tests.web.conftest import Bench


class Server:
    """What is set for SIGTERM and SIGINT before a request comes."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)

    async def hears(self, number: int, seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while number not in self.heard:
                await asyncio.sleep(0.01)


class Waits:
    """Requests that wait until they are told not to."""

    def __init__(self) -> None:
        self.ends = 0
        self.over = asyncio.Event()

    def end(self) -> None:
        self.ends += 1
        self.over.set()


@pytest.fixture(autouse=True)
def server() -> Iterator[Server]:
    server = Server()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, server.on_signal)
    yield server
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_the_server_hears_after_the_last_answer(server: Server) -> None:
    waits = Waits()
    end = Ending(waits.end)
    end.hear()
    end.hear()
    answered: list[int] = []

    async def answer(number: int) -> None:
        end.follow()
        await waits.over.wait()
        end.follow()
        await asyncio.sleep(0.05)
        assert not server.heard
        answered.append(number)

    tasks = [asyncio.create_task(answer(number)) for number in range(3)]
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    assert waits.ends == 1, "at once"
    await server.hears(signal.SIGTERM)
    assert answered == [0, 1, 2]
    assert server.heard == [signal.SIGTERM], "once, though it was heard twice"
    assert all(task.done() for task in tasks)


async def _for_ever(end: Ending) -> None:
    end.follow()
    await asyncio.Event().wait()


async def test_an_answer_that_does_not_end_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PATIENCE", 0.05)
    end = Ending(Waits().end)
    end.hear()
    task = asyncio.create_task(_for_ever(end))
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGINT)
    await server.hears(signal.SIGINT)
    assert not task.done()
    task.cancel()


async def test_who_says_it_twice_is_obeyed(server: Server) -> None:
    end = Ending(Waits().end)
    end.hear()
    task = asyncio.create_task(_for_ever(end))
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    await server.hears(signal.SIGINT, seconds=ending.PATIENCE / 2)
    task.cancel()


def test_without_an_event_loop_the_server_hears_at_once(server: Server) -> None:
    calls: list[str] = []
    Ending(lambda: calls.append("ended")).hear()
    signal.raise_signal(signal.SIGTERM)
    assert calls == ["ended"]
    assert server.heard == [signal.SIGTERM]


def test_a_signal_that_nobody_handles_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, object]] = []
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Ending(lambda: None).hear()
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler)
    monkeypatch.setattr(
        signal, "raise_signal", lambda n: raised.append((n, signal.getsignal(signal.SIGTERM)))
    )
    handler(signal.SIGTERM, None)
    assert raised == [(signal.SIGTERM, signal.SIG_DFL)]


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Ending(lambda: None).hear()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_other_threads_hear_no_signals(server: Server) -> None:
    thread = threading.Thread(target=Ending(lambda: None).hear)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == server.on_signal


async def _events(bench: Bench, **query: str) -> bytes:
    body = (await bench.get(**query, live="true", live_sse="true")).stream
    assert body is not None
    return b"".join([piece async for piece in body])


async def test_whoever_waits_gets_an_answer(bench: Bench, server: Server) -> None:
    bench.use(long_poll_timeout=60_000)
    bench.service.ending.hear()
    # In a task of its own, as every request is.
    handle, offset = await asyncio.create_task(bench.follow())
    asked = {"handle": handle, "offset": offset}
    polling = asyncio.create_task(bench.get(**asked, live="true"))
    streaming = asyncio.create_task(_events(bench, **asked))
    while len(bench.service.listener.waiting.get(handle, ())) < 2:
        await asyncio.sleep(0.01)
    signal.raise_signal(signal.SIGTERM)
    await server.hears(signal.SIGTERM, seconds=ending.PATIENCE / 2)
    assert b"up-to-date" in polling.result().body
    assert streaming.result() == b""
    # Nobody waits any more.
    assert (await bench.get(**asked, live="true")).status == 200

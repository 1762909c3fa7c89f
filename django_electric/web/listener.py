"""Listener: hears from the worker which shapes moved, and wakes the requests that wait for them.

One listener for each event loop. What it hears is a hint: whoever waits also looks at the files every
poll interval, and everybody looks after a (re)connect.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from django_electric.wakeup import LineBuffer, decode, encode

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
_READ_SIZE: Final = 1 << 16
_LONGEST_OUTBOX: Final = 10_000
_LOOKS_A_SECOND: Final = 1_000
"""With more waiters than this each of them looks less often while the worker is connected."""


class Failure(NamedTuple):
    """Why the first rows of a shape could not be read."""

    status: int
    message: str


class Subscription:
    """One request's interest in one shape. Use as a context manager; clear, look, then wait."""

    def __init__(self, listener: Listener, handle: str) -> None:
        self._listener = listener
        self.handle = handle
        self.failure: Failure | None = None
        self._is_woken = False
        self._future: asyncio.Future[None] | None = None

    def __enter__(self) -> Subscription:
        self._listener.waiting.setdefault(self.handle, set()).add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        others = self._listener.waiting.get(self.handle)
        if others is not None:
            others.discard(self)
            if not others:
                del self._listener.waiting[self.handle]

    def clear(self) -> None:
        """From now on a wake-up counts: call this before looking at the log."""
        self._is_woken = False

    def wake(self) -> None:
        self._is_woken = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return when woken, or after *seconds*."""
        if self._is_woken:
            return
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(seconds, self._time_is_up)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None

    def _time_is_up(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Listener:
    """This process's end of the socket. `on_gone` hears of shapes that were rotated or deleted."""

    def __init__(self, path: Path, poll_interval: float, on_gone: Callable[[str], None]) -> None:
        self._path = path
        self._poll_interval = poll_interval
        self._on_gone = on_gone
        self.waiting: dict[str, set[Subscription]] = {}
        self.state: str | None = None
        """What the worker says of itself; None while there is no connection."""
        self.last_lsn: int | None = None
        """Everything committed up to here is published; None while unknown."""
        self._outbox: deque[bytes] = deque(maxlen=_LONGEST_OUTBOX)
        self._writer: asyncio.StreamWriter | None = None
        self._is_active = asyncio.Event()
        self._has_tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._verbs: dict[str, Callable[[str], None]] = {
            "state": self._hear_state,
            "lsn": self._hear_lsn,
            "moved": self._hear_moved,
            "gone": self._hear_gone,
            "failed": self._hear_failed,
        }

    def start(self) -> None:
        """Begin to listen, in the running event loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name="electric-listener"
            )

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def is_active(self) -> bool:
        return self.state == "active"

    @property
    def poll_seconds(self) -> float:
        """How long a waiter may go without looking at the files itself."""
        if self.state is None:
            return self._poll_interval
        return self._poll_interval * max(
            1.0, sum(map(len, self.waiting.values())) / _LOOKS_A_SECOND
        )

    def subscribe(self, handle: str) -> Subscription:
        return Subscription(self, handle)

    def send(self, verb: str, handle: str) -> None:
        """Tell the worker, now or when it is there again."""
        line = encode(verb, handle)
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line)
        elif line not in self._outbox:
            self._outbox.append(line)

    async def first_contact(self, seconds: float) -> None:
        """Return once the first attempt to connect has succeeded or failed, at most after *seconds*."""
        await _until(self._has_tried, seconds)

    async def until_active(self, seconds: float) -> bool:
        """Wait until the worker is active; False if it is not after *seconds*."""
        return await _until(self._is_active, seconds)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                pause = _FIRST_PAUSE
                await self._converse(reader, self._writer)
            except OSError:
                pass  # the worker is not there, or went away: try again
            finally:
                self._disconnected()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._outbox:
            writer.write(self._outbox.popleft())
        lines = LineBuffer()
        while data := await reader.read(_READ_SIZE):
            for line in lines.feed(data):
                self._hear(line)

    def _disconnected(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self.state = self.last_lsn = None
        self._is_active.clear()
        self._has_tried.set()

    def _hear(self, line: bytes) -> None:
        verb, rest = decode(line)
        try:
            self._verbs[verb](rest)
        except (KeyError, ValueError):
            # A worker of another version: what it says is a hint, and hints may be missed.
            logger.warning("the worker said something that was not understood: %r", line[:80])

    def _hear_state(self, state: str) -> None:
        is_first = self.state is None
        self.state = state
        self._has_tried.set()
        if state == "active":
            self._is_active.set()
        else:
            self._is_active.clear()
        if is_first:
            # Whatever happened while there was no connection shows in the files.
            for handle in list(self.waiting):
                self._wake(handle)

    def _hear_lsn(self, rest: str) -> None:
        self.last_lsn = int(rest)

    def _hear_moved(self, rest: str) -> None:
        for handle in rest.split():
            self._wake(handle)

    def _hear_gone(self, rest: str) -> None:
        for handle in rest.split():
            self._on_gone(handle)
            self._wake(handle)

    def _hear_failed(self, rest: str) -> None:
        handle, _, text = rest.partition(" ")
        body = json.loads(text)
        failure = Failure(int(body["status"]), str(body["message"]))
        self._on_gone(handle)
        for subscription in self.waiting.get(handle, ()):
            subscription.failure = failure
        self._wake(handle)

    def _wake(self, handle: str) -> None:
        for subscription in self.waiting.get(handle, ()):
            subscription.wake()


async def _until(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

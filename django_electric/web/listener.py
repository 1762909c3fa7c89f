"""Listener: hears from the worker which shapes moved, and wakes the requests that wait for them.

One listener for each event loop; the road by which it hears is not its concern (`roads`). What it hears
is a hint: whoever waits also looks at the files every poll interval, and everybody looks after a
(re)connect.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple

from django_electric.wakeup import Road, decode, encode

logger = logging.getLogger(__name__)

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
    """This process's end of the road. `on_gone` hears of shapes that were rotated or deleted."""

    def __init__(self, road: Road, poll_interval: float, on_gone: Callable[[str], None]) -> None:
        self._road = road
        self._poll_interval = poll_interval
        self._on_gone = on_gone
        self.waiting: dict[str, set[Subscription]] = {}
        self.state: str | None = None
        """What the worker says of itself; None while nothing is heard of it."""
        self.last_lsn: int | None = None
        """Everything committed up to here is published; None while unknown."""
        self.heard = 0
        """Grows with everything that is heard: what was looked at since then need not be looked at again."""
        self._is_active = asyncio.Event()
        self._has_tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._verbs: dict[str, Callable[[str], None]] = {
            "state": self._hear_state,
            "lsn": self._hear_lsn,
            "moved": self._hear_moved,
            "gone": self._hear_gone,
            "failed": self._hear_failed,
            "look": self._hear_look,
        }

    def start(self) -> None:
        """Begin to listen, in the running event loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._road.run(self), name="electric-listener"
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
        self._road.send(encode(verb, handle))

    async def first_contact(self, seconds: float) -> None:
        """Return once the first attempt to connect has succeeded or failed, at most after *seconds*."""
        await _until(self._has_tried, seconds)

    async def until_active(self, seconds: float) -> bool:
        """Wait until the worker is active; False if it is not after *seconds*."""
        return await _until(self._is_active, seconds)

    # -- the road's end ----------------------------------------------------------------------------

    @property
    def is_in_touch(self) -> bool:
        return self.state is not None

    def first_words(self) -> bytes:
        return encode("hello")

    def sign_of_life(self) -> bytes:
        """The worker need not know who listens."""
        return b""

    def lost(self) -> None:
        """Nothing is heard of the worker."""
        self.state = self.last_lsn = None
        self._is_active.clear()
        self._has_tried.set()

    def hear(self, line: bytes) -> None:
        """The worker said something."""
        self.heard += 1
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
            self._wake_all()

    def _hear_lsn(self, rest: str) -> None:
        self.last_lsn = int(rest)

    def _hear_look(self, _: str) -> None:
        self._wake_all()

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

    def _wake_all(self) -> None:
        for handle in list(self.waiting):
            self._wake(handle)

    def _wake(self, handle: str) -> None:
        for subscription in self.waiting.get(handle, ()):
            subscription.wake()


async def _until(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

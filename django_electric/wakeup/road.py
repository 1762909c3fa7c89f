"""Road: one end of a way for lines between the worker and the web processes.

A road lives in one event loop. It connects, and connects again with growing pauses; whoever stands
at this end (`End`) hears what comes and sends what it likes at any time.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final, Protocol

logger = logging.getLogger("django_electric.wakeup")

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0
BEAT: Final = 1.0
"""Seconds between two signs of life, on roads where no broken connection tells of a death."""
PATIENCE: Final = 10.0
"""Seconds after which a server that does not answer counts as gone."""
_LSN_PAUSE: Final = 0.1
"""Seconds that a position waits for other news: one that comes alone wakes nobody."""
_MOST_BYTES: Final = 1 << 19
_ONLY_THE_LAST: Final = (b"state", b"lsn")


class RoadBroken(Exception):
    """The connection cannot be made, or it broke."""


class End(Protocol):
    """Who stands at this end. Every call is made in the road's event loop."""

    @property
    def is_in_touch(self) -> bool:
        """Whether this end knows how the other one is."""

    def first_words(self) -> bytes:
        """What a new connection begins with, where the other end cannot see that it is new."""

    def sign_of_life(self) -> bytes:
        """What is said every `BEAT`, where nobody sees that this end is gone."""

    def hear(self, line: bytes) -> None:
        """A line came."""

    def lost(self) -> None:
        """As far as one can tell, nobody is at the other end."""


class Outbox:
    """Lines that wait to be sent, each once, and of states and positions only the last one.

    When there are too many, ``look`` takes their place.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, bytes] = {}
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def is_urgent(self) -> bool:
        """Whether there is more than a position."""
        return len(self._lines) > (b"lsn" in self._lines)

    def put(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            verb = line.partition(b" ")[0]
            key = verb if verb in _ONLY_THE_LAST else line
            self._size += len(line) - len(self._lines.pop(key, b""))
            self._lines[key] = line
        if self._size > _MOST_BYTES:
            kept = [self._lines[key] for key in _ONLY_THE_LAST if key in self._lines]
            self.take()
            self.put([*kept, b"look"])

    def take(self) -> list[bytes]:
        """The lines, without their ends; they are no longer in here."""
        lines, self._lines, self._size = list(self._lines.values()), {}, 0
        return lines


class Road(ABC):
    """Connects, breaks, connects again; what is sent meanwhile waits in the `outbox`."""

    end: End

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._stirred = asyncio.Event()
        self._is_lsn_timed = False
        self._next_beat = 0.0
        self._pause = FIRST_PAUSE
        self._is_broken = False
        self._is_stopping = False
        self.is_connected = False

    @abstractmethod
    async def converse(self) -> None:
        """Connect, say that it is `connected`, carry lines both ways until it breaks or `is_over`.

        Return, or raise `RoadBroken` if somebody should know why.
        """

    async def run(self, end: End) -> None:
        """Converse until it is stopped."""
        self.end = end
        while not self._is_stopping:
            try:
                await self.converse()
            except RoadBroken as error:
                self._broken(error)
            finally:
                self.is_connected = False
                end.lost()
            heed_cancellation()
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def stop(self) -> None:
        """Send what is to be sent; then it `is_over`."""
        self._is_stopping = True
        self._stirred.set()

    @property
    def is_over(self) -> bool:
        return self._is_stopping and not self.outbox

    def send(self, lines: bytes) -> None:
        """Send whole lines, now or when there is a connection again."""
        self.outbox.put(lines.splitlines())
        if self.outbox.is_urgent:
            self._stirred.set()
        elif self.outbox and not self._is_lsn_timed:
            self._is_lsn_timed = True
            asyncio.get_running_loop().call_later(_LSN_PAUSE, self._lsn_is_due)

    def connected(self) -> None:
        """The connection is there; the first beat is due at once."""
        if self._is_broken:
            logger.info("wake-ups come again")
        self._is_broken = False
        self.is_connected = True
        self._pause = FIRST_PAUSE
        self._next_beat = 0.0

    def heard(self, payload: str) -> None:
        """Lines came."""
        for line in payload.encode("ascii", "replace").splitlines():
            self.end.hear(line)

    async def stir(self) -> None:
        """Return when there is something to do, or when the next beat is due."""
        heed_cancellation()
        left = self._next_beat - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._stirred.wait()
        except TimeoutError:
            pass
        self._stirred.clear()

    def is_beat_due(self) -> bool:
        """Whether it is time for a sign of life; then the next one is due a `BEAT` later."""
        now = asyncio.get_running_loop().time()
        if now < self._next_beat:
            return False
        self._next_beat = now + BEAT
        return True

    def _lsn_is_due(self) -> None:
        self._is_lsn_timed = False
        self._stirred.set()

    def _broken(self, error: RoadBroken) -> None:
        if not self._is_broken:
            reason = str(error).partition("\n")[0]
            logger.warning("no wake-ups for the moment, files are polled: %s", reason)
        self._is_broken = True


def heed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled and a library kept that to itself.

    ``asyncio.wait_for`` did so before Python 3.12, when what it waited for came at the same moment.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

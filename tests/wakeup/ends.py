"""Who stands at the end of a road in these tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from django_electric.wakeup.road import Road


class Someone:
    """Remembers what was heard, and has something to say."""

    def __init__(self, first_words: bytes = b"", life: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.losses = 0
        self.is_in_touch = False
        self._first_words = first_words
        self._life = life

    def first_words(self) -> bytes:
        return self._first_words

    def sign_of_life(self) -> bytes:
        return self._life

    def hear(self, line: bytes) -> None:
        self.heard.append(line)
        self.is_in_touch = True

    def lost(self) -> None:
        self.losses += 1
        self.is_in_touch = False


class Walk:
    """A road under way; ends with the ``async with``."""

    def __init__(self, road: Road, end: Someone) -> None:
        self.road = road
        self.end = end

    async def __aenter__(self) -> Walk:
        self._task = asyncio.create_task(self.road.run(self.end))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)

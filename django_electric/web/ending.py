"""Ending: when a server is told to end, all who wait are answered before it is.

A server says nothing to its application before it ends. One waits for open requests, and live ones stay for
a long poll; another one cuts them off. So the signals that end a process are heard here first.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

PATIENCE: Final = 2.0
"""Seconds that a signal is kept from the server at most, while answers are under way."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """The end of this process, as one service prepares for it; *end_waits* lets nobody wait any more."""

    def __init__(self, end_waits: Callable[[], None]) -> None:
        self._end_waits = end_waits
        self._handlers: dict[int, Any] = {}
        """Those of the server, before which ours stand."""
        self._waiting: set[asyncio.Task[Any]] = set()
        self._passing: dict[int, asyncio.Task[None]] = {}

    def hear(self) -> None:
        """Stand before the server's signal handlers: it has set them when the first request comes.

        Harmless when called often. Where the server does not run in the main thread it hears of no signal,
        and neither do we.
        """
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            self._handlers[number] = handler
            # None was set by something else than Python, and could not be called from here.
            if handler is not None and handler != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def follow(self) -> None:
        """The running task waits, and will answer: the end waits for it. Harmless when called often."""
        task = asyncio.current_task()
        assert task is not None
        if task not in self._waiting:
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._end_waits()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._pass_on(number)
        else:
            # The handler may have interrupted anything, the loop itself as well.
            loop.call_soon_threadsafe(self._pass_on_soon, number)

    def _pass_on_soon(self, number: int) -> None:
        if number in self._passing:  # whoever says it twice means it
            self._pass_on(number)
        else:
            passing = self._pass_on_when_answered(number)
            self._passing[number] = asyncio.get_running_loop().create_task(passing)

    async def _pass_on_when_answered(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        waiting = [task for task in self._waiting if task.get_loop() is loop]
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        handler = self._handlers[number]
        if callable(handler):
            handler(number, None)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

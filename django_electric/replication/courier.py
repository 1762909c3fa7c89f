"""Courier: the worker's end of a road that needs an event loop, in a thread of its own.

Nothing here ever waits for a server but that thread; the main thread only puts lines before its door.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from django_electric.wakeup import Road, decode, encode

_LAST_WORDS_SECONDS: Final = 1.0


class Courier:
    """Carries what is said over a road that *make_road* makes anew for each session.

    *on_message* is called in the courier's thread.
    """

    is_heard = True
    """Nobody knows who listens."""

    def __init__(
        self, make_road: Callable[[], Road], on_message: Callable[[str, str], None]
    ) -> None:
        self._make_road = make_road
        self._on_message = on_message
        self._carrying: _Carrying | None = None

    def open(self, greeting: Callable[[], bytes]) -> None:
        """Set out; *greeting* is said whenever somebody may not have heard it."""
        self.close()
        self._carrying = _Carrying(self._make_road(), greeting, self._on_message)

    def say(self, lines: bytes) -> None:
        """Send *lines* to every web process."""
        if self._carrying is not None:
            self._carrying.say(lines)

    def close(self) -> None:
        """End the session; what was said is sent, if that takes less than a second. May be called twice."""
        if self._carrying is not None:
            self._carrying.close()
            self._carrying = None


class _Carrying:
    """One session: a thread, its event loop, and the end of the road."""

    is_in_touch = True

    def __init__(
        self, road: Road, greeting: Callable[[], bytes], on_message: Callable[[str, str], None]
    ) -> None:
        self._road = road
        self._greeting = greeting
        self._on_message = on_message
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(road.run(self), name="electric-courier")
        self._thread = threading.Thread(target=self._run, name="electric-courier", daemon=True)
        self._thread.start()

    def say(self, lines: bytes) -> None:
        self._loop.call_soon_threadsafe(self._road.send, lines)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._finish)
        self._thread.join(_LAST_WORDS_SECONDS)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(_LAST_WORDS_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _finish(self) -> None:
        self._road.stop()
        if not self._road.is_connected:
            self._task.cancel()

    # -- the road's end ----------------------------------------------------------------------------

    def first_words(self) -> bytes:
        """What was said while the road was broken may not have arrived."""
        return self._greeting() + encode("look")

    def sign_of_life(self) -> bytes:
        return self._greeting()

    def hear(self, line: bytes) -> None:
        verb, rest = decode(line)
        if verb == "hello":
            self._road.send(self._greeting())
        else:
            self._on_message(verb, rest)

    def lost(self) -> None:
        """The worker does not need anybody."""

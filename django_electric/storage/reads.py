"""Reads: when each log was last read, so that the worker knows which ones are missed least (PROTOCOL section 7.3).

The time stands in the log's directory, as its time of modification: readers set it, the worker looks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

NOTED_SECONDS: Final = 10.0
"""A log that is read all the time is noted so often."""
_MOST: Final = 10_000
"""Logs whose last note is remembered."""


class Reads:
    """The notes in the directory of all logs."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._noted: dict[str, float] = {}

    def note(self, handle: str) -> None:
        """Somebody reads the log of *handle*, which is there; cheap when called often."""
        now = self._clock()
        if now < self._noted.get(handle, 0.0):
            return
        if len(self._noted) >= _MOST:
            self._noted.clear()
        self._noted[handle] = now + NOTED_SECONDS
        with suppress(OSError):  # it is gone, or the directory is mounted for reading alone
            os.utime(self._directory / handle)

    def longest_unread(self, handles: Iterable[str], count: int) -> list[str]:
        """So many of *handles*, whose logs were read longest ago. One without a log is about to get it."""
        return sorted(handles, key=self._last_read)[:count]

    def _last_read(self, handle: str) -> float:
        try:
            return (self._directory / handle).stat().st_mtime
        except FileNotFoundError:
            return float("inf")

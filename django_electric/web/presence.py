"""Presence: how many clients wait for each shape, told in a small file of each web process.

Those who wait drive it: each of them looks at its log every now and then, and with it here. A process in
which nobody waits writes nothing, and what it wrote before is soon too old to count. The file is for people
to look at; nothing depends on it.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, cast

from django_electric.storage import state_file

_FOLDER: Final = "clients"
INTERVAL: Final = 2.0
"""Seconds between two files."""
_SHARE: Final = 0.01
"""Writing takes no more than this share of the time."""
_FORGOTTEN: Final = 3_600.0
"""Seconds after which the file of a process that is gone is removed."""


class Waiting(Protocol):
    """What knows who waits: a listener."""

    @property
    def waiting(self) -> Mapping[str, Collection[object]]:
        """By handle, those who wait."""


class Presence:
    """The file of this process. *look_seconds* is how seldom a request that waits may look."""

    def __init__(
        self,
        root: Path,
        look_seconds: float,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = root / _FOLDER / f"{socket.gethostname()}-{os.getpid()}.json"
        self._valid_for = 3 * INTERVAL + 2 * look_seconds
        self._clock = clock
        self._timer = timer
        self._next = 0.0

    def note(self, listeners: Iterable[Waiting]) -> None:
        """Write who waits, if it is time to. Called whenever somebody is about to wait."""
        began = self._timer()
        if began < self._next:
            return
        counts = Counter[str]()
        for listener in listeners:
            for handle, waiters in list(listener.waiting.items()):
                counts[handle] += len(waiters)
        with suppress(OSError):  # a directory that cannot be written to: then nobody is told
            self._write(counts)
        self._next = began + max(INTERVAL, (self._timer() - began) / _SHARE)

    def _write(self, counts: Mapping[str, int]) -> None:
        now = self._clock()
        if not self._path.parent.is_dir():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            _remove_forgotten(self._path.parent, now)
        content = {"until": now + self._valid_for, "clients": counts}
        state_file.replace_quickly(self._path, content)


def clients_by_handle(root: Path, clock: Callable[[], float] = time.time) -> Counter[str]:
    """How many clients wait for each shape, in all web processes that share *root*."""
    now = clock()
    counts = Counter[str]()
    for path in (root / _FOLDER).glob("*.json"):
        try:
            value = cast("dict[str, object]", state_file.read(path))
            if float(str(value["until"])) >= now:
                counts.update(cast("dict[str, int]", value["clients"]))
        except (TypeError, KeyError, ValueError):
            continue  # written by another version
    return counts


def _remove_forgotten(folder: Path, now: float) -> None:
    for path in folder.glob("*.json"):
        with suppress(OSError):
            if now - path.stat().st_mtime > _FORGOTTEN:
                path.unlink()

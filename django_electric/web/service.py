"""ShapeService: what the answers of one process share."""

from __future__ import annotations

import asyncio
import fcntl
import os
from functools import lru_cache
from pathlib import Path

from django_electric.conf import ElectricSettings
from django_electric.errors import ShapeGone
from django_electric.storage import FileStorage, ShapeStorage
from django_electric.wakeup import STANDBY_LOCK
from django_electric.web.admission import Admission, Kind
from django_electric.web.database import DatabaseThreads, database_threads
from django_electric.web.listener import Listener
from django_electric.web.looks import Looks
from django_electric.web.ranges import Ranges
from django_electric.web.roads import web_road
from django_electric.web.shapes import Shapes


class ShapeService:
    """Settings, logs, look-up, admission, and a listener for each event loop."""

    def __init__(
        self,
        settings: ElectricSettings,
        storage: ShapeStorage | None = None,
        threads: DatabaseThreads | None = None,
    ) -> None:
        self.settings = settings
        self.storage = storage or FileStorage(
            settings.root, chunk_bytes=settings.shape_chunk_bytes_threshold
        )
        self.shapes = Shapes(settings, threads or database_threads(settings.alias))
        self.ranges = Ranges()
        self.admission = Admission(settings.max_concurrent_requests)
        self.is_closing = False
        """Nobody waits any more: the process is about to end."""
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Listener, Looks]] = {}

    @property
    def listener(self) -> Listener:
        """The listener of the running event loop."""
        listener, _ = self._of_this_loop()
        listener.start()
        return listener

    @property
    def looks(self) -> Looks:
        """The looks at logs that requests in the running event loop share."""
        return self._of_this_loop()[1]

    def _of_this_loop(self) -> tuple[Listener, Looks]:
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None:
            # A server without ASGI runs every request in a loop of its own; closed ones are let go.
            self._loops = {
                other: kept for other, kept in self._loops.items() if not other.is_closed()
            }
            road, seconds = web_road(self.settings), self.settings.poll_interval / 1000
            listener = Listener(road, seconds, self.shapes.forget)
            found = self._loops[loop] = listener, Looks(self.storage, self.ranges, listener)
        return found

    def close(self) -> None:
        """Answer all who wait with what there is. Any thread."""
        self.is_closing = True
        for loop, (listener, _) in list(self._loops.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake_all, listener)

    def has_log(self, handle: str) -> bool:
        """Whether the shape's log is there."""
        try:
            self.storage.reader(handle).close()
        except ShapeGone:
            return False
        return True

    def kind_of(self, handle: str | None) -> Kind:
        """*existing* iff the request names a handle that this server knows (PROTOCOL section 7.7)."""
        if handle and (self.shapes.knows(handle) or self.has_log(handle)):
            return "existing"
        return "initial"

    @property
    def is_standby(self) -> bool:
        """Whether the worker of this host waits for another one to let go of the replication slot."""
        return _is_locked(self.settings.root / STANDBY_LOCK)

    def worker_state(self) -> str:
        """As ``/v1/health`` says it (PROTOCOL section 1.5)."""
        if self.listener.is_active:
            return "active"
        return "waiting" if self.is_standby else "starting"


def _wake_all(listener: Listener) -> None:
    for subscriptions in listener.waiting.values():
        for subscription in subscriptions:
            subscription.wake()


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@lru_cache(maxsize=4)
def shape_service(settings: ElectricSettings) -> ShapeService:
    """The service of this process; another one when the settings are others (in tests)."""
    return ShapeService(settings)

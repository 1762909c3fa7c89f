"""ShapeService: what the answers of one process share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from django.conf import settings as django_settings

from django_electric.conf import ElectricSettings
from django_electric.errors import ShapeGone
from django_electric.postgres.xid import PgSnapshot
from django_electric.revocations import Revocations, kept_seconds
from django_electric.shapes.snapshot_sql import Subset
from django_electric.storage import SHAPES, FileStorage, Reads, ShapeStorage
from django_electric.wakeup import STANDBY_LOCK, is_locked
from django_electric.web.admission import Admission, Kind
from django_electric.web.database import DatabaseThreads, database_threads
from django_electric.web.ending import Ending
from django_electric.web.leaves import LeaveWatch
from django_electric.web.listener import Listener
from django_electric.web.looks import Looks
from django_electric.web.presence import Presence
from django_electric.web.queues import BrowserQueues
from django_electric.web.ranges import Ranges
from django_electric.web.roads import web_road
from django_electric.web.shapes import Found, Shapes

SubsetQuery = Callable[[Found, Subset, str], Awaitable[tuple[PgSnapshot, list[bytes]]]]
"""Runs the statement of a subset: what its snapshot sees, and the rows."""


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
        self.queues = BrowserQueues(is_on=django_settings.DEBUG)
        self.ending = Ending(self.close)
        # The worker wants to know only if it may have to choose.
        self._note_read = Reads(settings.root / SHAPES).note if settings.max_shapes else None
        self.revocations = Revocations(settings.root, kept_seconds(settings.token_ttl))
        self.subset_query: SubsetQuery | None = None
        """What runs subsets instead of the threads of this process."""
        self.presence = Presence(settings.root, settings.poll_interval / 1000)
        self.is_closing = False
        """Nobody waits any more: the process is about to end."""
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Listener, Looks, LeaveWatch]] = {}

    @property
    def listener(self) -> Listener:
        """The listener of the running event loop."""
        listener, _, _ = self._of_this_loop()
        listener.start()
        return listener

    @property
    def looks(self) -> Looks:
        """The looks at logs that requests in the running event loop share."""
        return self._of_this_loop()[1]

    @property
    def leaves(self) -> LeaveWatch:
        """Wakes those in the running event loop that wait with leave to read that ends."""
        return self._of_this_loop()[2]

    def _of_this_loop(self) -> tuple[Listener, Looks, LeaveWatch]:
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None:
            # A server without ASGI runs every request in a loop of its own; closed ones are let go.
            self._loops = {
                other: kept for other, kept in self._loops.items() if not other.is_closed()
            }
            road, seconds = web_road(self.settings), self.settings.poll_interval / 1000
            listener = Listener(road, seconds, self.shapes.forget)
            looks = Looks(self.storage, self.ranges, listener, self._note_read)
            found = self._loops[loop] = listener, looks, LeaveWatch()
        return found

    def note_waiting(self) -> None:
        """A request is about to wait: others are told how many do."""
        self.presence.note(listener for listener, *_ in list(self._loops.values()))

    def close(self) -> None:
        """Answer all who wait with what there is. Any thread."""
        self.is_closing = True
        for loop, (listener, *_) in list(self._loops.items()):
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
        """Whether the only worker of this host waits for another one to let go of the replication slot."""
        return self.listener.state is None and is_locked(self.settings.root / STANDBY_LOCK)

    def worker_state(self) -> str:
        """As ``/v1/health`` says it (PROTOCOL section 1.5)."""
        if self.listener.is_active:
            return "active"
        return "waiting" if self.is_standby else "starting"


def _wake_all(listener: Listener) -> None:
    for subscriptions in listener.waiting.values():
        for subscription in subscriptions:
            subscription.wake()


_standing_in: Final[dict[str, ShapeService]] = {}
"""Services that answer in the place of this process's own, by alias: those of tests (`standing_in`)."""


def shape_service(settings: ElectricSettings) -> ShapeService:
    """The service of this process; another one when the settings are others (in tests)."""
    service = _standing_in.get(settings.alias)
    if service is None:
        return _own_service(settings)
    service.settings = settings
    return service


@lru_cache(maxsize=4)
def _own_service(settings: ElectricSettings) -> ShapeService:
    return ShapeService(settings)


@contextmanager
def standing_in(service: ShapeService) -> Iterator[None]:
    """Let *service* answer for its database's alias inside, whatever the settings become."""
    alias = service.settings.alias
    before = _standing_in.get(alias)
    _standing_in[alias] = service
    try:
        yield
    finally:
        if before is None:
            del _standing_in[alias]
        else:
            _standing_in[alias] = before

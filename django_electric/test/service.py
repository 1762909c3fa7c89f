"""StandInService: answers a test's shape requests with the answering core that serves the world.

What a web process gets through a road, a directory and threads with connections of their own is near at
hand here: the worker, its logs in memory, and the test's connection, which alone sees what the test has
written. Nobody waits: a live request is answered with what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

import psycopg
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from psycopg import sql

from django_electric.conf import ElectricSettings
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol.params import ShapeParams, ShapeRequest
from django_electric.replication.announcer import Announcer
from django_electric.shapes.snapshot_sql import Subset
from django_electric.storage import MemoryStorage
from django_electric.test.lending import lent
from django_electric.test.source import Source
from django_electric.test.worker import StandInWorker
from django_electric.wakeup import Road, decode
from django_electric.web.database import DatabaseThreads
from django_electric.web.ending import Ending
from django_electric.web.leaves import LeaveWatch
from django_electric.web.listener import Listener
from django_electric.web.looks import Looks
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found, NotRegistered, Shapes
from django_electric.web.subset import query_failure

P = ParamSpec("P")
T = TypeVar("T")


class NearThreads(DatabaseThreads):
    """Runs everything in the thread that asks; on the test's connection, if only that sees what is written."""

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._connection = connections[alias]
        self._is_in_transaction = self._connection.in_atomic_block
        self._one_at_a_time = Lock()
        """A live server has threads of its own."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await sync_to_async(self._run_here)(partial(work, *args, **kwargs))

    def _run_here(self, work: Callable[[], T]) -> T:
        with self._one_at_a_time:
            if not self._is_in_transaction:
                return work()
            # What fails must not spoil the test's transaction.
            with lent(self._connection), transaction.atomic(using=self.alias):
                return work()


class NearRoad(Road):
    """To a worker in the same process: what is said is heard at once."""

    def __init__(self) -> None:
        super().__init__()
        self.worker: StandInWorker | None = None

    async def converse(self) -> None:
        """There is nothing to connect to."""

    def send(self, lines: bytes) -> None:
        """To the worker; it needs not to hear of shapes that were registered."""
        for line in lines.splitlines():
            verb, handle = decode(line)
            if verb == "deleted" and self.worker is not None:
                self.worker.forget(handle)


class NearListener(Listener):
    """Hears the worker in the thread that it speaks in; also its `Carrier`."""

    def start(self) -> None:
        """Nothing has to be waited for."""

    async def first_contact(self, seconds: float) -> None:
        """There was contact from the beginning."""

    async def until_active(self, seconds: float) -> bool:
        return True

    @property
    def is_heard(self) -> bool:
        return True

    def open(self, greeting: Callable[[], bytes]) -> None:
        self.say(greeting())

    def say(self, lines: bytes) -> None:
        for line in lines.splitlines():
            self.hear(line)

    def close(self) -> None:
        """There is nothing to close."""


class LookingShapes(Shapes):
    """Looks for every request at what the test has written, and fills shapes on the spot."""

    def __init__(
        self, settings: ElectricSettings, threads: DatabaseThreads, worker: StandInWorker
    ) -> None:
        super().__init__(settings, threads)
        self._worker = worker

    def remembered(self, request: ShapeRequest) -> Found | None:
        """Nothing: between two requests the test may have written anything."""
        return None

    def _find(self, shape: ShapeParams, *, may_register: bool) -> Found | NotRegistered:
        self._worker.look()
        found = super()._find(shape, may_register=may_register)
        if found.rotated is not None:
            self._worker.forget(found.rotated)
        if isinstance(found, Found):
            self._worker.take_up(found.handle, found.definition)
        return found


class NoEnding(Ending):
    """A test's process ends when it ends."""

    def hear(self) -> None:
        """Signals are the test runner's business."""

    def follow(self) -> None:
        """Nobody waits."""


class StandInService(ShapeService):
    """The service of one test."""

    def __init__(self, settings: ElectricSettings, threads: NearThreads, source: Source) -> None:
        storage = MemoryStorage(chunk_bytes=settings.shape_chunk_bytes_threshold)
        super().__init__(settings, storage, threads)
        self._threads = threads
        road = NearRoad()
        self._near = NearListener(road, settings.poll_interval / 1000, self._gone)
        announcer = Announcer(self._near)
        self.worker = road.worker = StandInWorker(settings.alias, source, storage, announcer)
        announcer.open()
        announcer.set_state("active")
        self.shapes = LookingShapes(settings, threads, self.worker)
        self.ending = NoEnding(self.close)
        self.subset_query = self._select
        self.is_closing = True
        self._near_looks = Looks(storage, self.ranges, self._near)
        self._leaves = LeaveWatch()

    def _of_this_loop(self) -> tuple[Listener, Looks, LeaveWatch]:
        return self._near, self._near_looks, self._leaves

    def _gone(self, handle: str) -> None:
        self.shapes.forget(handle)

    async def _select(
        self, found: Found, subset: Subset, statement: str
    ) -> tuple[PgSnapshot, list[bytes]]:
        return await self._threads.run(self._select_here, found, subset, statement)

    def _select_here(
        self, found: Found, subset: Subset, statement: str
    ) -> tuple[PgSnapshot, list[bytes]]:
        source = self.worker.source
        try:
            with (
                source.snapshot() as snapshot,
                source.connection.cursor().copy(sql.SQL(statement)) as copy,
            ):
                return snapshot, [bytes(row) for row in copy]
        except psycopg.Error as error:
            raise query_failure(source.connection, found.definition, subset, error) from error

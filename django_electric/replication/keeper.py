"""CatalogueKeeper: the worker's only thread that reads and writes the table of shapes.

It looks for rows that appeared and rows that vanished, at once when a web process names them and
otherwise every poll interval, and writes what the main thread decided. While the database is away it
keeps what it was told and tries again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

from django.db import DatabaseError, InterfaceError, connections
from django.db.models import QuerySet

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.events import (
    DatabaseStops,
    Inbox,
    NowVisible,
    RowRemoved,
    RowsAppeared,
    RowsVanished,
    ShapeRow,
    ThreadFailed,
)
from django_electric.replication.partitions import Link, links_of
from django_electric.storage import SHAPES, Reads

logger = logging.getLogger("django_electric.catalogue")

EVICTION_SECONDS = 60.0
"""Between two looks whether there are too many shapes."""
_UNREACHABLE = (DatabaseError, InterfaceError)


class CatalogueKeeper:
    """A thread with a queue of things to do, in order."""

    def __init__(self, settings: ElectricSettings, inbox: Inbox) -> None:
        self._alias = settings.alias
        self._stream_id = settings.replication_stream_id
        self._interval = settings.poll_interval / 1000
        self._inbox = inbox
        self._todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._known: set[str] = set()
        self._fingerprint: tuple[int, int] | None = None
        self.wal_end = 0
        """Where the server's WAL ended at the last poll. Any thread may read it."""
        self._next_poll = 0.0
        self._most = settings.max_shapes
        self._reads = Reads(settings.root / SHAPES)
        self._next_eviction = 0.0
        self._watched_pid: int | None = None
        self._named: set[str] = set()
        self._lock = threading.Lock()
        """Guards `_named`, the only thing that both threads change."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="electric-catalogue", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Harmless before `start`. Finish what was asked for, as far as the database lets it."""
        self._stopping.set()
        self._todo.put(lambda: None)
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def look_at(self, handle: str) -> None:
        """A web process says that this row came or went."""
        with self._lock:
            self._named.add(handle)
        self._todo.put(self._look_at_named)

    def watch_visibility(self, backend_pid: int) -> None:
        """Report with the next poll what a snapshot sees; *backend_pid* is the worker's walsender."""
        self._watched_pid = backend_pid

    def activate(self, filled: Sequence[tuple[str, PgSnapshot, int]]) -> None:
        """These shapes' first rows are on disk: handle, snapshot, number of rows."""
        self._todo.put(lambda: Shape.objects.using(self._alias).activate(filled))

    def remove(self, handle: str) -> None:
        """The shape is rotated: remove its row, then say `RowRemoved`."""
        self._todo.put(lambda: self._remove(handle))

    def load(self) -> Iterator[ShapeRow]:
        """Every row of the stream, on the caller's thread, before `start`; from then on they are known.

        One at a time: there may be very many, and what is read into memory at once stays there.
        """
        for row in self._rows(self._shapes()):
            self._known.add(row.handle)
            yield row
        connections[self._alias].close()

    def _run(self) -> None:
        todo: Callable[[], None] | None = None
        while not (self._stopping.is_set() and todo is None and self._todo.empty()):
            try:
                todo = todo or self._next()
                if todo is not None:
                    todo()
                    todo = None
                self._poll_if_due()
                self._evict_if_due()
            except _UNREACHABLE as error:
                logger.warning(
                    "the catalogue cannot be reached, trying again: %s", str(error).strip()
                )
                connections[self._alias].close()
                if "shutting down" in str(error):
                    self._inbox.put(DatabaseStops())
                if self._stopping.wait(self._interval):
                    break
            except Exception as error:  # a worker without this thread is of no use
                self._inbox.put(ThreadFailed(error))
                break
        connections[self._alias].close()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._todo.get(
                timeout=max(0.01, min(self._interval, self._next_poll - time.monotonic()))
            )
        except Empty:
            return None

    def _poll_if_due(self) -> None:
        if time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + self._interval
        fingerprint = self._read_fingerprint()
        # What came and went between two polls leaves no trace in it, but may have been named.
        if fingerprint != self._fingerprint or fingerprint[0] != len(self._known):
            self._compare()
            self._fingerprint = fingerprint
        if self._watched_pid is not None:
            pid, self._watched_pid = self._watched_pid, None
            self._report_visibility(pid)

    def _evict_if_due(self) -> None:
        """Let go of the shapes that are too many (PROTOCOL section 7.3)."""
        now = time.monotonic()
        if self._most is None or now < self._next_eviction:
            return
        self._next_eviction = now + EVICTION_SECONDS
        if len(self._known) > self._most:
            gone = self._reads.longest_unread(self._known, len(self._known) - self._most)
            self._shapes().filter(handle__in=gone).delete()
            logger.info("%d shapes are let go: there may be %d", len(gone), self._most)
            self._vanished(set(gone))

    def _read_fingerprint(self) -> tuple[int, int]:
        """Number of rows and the greatest id: one of them changes when a row comes or goes."""
        connection = connections[self._alias]
        table = connection.ops.quote_name(Shape._meta.db_table)
        with connection.cursor() as cursor:
            query = (
                "SELECT count(*), coalesce(max(id), 0), (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8"  # noqa: S608  # our own table
                f" FROM {table} WHERE stream_id = %s"
            )
            cursor.execute(query, [self._stream_id])
            count, greatest, self.wal_end = cursor.fetchone()
        return count, greatest

    def _compare(self) -> None:
        handles = set(self._shapes().values_list("handle", flat=True))
        self._vanished(self._known - handles)
        self._appeared(handles - self._known)

    def _look_at_named(self) -> None:
        """All rows that were named since the last look, in one query."""
        with self._lock:
            named, self._named = self._named, set()
        if not named:
            return
        rows = self._read(self._shapes().filter(handle__in=named))
        there = {row.handle for row in rows}
        new = tuple(row for row in rows if row.handle not in self._known)
        self._vanished((named - there) & self._known)
        self._known |= there
        if new:
            self._inbox.put(RowsAppeared(new))

    def _vanished(self, handles: set[str]) -> None:
        if handles:
            self._known -= handles
            self._inbox.put(RowsVanished(tuple(sorted(handles))))

    def _appeared(self, handles: set[str]) -> None:
        if handles:
            rows = self._read(self._shapes().filter(handle__in=handles))
            self._known.update(row.handle for row in rows)
            if rows:
                self._inbox.put(RowsAppeared(tuple(rows)))

    def _shapes(self) -> QuerySet[Shape]:
        return Shape.objects.using(self._alias).filter(stream_id=self._stream_id)

    def _read(self, shapes: QuerySet[Shape]) -> list[ShapeRow]:
        return list(self._rows(shapes))

    def _rows(self, shapes: QuerySet[Shape]) -> Iterator[ShapeRow]:
        for shape in shapes.order_by("id").iterator():
            try:
                row = self._row_of(shape)
            except (KeyError, TypeError, ValueError) as error:
                # Written by another version of the package: its readers fetch anew.
                logger.warning("shape %s cannot be read and is rotated: %r", shape.handle, error)
                shape.delete()
            else:
                yield row

    def _row_of(self, shape: Shape) -> ShapeRow:
        definition = shape.to_definition()
        links: frozenset[Link] = frozenset()
        if definition.is_partitioned:
            connections[self._alias].ensure_connection()
            connection = connections[self._alias].connection
            links = links_of(connection, [definition.relation_oid])[definition.relation_oid]
        return ShapeRow(
            handle=shape.handle,
            definition=definition,
            is_active=shape.status == Shape.Status.ACTIVE,
            snapshot=PgSnapshot.parse(shape.snapshot) if shape.snapshot else None,
            links=links,
        )

    def _remove(self, handle: str) -> None:
        self._known.discard(handle)
        self._shapes().filter(handle=handle).delete()
        self._inbox.put(RowRemoved(handle))

    def _report_visibility(self, pid: int) -> None:
        with connections[self._alias].cursor() as cursor:
            cursor.execute(
                "SELECT pg_current_snapshot()::text, EXISTS (SELECT 1 FROM pg_stat_replication "
                "WHERE pid = %s AND sync_state IN ('sync', 'quorum'))",
                [pid],
            )
            snapshot, is_synchronous = cursor.fetchone()
        self._inbox.put(NowVisible(PgSnapshot.parse(snapshot), is_synchronous))

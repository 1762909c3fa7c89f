"""Snapshotter: a new shape's first rows, each shape in one repeatable-read transaction.

The order is what keeps rows from being lost (PROTOCOL sections 9 and 16.3, points 14 and 15):

1. The main thread has added the shape to the router: it holds back what comes for the shape, and has
   handed it the recent transactions that passed before.
2. The table is published, under a lock that outlasts every writer that was not published; a row filter
   that was made without the shape is taken off in the same way (`row_filters`). If that
   changed anything, wait until the stream has passed the change.
3. Begin, and ask ``pg_current_snapshot()``. If a recent transaction that was too large to keep is not
   visible yet, begin again.
4. Tell the main thread, which drops what the snapshot sees and appends the rest.
5. Copy the rows; end with ``snapshot-end``; sync.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import cast

import psycopg
from psycopg import sql
from psycopg.abc import Buffer

from django_electric.catalogue import has_changed
from django_electric.conf import ElectricSettings
from django_electric.errors import SnapshotFailed
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.failures import (
    NOT_STARTED,
    SLOW_QUERY,
    may_be_of_changed_schema,
    snapshot_failure,
)
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.events import (
    ChunkWritten,
    Inbox,
    MoveFailed,
    MoveRead,
    SnapshotComplete,
    SnapshotEnded,
    VisibilityKnown,
)
from django_electric.replication.markers import Markers, send_marker
from django_electric.replication.publication import Connection, message_of, statement
from django_electric.replication.tables import Admits, admits_nothing, publish_table
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.members import Value
from django_electric.shapes.moves import MoveRequest, MovingShape
from django_electric.shapes.routed import HELD_BYTES
from django_electric.shapes.snapshot_sql import copy_statement
from django_electric.storage import SnapshotWriter

logger = logging.getLogger("django_electric.snapshot")

FIRST_ROW_TIMEOUT = 30.0
"""Seconds that a query may take to its first row (PROTOCOL section 7.5)."""
STREAM_TIMEOUT = 30.0
VISIBILITY_TIMEOUT = 30.0
IDLE_SECONDS = 10.0
"""How long a connection is kept that nothing is read by."""
_WRITE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """One shape to be filled."""

    handle: str
    definition: ShapeDefinition
    writer: SnapshotWriter
    must_see: frozenset[int]
    members: Mapping[str, str] = field(default_factory=dict)
    """The queries of what the subqueries of its condition give, by their handles."""


@dataclass(frozen=True, slots=True)
class MoveJob:
    """Rows that have come to a shape because its subqueries give others."""

    request: MoveRequest
    must_see: frozenset[int]


class Snapshotter:
    """A few threads, each with a connection of its own while there is something to do."""

    def __init__(
        self,
        conninfo: str,
        settings: ElectricSettings,
        inbox: Inbox,
        markers: Markers,
        admits: Admits = admits_nothing,
    ) -> None:
        """*admits*: whether a row filter that a table has lets through what belongs to a shape."""
        self._markers = markers
        self._conninfo = conninfo
        self._settings = settings
        self._inbox = inbox
        self._admits = admits
        self._jobs: SimpleQueue[SnapshotJob | MoveJob | None] = SimpleQueue()
        self._watchdog = Watchdog()
        self._threads = 0

    def submit(self, job: SnapshotJob | MoveJob) -> None:
        """Fill a shape, or read the rows of a move; the inbox hears of it."""
        if self._threads < self._settings.snapshot_connections:
            self._threads += 1
            threading.Thread(
                target=self._run, name=f"electric-snapshot-{self._threads}", daemon=True
            ).start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end after what they are doing."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _run(self) -> None:
        connection: Connection | None = None
        while True:
            try:
                job = self._jobs.get(timeout=None if connection is None else IDLE_SECONDS)
            except Empty:
                _close(connection)
                connection = None
                continue
            if job is None:
                break
            connection = self._attempt(connection, job)
        _close(connection)

    def _attempt(
        self, connection: Connection | None, job: SnapshotJob | MoveJob
    ) -> Connection | None:
        """Do it, or say why not; the connection to go on with."""
        try:
            if connection is None or not _is_alive(connection):
                connection = self._connect()
            if isinstance(job, MoveJob):
                self._read_move(connection, job)
            else:
                self._fill(connection, job)
        except SnapshotFailed as error:
            self._failed(job, error)
        except psycopg.Error as error:
            self._failed(job, failure_of(error))
        except Exception as error:  # whatever it was, the shape's readers hear of it
            text = f"Unexpected error while creating snapshot: {error}"
            self._failed(job, SnapshotFailed(text, status=500))
        return connection

    def _failed(self, job: SnapshotJob | MoveJob, error: SnapshotFailed) -> None:
        if isinstance(job, MoveJob):
            self._inbox.put(MoveFailed(job.request.shape, f"its rows could not be read: {error}"))
            return
        logger.warning(
            "snapshot of %s.%s failed: %s", job.definition.schema, job.definition.table, error
        )
        self._inbox.put(SnapshotEnded(job.handle, error))

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            logger.warning("no connection for a snapshot: %s", str(error).strip())
            raise SnapshotFailed("Database connection not available") from error
        connection.execute(DISPLAY_SETTINGS)
        return connection

    def _fill(self, connection: Connection, job: SnapshotJob) -> None:
        for definition in job.definition.walk():
            token = publish_table(connection, self._settings, definition, self._admits)
            if token is not None:
                self._await_marker(token)
        with (
            failures_explained(connection, job.definition),
            _snapshot_transaction(connection, job.must_see) as snapshot,
        ):
            members = {
                handle: self._members(connection, query) for handle, query in job.members.items()
            }
            self._inbox.put(VisibilityKnown(job.handle, snapshot, members))
            rows = 0 if job.definition.log_mode == "changes_only" else self._copy(connection, job)
        job.writer.write(snapshot_end(snapshot))
        self._inbox.put(SnapshotComplete(job.handle, snapshot, rows, job.writer))

    def _members(self, connection: Connection, query: str) -> list[tuple[Value, int]]:
        with self._watchdog.watching(connection):
            rows = connection.execute(statement(query))
            return [(cast(Value, tuple(value)), cast(int, count)) for count, *value in rows]

    def _read_move(self, connection: Connection, job: MoveJob) -> None:
        shape, query = job.request
        rows: list[bytes] = []
        members: list[tuple[Value, int]] = []
        with (
            failures_explained(connection, shape.definition),
            _snapshot_transaction(connection, job.must_see) as snapshot,
        ):
            if isinstance(shape, MovingShape):
                rows = self._moved_rows(connection, query)
            else:
                members = self._members(connection, query)
        self._inbox.put(MoveRead(shape, send_marker(connection), snapshot, rows, members))

    def _moved_rows(self, connection: Connection, query: str) -> list[bytes]:
        rows, size = [], 0
        with (
            self._watchdog.watching(connection),
            connection.cursor().copy(sql.SQL(query)) as copy,
        ):
            for row in self._watchdog.first_row_noted(connection, iter(copy)):
                rows.append(bytes(row))
                size += len(row)
                if size > HELD_BYTES:
                    raise SnapshotFailed("they are too many to come at once")
        return rows

    def _await_marker(self, token: bytes) -> None:
        passed = self._markers.expect(token).wait(STREAM_TIMEOUT)
        self._markers.forget(token)
        if not passed:
            raise SnapshotFailed(NOT_STARTED)

    def _copy(self, connection: Connection, job: SnapshotJob) -> int:
        statement = sql.SQL(copy_statement(job.definition, job.handle))
        with self._watchdog.watching(connection), connection.cursor().copy(statement) as copy:
            return write_rows(
                self._watchdog.first_row_noted(connection, iter(copy)),
                job.writer,
                self._settings.shape_chunk_bytes_threshold,
                lambda: self._inbox.put(ChunkWritten(job.handle)),
            )


def write_rows(
    rows: Iterable[Buffer],
    writer: SnapshotWriter,
    threshold: int,
    on_chunk: Callable[[], None] = lambda: None,
) -> int:
    """Write *rows*, which Postgres has made into entries, in chunks of *threshold* bytes; how many they were."""
    count, chunk_size, pending, pending_size = 0, 0, [], 0
    for row in rows:
        count += 1
        size = len(row)
        pending.append(row)
        pending_size += size
        chunk_size += size - 1
        if chunk_size >= threshold or pending_size >= _WRITE_BYTES:
            writer.write(b"".join(pending))
            pending, pending_size = [], 0
            if chunk_size >= threshold:
                writer.close_chunk()
                chunk_size = 0
                on_chunk()
    writer.write(b"".join(pending))
    return count


@contextmanager
def _snapshot_transaction(connection: Connection, must_see: frozenset[int]) -> Iterator[PgSnapshot]:
    """A repeatable-read transaction whose snapshot sees *must_see*; begun again until it does."""
    deadline = time.monotonic() + VISIBILITY_TIMEOUT
    while True:
        cursor = connection.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            "SELECT pg_current_snapshot()::text || '@' || (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)"
        )
        try:
            cursor.nextset()
            row = cursor.fetchone()
            snapshot = PgSnapshot.parse(str(row[0]) if row else "")
            if all(snapshot.sees(xid) for xid in must_see):
                yield snapshot
                return
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")
        if time.monotonic() > deadline:
            raise SnapshotFailed(NOT_STARTED)
        time.sleep(0.05)


@contextmanager
def failures_explained(connection: Connection, definition: ShapeDefinition) -> Iterator[None]:
    """The errors of a shape's query: its condition may be at fault, or the table has changed since it was defined."""
    try:
        yield
    except psycopg.Error as error:
        if may_be_of_changed_schema(error.sqlstate) and has_changed(
            connection.cursor(), definition
        ):
            raise SnapshotFailed(message_of(error), status=409) from error
        raise failure_of(error, has_condition=definition.where is not None) from error


class Watchdog:
    """Cancels queries whose first row does not come in time; one thread for all connections."""

    def __init__(self, seconds: float = FIRST_ROW_TIMEOUT) -> None:
        self._seconds = seconds
        self._deadlines: dict[Connection, float] = {}
        self._cancelled: set[Connection] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def first_row_came(self, connection: Connection) -> None:
        with self._lock:
            self._deadlines.pop(connection, None)

    def first_row_noted(self, connection: Connection, rows: Iterator[Buffer]) -> Iterator[Buffer]:
        """*rows*; the query is in time once the first of them is here."""
        for row in islice(rows, 1):
            self.first_row_came(connection)
            yield row
        yield from rows

    @contextmanager
    def watching(self, connection: Connection) -> Iterator[None]:
        """Raises SnapshotFailed if the query inside was cancelled here."""
        with self._lock:
            self._deadlines[connection] = time.monotonic() + self._seconds
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="electric-watchdog", daemon=True
                )
                self._thread.start()
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            if connection in self._cancelled:
                raise SnapshotFailed(SLOW_QUERY) from error
            raise
        finally:
            self.first_row_came(connection)
            self._cancelled.discard(connection)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds / 20)
            now = time.monotonic()
            with self._lock:
                late = [c for c, deadline in self._deadlines.items() if now > deadline]
                self._cancelled.update(late)
                for connection in late:
                    del self._deadlines[connection]
            for connection in late:
                connection.cancel_safe()


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


def _is_alive(connection: Connection) -> bool:
    """Whether Postgres still answers: it may have been restarted since the last snapshot."""
    try:
        connection.execute("")
    except psycopg.Error:
        connection.close()
        return False
    return True


def snapshot_end(snapshot: PgSnapshot) -> bytes:
    """The control message after the last row (PROTOCOL section 5)."""
    headers = {
        "control": "snapshot-end",
        "xmin": str(snapshot.xmin),
        "xmax": str(snapshot.xmax),
        "xip_list": [str(xid) for xid in sorted(snapshot.xip)],
    }
    return b"," + json.dumps({"headers": headers}, separators=(",", ":")).encode() + b"\n"


def failure_of(error: psycopg.Error, *, has_condition: bool = False) -> SnapshotFailed:
    """The answer to an error of Postgres (PROTOCOL section 7.5)."""
    return snapshot_failure(error.sqlstate, message_of(error), has_condition=has_condition)

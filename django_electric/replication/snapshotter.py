"""Snapshotter: a new shape's first rows, each shape in one repeatable-read transaction.

The order is what keeps rows from being lost (PROTOCOL sections 9 and 16.3, points 14 and 15):

1. The main thread has added the shape to the router: it holds back what comes for the shape, and has
   handed it the recent transactions that passed before.
2. The table is published, under a lock that outlasts every writer that was not published. If that
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

import psycopg
from psycopg import sql

from django_electric.conf import ElectricSettings
from django_electric.errors import SnapshotFailed
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.failures import NOT_STARTED, SLOW_QUERY, snapshot_failure
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.events import (
    ChunkWritten,
    Inbox,
    SnapshotComplete,
    SnapshotEnded,
    VisibilityKnown,
)
from django_electric.replication.publication import Connection, publish_table
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.snapshot_sql import copy_statement
from django_electric.storage import SnapshotWriter

logger = logging.getLogger("django_electric.snapshot")

FIRST_ROW_TIMEOUT = 30.0
"""Seconds that a query may take to its first row (PROTOCOL section 7.5)."""
STREAM_TIMEOUT = 30.0
VISIBILITY_TIMEOUT = 30.0
_WRITE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """One shape to be filled."""

    handle: str
    definition: ShapeDefinition
    writer: SnapshotWriter
    must_see: frozenset[int]


class Markers:
    """Which of our logical messages the stream has passed."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, threading.Event] = {}
        self._lock = threading.Lock()

    def expect(self, token: bytes) -> threading.Event:
        with self._lock:
            return self._waiting.setdefault(token, threading.Event())

    def passed(self, token: bytes) -> None:
        """The stream holds the message. It may come before anybody expects it."""
        self.expect(token).set()

    def forget(self, token: bytes) -> None:
        with self._lock:
            self._waiting.pop(token, None)


class Snapshotter:
    """A few threads, each with a connection of its own."""

    def __init__(self, conninfo: str, settings: ElectricSettings, inbox: Inbox) -> None:
        self.markers = Markers()
        self._conninfo = conninfo
        self._settings = settings
        self._inbox = inbox
        self._jobs: SimpleQueue[SnapshotJob | None] = SimpleQueue()
        self._watchdog = Watchdog()
        self._threads = 0

    def submit(self, job: SnapshotJob) -> None:
        """Fill a shape; the inbox hears of it."""
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
        while (job := self._jobs.get()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                self._fill(connection, job)
            except SnapshotFailed as error:
                self._failed(job, error)
            except psycopg.Error as error:
                self._failed(job, failure_of(error))
            except Exception as error:  # whatever it was, the shape's readers hear of it
                self._failed(
                    job,
                    SnapshotFailed(
                        f"Unexpected error while creating snapshot: {error}", status=500
                    ),
                )

        if connection is not None:
            connection.close()

    def _failed(self, job: SnapshotJob, error: SnapshotFailed) -> None:
        logger.warning(
            "snapshot of %s.%s failed: %s", job.definition.schema, job.definition.table, error
        )
        self._inbox.put(SnapshotEnded(job.handle, error))

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise SnapshotFailed(
                f"Database connection not available: {str(error).strip()}"
            ) from error
        connection.execute(DISPLAY_SETTINGS)
        return connection

    def _fill(self, connection: Connection, job: SnapshotJob) -> None:
        token = publish_table(connection, self._settings, job.definition)
        if token is not None:
            self._await_marker(token)
        with _snapshot_transaction(connection, job.must_see) as snapshot:
            self._inbox.put(VisibilityKnown(job.handle, snapshot))
            rows = 0 if job.definition.log_mode == "changes_only" else self._copy(connection, job)
        job.writer.write(snapshot_end(snapshot))
        job.writer.finish()
        self._inbox.put(SnapshotComplete(job.handle, snapshot, rows))

    def _await_marker(self, token: bytes) -> None:
        passed = self.markers.expect(token).wait(STREAM_TIMEOUT)
        self.markers.forget(token)
        if not passed:
            raise SnapshotFailed(NOT_STARTED)

    def _copy(self, connection: Connection, job: SnapshotJob) -> int:
        statement = sql.SQL(copy_statement(job.definition))
        threshold = self._settings.shape_chunk_bytes_threshold
        writer, rows, chunk_size, pending, pending_size = job.writer, 0, 0, [], 0
        with self._watchdog.watching(connection), connection.cursor().copy(statement) as copy:
            for row in copy:
                if not rows:
                    self._watchdog.first_row_came(connection)
                rows += 1
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
                        self._inbox.put(ChunkWritten(job.handle))
        writer.write(b"".join(pending))
        return rows


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


def snapshot_end(snapshot: PgSnapshot) -> bytes:
    """The control message after the last row (PROTOCOL section 5)."""
    headers = {
        "control": "snapshot-end",
        "xmin": str(snapshot.xmin),
        "xmax": str(snapshot.xmax),
        "xip_list": [str(xid) for xid in sorted(snapshot.xip)],
    }
    return b"," + json.dumps({"headers": headers}, separators=(",", ":")).encode() + b"\n"


def failure_of(error: psycopg.Error) -> SnapshotFailed:
    """The answer to an error of Postgres (PROTOCOL section 7.5)."""
    text = error.diag.message_primary or str(error).strip()
    return snapshot_failure(error.sqlstate, text)

"""Readers: threads that read from Postgres what logs are to have, and what they need for it.

Each has a connection of its own while there is something to do.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from queue import Empty, SimpleQueue
from typing import ClassVar, Generic, TypeVar, cast

import psycopg
from psycopg.abc import Buffer

from django_electric.catalogue import has_changed
from django_electric.errors import SnapshotFailed
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.failures import (
    NOT_STARTED,
    SLOW_QUERY,
    may_be_of_changed_schema,
    snapshot_failure,
)
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.publication import Connection, message_of, statement
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.members import Value

logger = logging.getLogger("django_electric.snapshot")

J = TypeVar("J")

FIRST_ROW_TIMEOUT = 30.0
"""Seconds that a query may take to its first row (PROTOCOL section 7.5)."""
VISIBILITY_TIMEOUT = 30.0
IDLE_SECONDS = 10.0
"""How long a connection is kept that nothing is read by."""


class Readers(ABC, Generic[J]):
    """A few threads, and a queue of jobs for them."""

    most_at_once: ClassVar[int] = 1
    """Jobs that one thread takes together."""

    def __init__(self, conninfo: str, name: str, threads: int) -> None:
        self._conninfo = conninfo
        self._name = name
        self._most_threads = threads
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._watchdog = Watchdog()
        self._threads = 0

    @abstractmethod
    def _do(self, connection: Connection, jobs: Sequence[J]) -> None:
        """Do some jobs. Raises SnapshotFailed and the errors of psycopg."""

    @abstractmethod
    def _failed(self, job: J, error: SnapshotFailed) -> None:
        """A job could not be done."""

    def submit(self, job: J) -> None:
        """Do it; the inbox hears of it."""
        if self._threads < self._most_threads:
            self._threads += 1
            threading.Thread(
                target=self._run, name=f"{self._name}-{self._threads}", daemon=True
            ).start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end after what they are doing."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _run(self) -> None:
        connection: Connection | None = None
        is_stopping = False
        while not is_stopping:
            try:
                job = self._jobs.get(timeout=None if connection is None else IDLE_SECONDS)
            except Empty:
                _close(connection)
                connection = None
                continue
            jobs: list[J] = []
            while job is not None:
                jobs.append(job)
                if len(jobs) == self.most_at_once or self._jobs.empty():
                    break
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
            is_stopping = job is None
            if jobs:
                connection = self._attempt(connection, jobs)
        _close(connection)

    def _attempt(self, connection: Connection | None, jobs: Sequence[J]) -> Connection | None:
        """Do them, or say of each why not; the connection to go on with."""
        try:
            if connection is None or not _is_alive(connection):
                connection = self._connect()
            self._do(connection, jobs)
        except Exception as error:  # whatever it was, who waits hears of it
            if len(jobs) == 1:
                self._failed(jobs[0], _as_failure(error))
            else:
                # One of them may be to blame for all.
                for job in jobs:
                    connection = self._attempt(connection, [job])
        return connection

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            logger.warning("no connection for a snapshot: %s", str(error).strip())
            raise SnapshotFailed("Database connection not available") from error
        connection.execute(DISPLAY_SETTINGS)
        return connection


def _as_failure(error: Exception) -> SnapshotFailed:
    if isinstance(error, SnapshotFailed):
        return error
    if isinstance(error, psycopg.Error):
        return failure_of(error)
    return SnapshotFailed(f"Unexpected error while creating snapshot: {error}", status=500)


def read_members(connection: Connection, query: str) -> list[tuple[Value, int]]:
    """What a subquery gives, by a query of counts and values (`members_statement`)."""
    rows = connection.execute(statement(query))
    return [(cast(Value, tuple(value)), cast(int, count)) for count, *value in rows]


@contextmanager
def snapshot_transaction(connection: Connection, must_see: frozenset[int]) -> Iterator[PgSnapshot]:
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


def failure_of(error: psycopg.Error, *, has_condition: bool = False) -> SnapshotFailed:
    """The answer to an error of Postgres (PROTOCOL section 7.5)."""
    return snapshot_failure(error.sqlstate, message_of(error), has_condition=has_condition)

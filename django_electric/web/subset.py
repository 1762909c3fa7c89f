"""Subset snapshots: a query on part of a shape, answered beside its log (PROTOCOL section 11).

A client joins the rows with the log by itself: it passes over the changes that the query's snapshot has
seen. For that to come out right, in this order:

1. The shape's own first rows are there. Its log leaves out what their snapshot has seen, so a query
   before it could miss transactions that the log will never bring.
2. The end of the log is noted: a client that asked for ``now`` goes on from there.
3. The query's snapshot is taken. Postgres streams a commit before it becomes visible (section 16.3 point
   15): if the log holds a transaction that the snapshot does not see, the rows would be older than what
   the client has, for ever. Then it is taken again.
4. ``database_lsn`` is asked for after the snapshot, and is where WAL is inserted, not where it has been
   written: whatever the snapshot sees was committed before it.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

import psycopg
from django.db import connections
from psycopg import sql

from django_electric.catalogue import has_changed
from django_electric.errors import ElectricError, SnapshotFailed
from django_electric.postgres.display import LOCAL_DISPLAY_SETTINGS
from django_electric.postgres.failures import (
    NOT_STARTED,
    SLOW_QUERY,
    is_fault_of_condition,
    may_be_of_changed_schema,
    snapshot_failure,
)
from django_electric.postgres.lsn import Lsn
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol import replies
from django_electric.protocol.headers import accepts_gzip
from django_electric.protocol.params import ShapeRequest
from django_electric.protocol.plan import NoNews
from django_electric.protocol.subset import MARKS, refused_clause, subset_body, subset_headers
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.offset import INFINITE, LogOffset
from django_electric.shapes.snapshot_sql import Subset, subset_statement
from django_electric.web.admission import Permit
from django_electric.web.database import DatabaseThreads, DatabaseUnreachable
from django_electric.web.exchange import WebRequest, WebResponse
from django_electric.web.live import settle
from django_electric.web.ranges import LEVEL, WORTH_COMPRESSING
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found

Connection = psycopg.Connection[Any]

QUERY_SECONDS: Final = 30
VISIBILITY_SECONDS: Final = 10.0
PATIENCE: Final = 45.0
"""Seconds for the query and for the wait for a thread."""
_PAUSE: Final = 0.05

_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    f"{LOCAL_DISPLAY_SETTINGS}; SET LOCAL statement_timeout = '{QUERY_SECONDS}s'"
)
_SNAPSHOT = (
    "SELECT pg_current_snapshot()::text || '@' || (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)"
)
_CONFIRMED = (
    "SELECT confirmed_flush_lsn::text FROM pg_replication_slots"
    " WHERE slot_name = %s AND confirmed_flush_lsn IS NOT NULL"
)
_XIDS = re.compile(rb'"txids":\[([0-9]+(?:,[0-9]+)*)\]')
"""In the headers of an entry: inside a value the quotes are escaped, and a column's value is no list."""


async def answer_subset(
    service: ShapeService,
    request: WebRequest,
    wanted: ShapeRequest,
    found: Found,
    subset: Subset,
    permit: Permit,
) -> WebResponse:
    """The rows of *found* that *subset* selects, with what joins them to the log.

    Raises InvalidRequest if Postgres refuses a literal, `SnapshotFailed`, `DatabaseUnreachable`, and
    what `settle` raises.
    """
    as_now = replace(wanted, offset=None, is_live=False, is_sse=False)
    settled = await settle(service, found, as_now, request)
    permit.becomes_existing()
    if not isinstance(settled.answer, NoNews):
        return WebResponse.of(replies.SNAPSHOT_OVERDUE)
    mark = random.randrange(MARKS)  # noqa: S311  # tells snapshots apart, guards nothing
    statement = subset_statement(found.definition, found.handle, subset, mark)
    request.on_wait()
    service.ending.follow()
    run = service.subset_query or partial(_run, service)
    snapshot, rows = await run(found, subset, statement)
    schema = None if wanted.is_live else found.schema
    headers = subset_headers(wanted, found.handle, settled.answer.end, schema)
    body = subset_body(snapshot, mark, rows)
    return await _compressed(request, WebResponse(200, headers, body))


async def _compressed(request: WebRequest, response: WebResponse) -> WebResponse:
    """*response*, compressed if the client takes that and it is worth while."""
    headers, body = {**response.headers, "vary": "accept-encoding"}, response.body
    if len(body) >= WORTH_COMPRESSING and accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        body = await asyncio.to_thread(gzip.compress, body, LEVEL, mtime=0)
    return WebResponse(response.status, headers, body)


@cache
def query_threads(alias: str) -> DatabaseThreads:
    """The threads of this process that run subsets: look-ups, which are short, have others."""
    return DatabaseThreads(alias, PATIENCE)


# Threads do not survive a fork: a server that loads the project before it forks gets new ones.
os.register_at_fork(after_in_child=query_threads.cache_clear)


async def _run(
    service: ShapeService, found: Found, subset: Subset, statement: str
) -> tuple[PgSnapshot, list[bytes]]:
    return await _Query(service, found, subset, statement).run()


class _Query:
    """One subset's query; `run` is called in the event loop, everything else in a database thread."""

    def __init__(self, service: ShapeService, found: Found, subset: Subset, statement: str) -> None:
        self._service = service
        self._found = found
        self._subset = subset
        self._statement = statement

    async def run(self) -> tuple[PgSnapshot, list[bytes]]:
        """The snapshot and the rows. No thread is held between two attempts."""
        threads = query_threads(self._service.settings.alias)
        deadline = time.monotonic() + VISIBILITY_SECONDS
        while True:
            try:
                result = await threads.run(self._attempt)
            except DatabaseUnreachable as error:
                if isinstance(error.__cause__, TimeoutError):
                    text = "Snapshot creation failed because of a connection pool queue timeout"
                    raise SnapshotFailed(text) from error
                raise
            if result is not None:
                return result
            if self._service.is_closing or time.monotonic() > deadline:
                raise SnapshotFailed(NOT_STARTED)
            await asyncio.sleep(_PAUSE)

    def _attempt(self) -> tuple[PgSnapshot, list[bytes]] | None:
        """None if the snapshot does not see what the log holds."""
        wrapper = connections[self._service.settings.alias]
        wrapper.ensure_connection()
        connection: Connection = wrapper.connection
        with wrapper.wrap_database_errors, self._errors_explained(connection):
            # In this order: what is confirmed now has been visible before the snapshot.
            must_see = self._xids_after(self._confirmed(connection))
            with _snapshot(connection) as snapshot:
                if not all(map(snapshot.sees, must_see)):
                    return None
                with connection.cursor().copy(sql.SQL(self._statement)) as copy:
                    return snapshot, [bytes(row) for row in copy]

    def _confirmed(self, connection: Connection) -> int | None:
        row = connection.execute(_CONFIRMED, [self._service.settings.slot_name]).fetchone()
        return int(Lsn.parse(row[0])) if row is not None else None

    def _xids_after(self, confirmed: int | None) -> set[int]:
        """Transactions in the log that may not be visible yet.

        The worker confirms nothing that it does not know to be visible. Without a slot nothing comes.
        """
        if confirmed is None:
            return set()
        xids: set[int] = set()
        reader = self._service.storage.reader(self._found.handle)
        try:
            chunk = reader.chunk_after(LogOffset(max(0, confirmed - 1), INFINITE))
            while chunk is not None and chunk.size:
                for found in _XIDS.findall(reader.read(chunk, 0, chunk.size)):
                    xids.update(map(int, found.split(b",")))  # a move may have several causes
                chunk = reader.chunk_after(chunk.end)
        finally:
            reader.close()
        return xids

    @contextmanager
    def _errors_explained(self, connection: Connection) -> Iterator[None]:
        """What Postgres says, as the client hears it; a lost connection stays what it is."""
        try:
            yield
        except psycopg.Error as error:
            if connection.closed:
                raise
            raise query_failure(connection, self._found.definition, self._subset, error) from error


def query_failure(
    connection: Connection, definition: ShapeDefinition, subset: Subset, error: psycopg.Error
) -> ElectricError:
    """What a client hears when Postgres refuses the query for a subset of *definition*."""
    text, state = error.diag.message_primary or str(error).strip(), error.sqlstate or ""
    if may_be_of_changed_schema(state) and has_changed(connection.cursor(), definition):
        return SnapshotFailed(text, status=409)
    if state == "57014" and "statement timeout" in text:
        return SnapshotFailed(SLOW_QUERY)
    refusal = None
    if is_fault_of_condition(error.sqlstate, text):
        has_condition = definition.where is not None
        refusal = refused_clause(subset, text, has_condition=has_condition)
    return refusal or snapshot_failure(error.sqlstate, text)


@contextmanager
def _snapshot(connection: Connection) -> Iterator[PgSnapshot]:
    """A transaction on the project's connection, which is afterwards as it was."""
    try:
        connection.execute(_BEGIN)
        row = connection.execute(_SNAPSHOT).fetchone()
        yield PgSnapshot.parse(row[0] if row is not None else "")
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")

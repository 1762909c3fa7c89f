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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.abc import Buffer

from django_electric.conf import ElectricSettings
from django_electric.errors import SnapshotFailed
from django_electric.postgres.failures import NOT_STARTED
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.events import (
    ChunkWritten,
    Inbox,
    SnapshotComplete,
    SnapshotEnded,
    VisibilityKnown,
)
from django_electric.replication.markers import Markers
from django_electric.replication.publication import Connection
from django_electric.replication.readers import (
    Readers,
    failures_explained,
    read_members,
    snapshot_transaction,
)
from django_electric.replication.tables import Admits, admits_nothing, publish_table
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.snapshot_sql import copy_statement
from django_electric.storage import SnapshotWriter

logger = logging.getLogger("django_electric.snapshot")

STREAM_TIMEOUT = 30.0
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


class Snapshotter(Readers[SnapshotJob]):
    """Fills new shapes."""

    def __init__(
        self,
        conninfo: str,
        settings: ElectricSettings,
        inbox: Inbox,
        markers: Markers,
        admits: Admits = admits_nothing,
    ) -> None:
        """*admits*: whether a row filter that a table has lets through what belongs to a shape."""
        super().__init__(conninfo, "electric-snapshot", settings.snapshot_connections)
        self._markers = markers
        self._settings = settings
        self._inbox = inbox
        self._admits = admits

    def _do(self, connection: Connection, jobs: Sequence[SnapshotJob]) -> None:
        for job in jobs:
            self._fill(connection, job)

    def _failed(self, job: SnapshotJob, error: SnapshotFailed) -> None:
        logger.warning(
            "snapshot of %s.%s failed: %s", job.definition.schema, job.definition.table, error
        )
        self._inbox.put(SnapshotEnded(job.handle, error))

    def _fill(self, connection: Connection, job: SnapshotJob) -> None:
        for definition in job.definition.walk():
            token = publish_table(connection, self._settings, definition, self._admits)
            if token is not None:
                self._await_marker(token)
        with (
            failures_explained(connection, job.definition),
            snapshot_transaction(connection, job.must_see) as snapshot,
        ):
            with self._watchdog.watching(connection):
                members = {
                    handle: read_members(connection, query) for handle, query in job.members.items()
                }
            self._inbox.put(VisibilityKnown(job.handle, snapshot, members))
            rows = 0 if job.definition.log_mode == "changes_only" else self._copy(connection, job)
        job.writer.write(snapshot_end(snapshot))
        self._inbox.put(SnapshotComplete(job.handle, snapshot, rows, job.writer))

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


def snapshot_end(snapshot: PgSnapshot) -> bytes:
    """The control message after the last row (PROTOCOL section 5)."""
    headers = {
        "control": "snapshot-end",
        "xmin": str(snapshot.xmin),
        "xmax": str(snapshot.xmax),
        "xip_list": [str(xid) for xid in sorted(snapshot.xip)],
    }
    return b"," + json.dumps({"headers": headers}, separators=(",", ":")).encode() + b"\n"

"""Mover: reads the rows that come to shapes because subqueries give others (`shapes.moves`).

Moves that wait are read together, by one snapshot. Once that is over a marker is written: when the stream has
passed it, it has passed all that the snapshot sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from psycopg import sql

from django_electric.errors import SnapshotFailed
from django_electric.replication.events import Inbox, MoveFailed, MoveRead, MovesRead
from django_electric.replication.markers import send_marker
from django_electric.replication.publication import Connection
from django_electric.replication.readers import (
    Readers,
    failures_explained,
    read_members,
    snapshot_transaction,
)
from django_electric.shapes.members import Value
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import MoveRequest
from django_electric.shapes.routed import HELD_BYTES


@dataclass(frozen=True, slots=True)
class MoveJob:
    """Rows to be read."""

    request: MoveRequest
    must_see: frozenset[int]
    """xids of what the stream has brought and a snapshot may not see yet: it has to."""


class Mover(Readers[MoveJob]):
    """Reads moves, however long snapshots of new shapes take."""

    most_at_once: ClassVar[int] = 64

    def __init__(self, conninfo: str, threads: int, inbox: Inbox) -> None:
        super().__init__(conninfo, "electric-move", threads)
        self._inbox = inbox

    def _do(self, connection: Connection, jobs: Sequence[MoveJob]) -> None:
        must_see = frozenset[int]().union(*(job.must_see for job in jobs))
        reads = []
        with snapshot_transaction(connection, must_see) as snapshot:
            for job in jobs:
                shape, query = job.request
                with failures_explained(connection, shape.definition):
                    is_whole = isinstance(shape, MovingShape)
                    rows = self._rows(connection, query) if is_whole else []
                    members = [] if is_whole else self._members(connection, query)
                reads.append(MoveRead(shape, rows, members))
        self._inbox.put(MovesRead(send_marker(connection), snapshot, reads))

    def _members(self, connection: Connection, query: str) -> list[tuple[Value, int]]:
        with self._watchdog.watching(connection):
            return read_members(connection, query)

    def _rows(self, connection: Connection, query: str) -> list[bytes]:
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

    def _failed(self, job: MoveJob, error: SnapshotFailed) -> None:
        self._inbox.put(MoveFailed(job.request.shape, f"its rows could not be read: {error}"))

"""StandInWorker: does in a test, when it is asked to look, what the worker does all the time.

Routing, log entries, first rows and logs are the worker's own: the same code on the same messages. What is
left out is what takes time: threads, files, and other processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from psycopg import sql

from django_electric.errors import SnapshotFailed
from django_electric.models import Shape
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import partitions
from django_electric.replication.announcer import Announcer
from django_electric.replication.delegate import Delegate
from django_electric.replication.readers import failures_explained
from django_electric.replication.snapshotter import snapshot_end, write_rows
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.members import Value
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import MoveRequest, Moving, PartWithParts
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.shapes.snapshot_sql import copy_statement
from django_electric.shapes.transactions import TransactionBuilder
from django_electric.storage import MemoryStorage, SnapshotWriter
from django_electric.test.source import Source


class _Read(NamedTuple):
    """The rows of a move."""

    shape: Moving
    snapshot: PgSnapshot
    rows: list[bytes]
    """Entries, if it is a shape that is moved,"""
    members: list[tuple[Value, int]]
    """or what a subquery gives."""


class StandInWorker:
    """The shapes of one test. Every call is made in the thread of the test's connection, except `forget`."""

    def __init__(
        self, alias: str, source: Source, storage: MemoryStorage, announcer: Announcer
    ) -> None:
        self.storage = storage
        self.source = source
        self._alias = alias
        self._announcer = announcer
        self._router = Router()
        self._builder = TransactionBuilder(
            self._router, find_roots=self._find_roots, ask=_NearDelegate(source).ask
        )
        self._shapes: dict[str, RoutedShape] = {}

    def look(self) -> None:
        """Take what has been written since the last look, as the worker takes what the stream brings."""
        if not self._take():
            return
        while (outcome := self._builder.take_outcome()) is not None:
            self.rotate([shape.handle for shape, _ in outcome.rotations])
            reads = [read for request in outcome.moves if (read := self._read(request)) is not None]
            # What the queries have seen is there before it is told what they gave.
            if reads and not self._take():
                return
            for read in reads:
                self._move(read)
        self._announcer.moved(self.storage.publish())
        self._announcer.reached(self._builder.complete_tx)

    def _take(self) -> bool:
        """Whether what was taken before has really happened; if not, every shape begins anew."""
        messages = self.source.take()
        if messages is None:
            self.rotate(list(self._shapes))
            return False
        for message in messages:
            self._builder.handle(message)
        return True

    def take_up(self, handle: str, definition: ShapeDefinition) -> None:
        """Give a shape that is in the catalogue its first rows; harmless if it has them.

        Raises SnapshotFailed; then the shape is in the catalogue no more.
        """
        if handle in self._shapes:
            return
        try:
            with failures_explained(self.source.connection, definition):
                for one in definition.walk():
                    self.source.watch(one)
                self.look()
                self._fill(handle, definition)
        except SnapshotFailed:
            self.rotate([handle])
            raise

    def rotate(self, handles: Sequence[str]) -> None:
        """Let go of shapes, in the catalogue too: whoever follows one starts again."""
        for handle in handles:
            self.forget(handle)
        Shape.objects.using(self._alias).filter(handle__in=handles).delete()
        self._announcer.gone(handles)

    def forget(self, handle: str) -> None:
        """The shape has left the catalogue. Any thread."""
        self.storage.delete(handle)
        shape = self._shapes.pop(handle, None)
        if shape is not None:
            self._router.remove(shape)

    def _fill(self, handle: str, definition: ShapeDefinition) -> None:
        writer = self.storage.writer(handle)
        kind = MovingShape if definition.dependencies else RoutedShape
        shape = self._shapes[handle] = kind(handle, definition, writer)
        self._router.add(shape, self._leaves_of(definition))
        with self.source.snapshot() as snapshot:
            members = self._members_of(shape)
            rows = self._write_snapshot(handle, definition, snapshot, writer.snapshot())
        if isinstance(shape, MovingShape):
            self._builder.begin(shape, snapshot, members)
        else:
            shape.join(snapshot)
        Shape.objects.using(self._alias).activate([(handle, snapshot, rows)])
        self._announcer.moved([handle])

    def _write_snapshot(
        self,
        handle: str,
        definition: ShapeDefinition,
        snapshot: PgSnapshot,
        writer: SnapshotWriter,
    ) -> int:
        rows = 0
        if definition.log_mode == "full":
            statement = sql.SQL(copy_statement(definition, handle))
            with self.source.connection.cursor().copy(statement) as copy:
                rows = write_rows(copy, writer, self.storage.chunk_bytes)
        writer.write(snapshot_end(snapshot))
        writer.finish()
        return rows

    # -- subqueries --------------------------------------------------------------------------------

    def _members_of(self, shape: RoutedShape) -> dict[str, list[tuple[Value, int]]]:
        """What the subqueries of a shape give, by their handles."""
        queries = shape.members_statements() if isinstance(shape, MovingShape) else {}
        return {handle: self._members(query) for handle, query in queries.items()}

    def _members(self, query: str) -> list[tuple[Value, int]]:
        rows = self.source.connection.execute(query.encode())
        return [(tuple(value), count) for count, *value in rows]

    def _read(self, request: MoveRequest) -> _Read | None:
        """The rows that come to a shape because of what its subqueries give; None if it is not here any more."""
        shape = request.shape
        if shape.log_handle not in self._shapes:
            return None
        connection = self.source.connection
        try:
            with failures_explained(connection, shape.definition), self.source.snapshot() as seen:
                if not isinstance(shape, MovingShape):
                    return _Read(shape, seen, [], self._members(request.statement))
                with connection.cursor().copy(sql.SQL(request.statement)) as copy:
                    return _Read(shape, seen, [bytes(row) for row in copy], [])
        except SnapshotFailed:
            self.rotate([shape.log_handle])
            return None

    def _move(self, read: _Read) -> None:
        """What was read becomes part of the log, or of what a subquery gives."""
        served = self._shapes.get(read.shape.log_handle)
        if not isinstance(served, MovingShape) or not served.is_moved_by(read.shape):
            return
        if isinstance(read.shape, MovingShape):
            end = snapshot_end(read.snapshot)
            told = served.moved(read.snapshot, read.rows, end, self._builder.position)
            self._builder.take_moves(served, *told)
        elif reason := cast(PartWithParts, read.shape).moved(read.snapshot, read.members):
            self._builder.give_up(served, reason)
        else:
            self._builder.settle_moves(served)

    # -- partitions --------------------------------------------------------------------------------

    def _leaves_of(self, definition: ShapeDefinition) -> Iterable[int]:
        root = definition.relation_oid
        if not definition.is_partitioned:
            return ()
        return {link.leaf for link in partitions.links_of(self.source.connection, [root])[root]}

    def _find_roots(self, oid: int) -> Sequence[int]:
        return partitions.roots_of(self.source.connection, oid)


class _NearDelegate(Delegate):
    """Asks Postgres what only it can tell, on the source's own connection."""

    def __init__(self, source: Source) -> None:
        super().__init__("")
        self._source = source

    def _execute(self, query: str, arrays: Sequence[object]) -> list[tuple[object, ...]]:
        with self._source.snapshot():
            return self._source.connection.execute(query.encode(), arrays).fetchall()

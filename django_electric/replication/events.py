"""What the worker's helper threads tell its main thread; the inbox that carries it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

from django_electric.errors import SnapshotFailed
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.partitions import Link, RowCount
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.layouts import TableLayout
from django_electric.shapes.members import Value
from django_electric.shapes.moving import MoveAnswer, Moving
from django_electric.storage import SnapshotWriter


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """A row of the catalogue as the worker needs it."""

    handle: str
    definition: ShapeDefinition
    is_active: bool
    snapshot: PgSnapshot | None
    links: frozenset[Link] = frozenset()
    """The leaves of the shape's table, if it is partitioned."""

    @property
    def leaves(self) -> tuple[int, ...]:
        return tuple(link.leaf for link in self.links)


@dataclass(frozen=True, slots=True)
class RowsAppeared:
    """The catalogue has rows that the worker does not know."""

    rows: tuple[ShapeRow, ...]


@dataclass(frozen=True, slots=True)
class RowsVanished:
    """Rows that the worker knows are gone: these shapes are rotated."""

    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VisibilityKnown:
    """A shape's snapshot was taken; its rows are on their way."""

    handle: str
    snapshot: PgSnapshot
    members: Mapping[str, list[tuple[Value, int]]] = field(default_factory=dict)
    """What the subqueries of its condition gave, by their handles: each row, and how often."""


class MoveRead(NamedTuple):
    """The rows of a move."""

    shape: Moving
    answer: MoveAnswer


@dataclass(frozen=True, slots=True)
class MovesRead:
    """Moves were read; the stream has passed *snapshot* once it has passed the marker *token*."""

    token: bytes
    snapshot: PgSnapshot
    reads: list[MoveRead]


@dataclass(frozen=True, slots=True)
class MoveFailed:
    """The rows of a move could not be read."""

    shape: Moving
    reason: str


@dataclass(frozen=True, slots=True)
class ChunkWritten:
    """Another chunk of a shape's first rows can be read."""

    handle: str


@dataclass(frozen=True, slots=True)
class SnapshotComplete:
    """All first rows of a shape are written; they are complete once somebody finishes the *writer*.

    That is the main thread's, when the log has what was held back for the snapshot: a reader that finds
    it complete takes the log for complete, too.
    """

    handle: str
    snapshot: PgSnapshot
    rows: int
    writer: SnapshotWriter


@dataclass(frozen=True, slots=True)
class SnapshotEnded:
    """A shape's first rows could not be read."""

    handle: str
    error: SnapshotFailed


@dataclass(frozen=True, slots=True)
class RowRemoved:
    """The catalogue no longer has the row: a new request makes a new shape."""

    handle: str


@dataclass(frozen=True, slots=True)
class LeavesSeen:
    """The leaves of a partitioned table, if they are others than before."""

    root: int
    links: frozenset[Link]


@dataclass(frozen=True, slots=True)
class LeafCounted:
    """A leaf's rows, and the stream has passed all that was counted."""

    root: int
    link: Link
    count: RowCount | None
    """None if they cannot be counted."""


@dataclass(frozen=True, slots=True)
class TableFault:
    """The shapes of a table cannot go on."""

    oid: int
    reason: str
    looked_at: float = field(default=math.inf, compare=False)
    """``time.monotonic()`` before the look that showed it: a shape that was filled after that is not meant, since
    its table has been seen to before."""


@dataclass(frozen=True, slots=True)
class PublicationGone:
    """There is no publication any more: nobody knows what was written since."""


@dataclass(frozen=True, slots=True)
class LayoutsSeen:
    """How the tables that have shapes are laid out."""

    layouts: tuple[TableLayout, ...]


@dataclass(frozen=True, slots=True)
class NowVisible:
    """What a snapshot taken just now sees; later ones see as much and more."""

    snapshot: PgSnapshot
    is_synchronous: bool
    """Whether commits wait for this very worker: then it must not wait for their visibility."""


@dataclass(frozen=True, slots=True)
class DatabaseStops:
    """Postgres is shutting down: it waits for us, and nothing more becomes visible."""


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything published up to this LSN is on disk."""

    lsn: int


@dataclass(frozen=True, slots=True)
class ThreadFailed:
    """A helper thread ended by an error that it cannot mend."""

    error: Exception


Event = (
    RowsAppeared
    | RowsVanished
    | VisibilityKnown
    | MovesRead
    | MoveFailed
    | ChunkWritten
    | SnapshotComplete
    | SnapshotEnded
    | RowRemoved
    | LeavesSeen
    | LeafCounted
    | TableFault
    | PublicationGone
    | LayoutsSeen
    | NowVisible
    | DatabaseStops
    | Synced
    | ThreadFailed
)


class Inbox:
    """Events for the main thread, with a file descriptor that becomes readable when one comes."""

    def __init__(self) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)

    def fileno(self) -> int:
        return self._readable

    def put(self, event: Event) -> None:
        """Any thread. After `close` nobody hears it."""
        self._events.put(event)
        self.wake()

    def wake(self) -> None:
        """Make the descriptor readable; safe in a signal handler."""
        try:
            os.write(self._writable, b"!")
        except OSError:
            pass  # it is readable already, or closed

    def take(self) -> Iterator[Event]:
        """The events that are here."""
        try:
            os.read(self._readable, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                yield self._events.get_nowait()
            except Empty:
                return

    def close(self) -> None:
        """Let go of the descriptors; they are never written to again under their numbers."""
        readable, writable = self._readable, self._writable
        self._readable = self._writable = -1
        os.close(readable)
        os.close(writable)

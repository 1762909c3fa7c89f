"""The storage interface, and what it promises.

A shape's log has two parts. The *snapshot* holds the shape's first rows in numbered chunks and is
complete once its ``snapshot-end`` message is written. The *log* holds the entries of committed
transactions. In both, an entry is the JSON of one message between ``,`` and a newline::

    ,{"key":"…","value":{…},"headers":{…}}\\n

so the body of an answer is ``[`` + a byte range without its first byte + ``]``.

Promises
    * There is one writer. Readers, in other processes, see only what was *published*.
    * Publishing is atomic for a transaction: readers see all entries of it or none.
    * What is published has left this process: the end of the process loses nothing of it.
    * What was published before a `sync` that returned survives the end of the machine too.
    * Appending a transaction that the log already holds does nothing, so replay is harmless.
    * A deleted log is gone for every reader at its next look: `ShapeGone`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django_electric.shapes.offset import SNAPSHOT_END, LogOffset

Entry = bytes
"""``,{…}\\n``"""


@dataclass(frozen=True, slots=True)
class LogState:
    """What a reader may know of a log at one moment."""

    snapshot_chunks: int
    """Published chunks of the snapshot."""
    is_snapshot_complete: bool
    last_offset: LogOffset = SNAPSHOT_END
    """The end of the last published transaction; ``0_inf`` without one (PROTOCOL section 3.4)."""
    size: int = 0
    """Bytes of snapshot and log that are published."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of a log that one answer covers: ``(requested, end]``."""

    end: LogOffset
    part: str
    """``snapshot`` or ``log``."""
    start: int
    stop: int
    """Byte range ``[start, stop)`` of the part; empty when there is nothing to send."""

    @property
    def size(self) -> int:
        return self.stop - self.start


class ShapeLogReader(ABC):
    """One shape's log as a web process sees it. Every method raises `ShapeGone` if it was deleted."""

    @abstractmethod
    def state(self) -> LogState:
        """The published state, read anew."""

    @abstractmethod
    def chunk_after(self, offset: LogOffset) -> Chunk | None:
        """The chunk that answers a request for what follows *offset* (PROTOCOL section 3.5).

        None if the snapshot chunk asked for is not published yet. An *offset* at or past the end
        gives an empty chunk that ends at the last offset.
        """

    @abstractmethod
    def read(self, chunk: Chunk, start: int, size: int) -> bytes:
        """At most *size* bytes of *chunk* from its byte *start*; fewer only at its end."""

    @abstractmethod
    def close(self) -> None:
        """Free what the reader holds; harmless when called twice."""


class SnapshotWriter(ABC):
    """Writes a shape's first rows, in a thread of its own."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append whole entries to the open chunk; not yet published."""

    @abstractmethod
    def close_chunk(self) -> None:
        """End the open chunk and publish it; the next `write` opens another."""

    @abstractmethod
    def finish(self) -> None:
        """Publish the open chunk and mark the snapshot complete; a `sync` makes it durable."""


class ShapeLogWriter(ABC):
    """One shape's log as the worker sees it."""

    handle: str

    last_tx: int
    """``tx`` of the last transaction appended or published; 0 without one."""

    @abstractmethod
    def append(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        """Append a transaction's entries; published by the storage's next `publish`.

        *ops* are the ``op`` of the entries' offsets. Does nothing if *tx* ≤ `last_tx`.
        """

    @abstractmethod
    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        """Put entries of a transaction still under way where they take no memory.

        They are published with the `append` that ends the transaction, or dropped by `discard`.
        """

    @abstractmethod
    def discard(self) -> None:
        """Forget what was spilled for a transaction that did not end; what was appended stays."""

    @abstractmethod
    def snapshot(self) -> SnapshotWriter:
        """A writer for the snapshot, from its beginning."""


class ShapeStorage(ABC):
    """All logs of one replication stream."""

    @abstractmethod
    def writer(
        self, handle: str, *, durable_tx: int | None = None, check_snapshot: bool = False
    ) -> ShapeLogWriter:
        """The log of *handle*, made if it is not there, recovered if it is.

        *durable_tx*: transactions up to this one are known to be on disk; later ones are checked
        and cut off where they are torn. None checks nothing (the log is new). *check_snapshot*:
        the machine may have gone down before the first rows were on disk; read them all. Raises
        `StorageError` if what should be there is not.
        """

    @abstractmethod
    def reader(self, handle: str) -> ShapeLogReader:
        """A reader for *handle*. Raises `ShapeGone` if there is no such log."""

    @abstractmethod
    def publish(self) -> Collection[str]:
        """Make appended transactions visible to readers; the handles that have news.

        Once it has raised, it is not known what is published and every further call raises
        `StorageError`: the logs have to be opened anew.
        """

    @abstractmethod
    def take_unsynced(self) -> Collection[str]:
        """Handles published since the last call: what a `sync` has to cover."""

    @abstractmethod
    def sync(self, handles: Iterable[str]) -> None:
        """Return once what was published for *handles* would survive a power cut. Any thread."""

    @abstractmethod
    def delete(self, handle: str) -> None:
        """Remove a log; harmless if there is none."""

    @abstractmethod
    def handles(self) -> set[str]:
        """Every handle that has a log."""

"""FileLogWriter and FileSnapshotWriter: the writing ends of a log in files."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from zlib import crc32

from django_electric.shapes.offset import LogOffset
from django_electric.storage.base import Entry, ShapeLogWriter, SnapshotWriter
from django_electric.storage.chunks import ChunkBuilder
from django_electric.storage.format import pack_snapshot_record


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


class OpenFiles:
    """File descriptors of logs that were written to: (data, index) by handle.

    When there is no room a file chosen by chance makes some: changes that go around all shapes in
    turn would find nothing in a cache that drops the oldest.
    """

    _FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = str(directory)
        self._limit = max(1, limit)
        self._open: dict[str, tuple[int, int]] = {}
        self._handles: list[str] = []
        self._random = random.Random(0)  # noqa: S311  # any choice will do

    def get(self, handle: str) -> tuple[int, int]:
        """Descriptors to append with; both files are made if they are not there."""
        files = self._open.get(handle)
        if files is not None:
            return files
        if len(self._handles) >= self._limit:
            self._close_one()
        folder = f"{self._directory}/{handle}"
        data = os.open(f"{folder}/log.jsonl", self._FLAGS, 0o640)
        files = self._open[handle] = (data, os.open(f"{folder}/log.index", self._FLAGS, 0o640))
        self._handles.append(handle)
        return files

    def _close_one(self) -> None:
        chosen = self._random.randrange(len(self._handles))
        last = self._handles.pop()
        handle = last if chosen == len(self._handles) else self._handles[chosen]
        if handle is not last:
            self._handles[chosen] = last
        self._close(self._open.pop(handle))

    def forget(self, handle: str) -> None:
        files = self._open.pop(handle, None)
        if files:
            self._handles.remove(handle)
            self._close(files)

    def close(self) -> None:
        for files in self._open.values():
            self._close(files)
        self._open.clear()
        self._handles.clear()

    @staticmethod
    def _close(files: tuple[int, int]) -> None:
        for fd in files:
            os.close(fd)


class Home(Protocol):
    """What the logs of one storage share."""

    chunk_bytes: int
    files: OpenFiles
    pending: dict[str, FileLogWriter]
    """The logs that have something to write."""

    def folder(self, handle: str) -> Path: ...


_NOTHING: list[bytes] = []
"""Of all logs that have nothing to write, which nearly all have: it stays empty."""


class _Spilled(NamedTuple):
    """What is in the data file of a transaction that has not come to its end."""

    before: ChunkBuilder
    """Where to go back to if the end does not come."""
    records: list[bytes]
    """They are written with the end."""


class FileLogWriter(ShapeLogWriter):
    """The writing end of one log; there may be tens of thousands, so it is small.

    ``position`` runs ahead of what is published by what ``data`` and ``records`` hold, and by what was
    spilled.
    """

    __slots__ = (
        "data", "handle", "is_gone", "last_op", "last_tx", "position", "records", "spilled", "storage",
    )  # fmt: skip

    def __init__(
        self, storage: Home, handle: str, last_offset: LogOffset, position: ChunkBuilder
    ) -> None:
        self.storage = storage
        self.handle = handle
        self.last_op = last_offset.op
        self.last_tx = last_offset.tx
        self.position = position
        self.spilled: _Spilled | None = None
        self.data = self.records = _NOTHING
        self.is_gone = False
        """The log was deleted: nothing is written any more."""

    @property
    def last_offset(self) -> LogOffset:
        """Of the last entry that was appended."""
        return LogOffset(self.last_tx, self.last_op)

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx <= self.last_tx or self.is_gone:
            return
        threshold = self.storage.chunk_bytes
        if not self.records:
            # Lists of its own, which a log has only while it has something to write.
            self.data, self.records = [], []
        if len(entries) == 1 and self.spilled is None:
            self.data.append(entries[0])
            self.records.append(self.position.add_one(tx, ops[0], entries[0], threshold))
        else:
            self.data.extend(entries)
            if self.spilled is not None:
                self.records += self.spilled.records
                self.spilled = None
            self.records += self.position.add(tx, ops, entries, threshold, ends=True)
        self.last_tx, self.last_op = tx, ops[-1]
        self.storage.pending[self.handle] = self

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx <= self.last_tx or self.is_gone or not entries:
            return
        if self.spilled is None:
            self.write_out()
            self.spilled = _Spilled(self.position.copy(), [])
        threshold = self.storage.chunk_bytes
        self.spilled.records.extend(self.position.add(tx, ops, entries, threshold, ends=False))
        _write_all(self.storage.files.get(self.handle)[0], b"".join(entries))

    def discard(self) -> None:
        if self.spilled is None:
            return
        self.position, self.spilled = self.spilled.before, None
        if not self.is_gone:
            os.ftruncate(self.storage.files.get(self.handle)[0], self.position.stop)

    def write_out(self) -> None:
        """Hand what was appended to the kernel: first the entries, then the records that name them."""
        if not self.records or self.is_gone:
            return
        data_fd, index_fd = self.storage.files.get(self.handle)
        _write_all(data_fd, self.data[0] if len(self.data) == 1 else b"".join(self.data))
        _write_all(index_fd, self.records[0] if len(self.records) == 1 else b"".join(self.records))
        self.data = self.records = _NOTHING

    def snapshot(self) -> SnapshotWriter:
        return FileSnapshotWriter(self.storage.folder(self.handle))


class FileSnapshotWriter(SnapshotWriter):
    """Writes ``snapshot.jsonl`` and ``snapshot.index``.

    Making a file costs many times what writing to it does, and the thread that makes a writer has a
    stream to follow: all files of the shape are made here, with the first write, in the thread that
    reads the rows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index_fd = self.data_fd = -1
        self.stop = 0
        self.crc = 0

    def write(self, data: bytes) -> None:
        self._open()
        _write_all(self.data_fd, data)
        self.stop += len(data)
        self.crc = crc32(data, self.crc)

    def close_chunk(self) -> None:
        self._open()
        _write_all(self.index_fd, pack_snapshot_record(self.stop, is_last=False))

    def finish(self) -> None:
        self._open()
        _write_all(self.index_fd, pack_snapshot_record(self.stop, is_last=True, crc=self.crc))
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; harmless when called twice."""
        for fd in (self.data_fd, self.index_fd):
            if fd >= 0:
                os.close(fd)
        self.data_fd = self.index_fd = -1

    def _open(self) -> None:
        if self.data_fd >= 0:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        for name in ("log.jsonl", "log.index"):
            os.close(os.open(self.folder / name, flags, 0o640))
        self.index_fd = os.open(self.folder / "snapshot.index", flags | os.O_TRUNC, 0o640)
        self.data_fd = os.open(self.folder / "snapshot.jsonl", flags | os.O_TRUNC, 0o640)

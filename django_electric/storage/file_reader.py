"""FileLogReader: the reading end of a log in files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from django_electric.errors import ShapeGone, StorageError
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, SNAPSHOT_END, LogOffset
from django_electric.storage.base import Chunk, LogState, ShapeLogReader
from django_electric.storage.format import (
    SNAPSHOT_RECORD,
    SnapshotRecord,
    unpack_snapshot_record,
)
from django_electric.storage.log_index import LogIndex

_OP_POSITION = re.compile(rb'"op_position":(\d+)')


class FileLogReader(ShapeLogReader):
    """The reading end of one log; opens files as it needs them and keeps them until `close`."""

    def __init__(self, folder: str, handle: str) -> None:
        # Text, not a Path: every request makes a reader, and joining paths would be half of its work.
        self._folder = folder
        self._handle = handle
        self._fds: dict[str, int] = {}
        self._check()

    def _check(self) -> None:
        try:
            os.stat(self._folder)  # noqa: PTH116
        except FileNotFoundError:
            raise ShapeGone(f"shape {self._handle} no longer exists") from None
        for fd in self._fds.values():
            if not os.fstat(fd).st_nlink:
                raise ShapeGone(f"the log of shape {self._handle} was made anew")

    def _fd(self, name: str) -> int | None:
        fd = self._fds.get(name)
        if fd is None:
            try:
                path = f"{self._folder}/{name}"
                fd = self._fds[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return fd

    def _log_index(self) -> LogIndex | None:
        fd = self._fd("log.index")
        index = None if fd is None else LogIndex(fd)
        return index if index and index.count else None

    def _snapshot(self) -> list[SnapshotRecord]:
        fd = self._fd("snapshot.index")
        data = b"" if fd is None else os.pread(fd, os.fstat(fd).st_size, 0)
        whole = len(data) - len(data) % SNAPSHOT_RECORD.size
        return [unpack_snapshot_record(data, at) for at in range(0, whole, SNAPSHOT_RECORD.size)]

    def state(self) -> LogState:
        self._check()
        chunks = self._snapshot()
        complete = bool(chunks) and chunks[-1].is_last
        size = chunks[-1].stop if chunks else 0
        index = self._log_index() if complete else None
        if index is None:
            return LogState(len(chunks), complete, SNAPSHOT_END, size)
        last = index[index.count - 1]
        return LogState(len(chunks), complete, LogOffset(last.tx, last.op), size + last.stop)

    def chunk_after(self, offset: LogOffset) -> Chunk | None:
        self._check()
        if offset.tx <= 0 and offset.op != INFINITE:
            chunks = self._snapshot()
            n = 0 if offset == BEFORE_ALL else offset.op + 1
            if n < len(chunks):
                start = chunks[n - 1].stop if n else 0
                return Chunk(LogOffset(0, n), "snapshot", start, chunks[n].stop)
            if not chunks or not chunks[-1].is_last:
                return None
        return self._log_chunk_after(offset)

    def _log_chunk_after(self, offset: LogOffset) -> Chunk:
        index = self._log_index()
        if index is None:
            return Chunk(SNAPSHOT_END, "log", 0, 0)
        i = index.first_after(offset)
        if i == index.count:
            last = index[i - 1]
            return Chunk(LogOffset(last.tx, last.op), "log", last.stop, last.stop)
        first = index[i]
        before = index[i - 1] if i else None
        start = before.stop if before else 0
        if first.tx == offset.tx and (before is None or (before.tx, before.op) != offset):
            last_op = before.op if before is not None and before.tx == offset.tx else -1
            start = self._skip_ops(start, first.stop, offset.op, last_op)
        end = index[index.end_of_chunk(first.chunk)]
        return Chunk(LogOffset(end.tx, end.op), "log", start, end.stop)

    def _skip_ops(self, start: int, stop: int, op: int, last_op: int) -> int:
        """Byte of the first entry with a greater op than *op*: an offset in the middle of a record.

        *last_op* is that of the entry before *start*. What a move brings names no op, or one that it had in
        another transaction. Then it counts as at least one more than the one before, so that nothing is
        passed over.
        """
        fd = self._fd("log.jsonl")
        if fd is None:
            raise self._too_short()
        for line in _lines(fd, start, stop):
            # Only the header holds a bare number: the values of columns are strings.
            found = _OP_POSITION.search(line)
            last_op = max(last_op + 1, int(found[1]) if found else 0)
            if last_op > op:
                return start
            start += len(line)
        if start != stop:
            raise self._too_short()
        return start

    def _too_short(self) -> StorageError:
        self._check()
        return StorageError(f"the log of shape {self._handle} is shorter than its index says")

    def read(self, chunk: Chunk, start: int, size: int) -> bytes:
        fd = self._fd("snapshot.jsonl" if chunk.part == "snapshot" else "log.jsonl")
        at = chunk.start + start
        wanted = max(0, min(size, chunk.stop - at))
        data = os.pread(fd, wanted, at) if fd is not None else b""
        if len(data) != wanted:
            raise self._too_short()
        return data

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])

    def __del__(self) -> None:
        self.close()


def _lines(fd: int, start: int, stop: int, block: int = 1 << 20) -> Iterator[bytes]:
    rest = b""
    while start < stop:
        data = os.pread(fd, min(block, stop - start), start)
        if not data:
            return
        start += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in lines)

"""MemoryStorage: the promises of the interface without a disk, for tests and for a single process."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from django_electric.errors import ShapeGone
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, SNAPSHOT_END, LogOffset
from django_electric.storage.base import (
    Chunk,
    Entry,
    LogState,
    ShapeLogReader,
    ShapeLogWriter,
    ShapeStorage,
    SnapshotWriter,
)


class _Log:
    """What one shape has published."""

    def __init__(self) -> None:
        self.snapshot: list[bytes] = []
        self.is_snapshot_complete = False
        self.entries: list[tuple[LogOffset, int, Entry]] = []
        """Offset, number of the chunk, entry."""

    @property
    def last_offset(self) -> LogOffset:
        return self.entries[-1][0] if self.entries else SNAPSHOT_END


class MemoryStorage(ShapeStorage):
    """Logs in this process."""

    def __init__(self, *, chunk_bytes: int = 10_485_760) -> None:
        self.chunk_bytes = chunk_bytes
        self.logs: dict[str, _Log] = {}
        self.pending: dict[str, MemoryLogWriter] = {}
        self._unsynced: set[str] = set()

    def writer(
        self, handle: str, *, durable_tx: int | None = None, check_snapshot: bool = False
    ) -> MemoryLogWriter:
        if durable_tx is not None and handle not in self.logs:
            raise ShapeGone(f"the log of shape {handle} is missing")
        return MemoryLogWriter(self, handle, self.logs.setdefault(handle, _Log()))

    def reader(self, handle: str) -> MemoryLogReader:
        if handle not in self.logs:
            raise ShapeGone(f"shape {handle} no longer exists")
        return MemoryLogReader(self, handle)

    def publish(self) -> Collection[str]:
        pending, self.pending = self.pending, {}
        for writer in pending.values():
            writer.write_out()
        self._unsynced.update(pending)
        return pending.keys()

    def take_unsynced(self) -> Collection[str]:
        handles, self._unsynced = self._unsynced, set()
        return handles

    def sync(self, handles: Iterable[str]) -> None:
        """Nothing survives the process; there is nothing to wait for."""

    def delete(self, handle: str) -> None:
        self.logs.pop(handle, None)
        self.pending.pop(handle, None)
        self._unsynced.discard(handle)

    def handles(self) -> set[str]:
        return set(self.logs)


class MemoryLogWriter(ShapeLogWriter):
    """The writing end of one log."""

    def __init__(self, storage: MemoryStorage, handle: str, log: _Log) -> None:
        self.storage = storage
        self.handle = handle
        self.log = log
        self.last_tx = log.entries[-1][0].tx if log.entries else 0
        self._appended: list[tuple[LogOffset, Entry]] = []
        self._spilled: list[tuple[LogOffset, Entry]] = []
        self._chunk, self._chunk_size = self._open_chunk()

    def _open_chunk(self) -> tuple[int, int]:
        """Number of the chunk that the next entry joins, and its size so far."""
        if not self.log.entries:
            return 0, 0
        number = self.log.entries[-1][1]
        size = sum(len(entry) for _, chunk, entry in self.log.entries if chunk == number)
        return (number + 1, 0) if size >= self.storage.chunk_bytes else (number, size)

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx <= self.last_tx:
            return
        self._appended += self._spilled
        self._appended += [
            (LogOffset(tx, op), entry) for op, entry in zip(ops, entries, strict=True)
        ]
        self._spilled = []
        self.last_tx = tx
        self.storage.pending[self.handle] = self

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx > self.last_tx:
            self._spilled += [
                (LogOffset(tx, op), entry) for op, entry in zip(ops, entries, strict=True)
            ]

    def discard(self) -> None:
        self._spilled = []

    def write_out(self) -> None:
        """Publish what was appended."""
        for offset, entry in self._appended:
            self.log.entries.append((offset, self._chunk, entry))
            self._chunk_size += len(entry) - 2
            if self._chunk_size >= self.storage.chunk_bytes:
                self._chunk += 1
                self._chunk_size = 0
        self._appended = []

    def snapshot(self) -> SnapshotWriter:
        return MemorySnapshotWriter(self.log)


class MemorySnapshotWriter(SnapshotWriter):
    """Writes the first rows."""

    def __init__(self, log: _Log) -> None:
        self.log = log
        self.log.snapshot = []
        self._open = b""

    def write(self, data: bytes) -> None:
        self._open += data

    def close_chunk(self) -> None:
        self.log.snapshot.append(self._open)
        self._open = b""

    def finish(self) -> None:
        self.close_chunk()
        self.log.is_snapshot_complete = True


class MemoryLogReader(ShapeLogReader):
    """The reading end of one log. A byte position counts over all entries of the part."""

    def __init__(self, storage: MemoryStorage, handle: str) -> None:
        self.storage = storage
        self.handle = handle

    def _log(self) -> _Log:
        try:
            return self.storage.logs[self.handle]
        except KeyError:
            raise ShapeGone(f"shape {self.handle} no longer exists") from None

    def _part(self, part: str) -> bytes:
        log = self._log()
        return b"".join(
            log.snapshot if part == "snapshot" else (entry for _, _, entry in log.entries)
        )

    def state(self) -> LogState:
        log = self._log()
        size = len(self._part("snapshot"))
        if not log.is_snapshot_complete:
            return LogState(len(log.snapshot), False, SNAPSHOT_END, size)
        return LogState(len(log.snapshot), True, log.last_offset, size + len(self._part("log")))

    def chunk_after(self, offset: LogOffset) -> Chunk | None:
        log = self._log()
        if offset.tx <= 0 and offset.op != INFINITE:
            n = 0 if offset == BEFORE_ALL else offset.op + 1
            if n < len(log.snapshot):
                start = sum(map(len, log.snapshot[:n]))
                return Chunk(LogOffset(0, n), "snapshot", start, start + len(log.snapshot[n]))
            if not log.is_snapshot_complete:
                return None
        return self._log_chunk_after(log, offset)

    def _log_chunk_after(self, log: _Log, offset: LogOffset) -> Chunk:
        before = [entry for at, _, entry in log.entries if at <= offset]
        start = sum(map(len, before))
        after = log.entries[len(before) :]
        if not after:
            return Chunk(log.last_offset, "log", start, start)
        chunk = [(at, entry) for at, number, entry in after if number == after[0][1]]
        return Chunk(chunk[-1][0], "log", start, start + sum(len(entry) for _, entry in chunk))

    def read(self, chunk: Chunk, start: int, size: int) -> bytes:
        at = chunk.start + start
        return self._part(chunk.part)[at : min(at + size, chunk.stop)]

    def close(self) -> None:
        """Nothing is held."""

    def messages(self) -> list[dict[str, object]]:
        """Everything published, decoded: for tests."""
        text = (self._part("snapshot") + self._part("log")).decode()
        return [json.loads(line[1:]) for line in text.splitlines()]

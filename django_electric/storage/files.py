"""FileStorage: one directory a shape, two append-only files and their indexes in it.

::

    <root>/shapes/<handle>/snapshot.jsonl  snapshot.index  log.jsonl  log.index

``format.py`` draws the indexes. The log files appear with the first entry. A deleted directory is
renamed away first, so that it disappears for readers in one step.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from django_electric.errors import ShapeGone, StorageError
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
from django_electric.storage.chunks import ChunkBuilder
from django_electric.storage.format import (
    LOG_RECORD,
    SNAPSHOT_RECORD,
    LogRecord,
    SnapshotRecord,
    pack_snapshot_record,
    unpack_log_record,
    unpack_snapshot_record,
)

_HANDLE = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_OP_POSITION = re.compile(rb'"op_position":(\d+)')
_FILES_BY_FILESYSTEM = 64
"""Above so many files it is cheaper to sync the whole file system than each of them."""


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


class _OpenFiles:
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


class FileStorage(ShapeStorage):
    """Logs below *root*. A process that only reads calls `reader` and `handles` alone."""

    def __init__(self, root: Path, *, chunk_bytes: int = 10_485_760, open_files: int = 256) -> None:
        self.directory = root / "shapes"
        self._directory = str(self.directory)
        self.trash = root / "trash"
        self.chunk_bytes = chunk_bytes
        self.files = _OpenFiles(self.directory, open_files)
        self.pending: dict[str, FileLogWriter] = {}
        self._writers: dict[str, FileLogWriter] = {}
        self._unsynced: set[str] = set()

    def prepare(self) -> None:
        """Make the directories and empty the trash. For the writer, before all else."""
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.trash, ignore_errors=True)
        self.trash.mkdir(parents=True, exist_ok=True)

    def folder(self, handle: str) -> Path:
        """The directory of a log. Raises `ShapeGone` for what cannot be a handle."""
        _check_handle(handle)
        return self.directory / handle

    def writer(
        self, handle: str, *, durable_tx: int | None = None, check_snapshot: bool = False
    ) -> FileLogWriter:
        folder = self.folder(handle)
        if durable_tx is None:
            folder.mkdir(parents=True, exist_ok=True)
            return self._open(handle, LogOffset(0, 0), ChunkBuilder())
        if not folder.is_dir():
            raise ShapeGone(f"the log of shape {handle} is missing")
        if check_snapshot:
            _check_snapshot(folder)
        return self._open(handle, *_recover(folder, durable_tx, self.chunk_bytes))

    def _open(self, handle: str, last: LogOffset, position: ChunkBuilder) -> FileLogWriter:
        writer = self._writers[handle] = FileLogWriter(self, handle, last, position)
        return writer

    def reader(self, handle: str) -> FileLogReader:
        _check_handle(handle)
        return FileLogReader(f"{self._directory}/{handle}", handle)

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
        handles = list(handles)
        if len(handles) > _FILES_BY_FILESYSTEM and _sync_filesystem is not None:
            _sync_filesystem(self.directory)
            return
        for handle in handles:
            _sync_folder(self.directory / handle)
        _sync_path(self.directory)

    def delete(self, handle: str) -> None:
        writer = self._writers.pop(handle, None)
        if writer is not None:
            writer.is_gone = True
        self.pending.pop(handle, None)
        self._unsynced.discard(handle)
        self.files.forget(handle)
        gone = self.trash / handle
        self.trash.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.folder(handle).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def handles(self) -> set[str]:
        try:
            return {path.name for path in self.directory.iterdir() if _HANDLE.fullmatch(path.name)}
        except FileNotFoundError:
            return set()

    def close(self) -> None:
        """Close every file that the writer holds open."""
        self.files.close()


def _check_handle(handle: str) -> None:
    # It comes from clients: it never names a path.
    if not _HANDLE.fullmatch(handle):
        raise ShapeGone(f"no shape has the handle {handle[:80]!r}")


def _sync_folder(folder: Path) -> None:
    for name in ("snapshot.jsonl", "snapshot.index", "log.jsonl", "log.index"):
        with suppress(FileNotFoundError):
            _sync_path(folder / name)
    with suppress(FileNotFoundError):
        _sync_path(folder)


def _sync_path(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _load_syncfs() -> Callable[[Path], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def sync_filesystem(directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs failed", str(directory))
        finally:
            os.close(fd)

    return sync_filesystem


_sync_filesystem = _load_syncfs()


class FileLogWriter(ShapeLogWriter):
    """The writing end of one log; there may be tens of thousands, so it is small.

    ``position`` runs ahead of what is published by what ``data`` and ``records`` hold, and by what was
    spilled: the bytes of that are in the file already, its records wait in ``spilled`` for the
    transaction's end, and ``before_spill`` is where to go back to if it does not come.
    """

    __slots__ = (
        "before_spill", "data", "handle", "is_gone", "last_offset", "position", "records", "spilled", "storage",
    )  # fmt: skip

    def __init__(
        self, storage: FileStorage, handle: str, last_offset: LogOffset, position: ChunkBuilder
    ) -> None:
        self.storage = storage
        self.handle = handle
        self.last_offset = last_offset
        self.position = position
        self.before_spill: ChunkBuilder | None = None
        self.data: list[bytes] = []
        self.records: list[bytes] = []
        self.spilled: list[bytes] = []
        self.is_gone = False
        """The log was deleted: nothing is written any more."""

    @property
    def last_tx(self) -> int:
        return self.last_offset.tx

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx <= self.last_offset[0] or self.is_gone:
            return
        threshold = self.storage.chunk_bytes
        if len(entries) == 1 and self.before_spill is None:
            self.data.append(entries[0])
            self.records.append(self.position.add_one(tx, ops[0], entries[0], threshold))
        else:
            self.data.extend(entries)
            self.records += self.spilled
            self.records += self.position.add(tx, ops, entries, threshold, ends=True)
            self.before_spill, self.spilled = None, []
        self.last_offset = LogOffset(tx, ops[-1])
        self.storage.pending[self.handle] = self

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[Entry]) -> None:
        if tx <= self.last_offset[0] or self.is_gone or not entries:
            return
        if self.before_spill is None:
            self.write_out()
            self.before_spill = self.position.copy()
        self.spilled += self.position.add(tx, ops, entries, self.storage.chunk_bytes, ends=False)
        _write_all(self.storage.files.get(self.handle)[0], b"".join(entries))

    def discard(self) -> None:
        if self.before_spill is None:
            return
        self.position, self.before_spill, self.spilled = self.before_spill, None, []
        if not self.is_gone:
            os.ftruncate(self.storage.files.get(self.handle)[0], self.position.stop)

    def write_out(self) -> None:
        """Hand what was appended to the kernel: first the entries, then the records that name them."""
        if not self.records or self.is_gone:
            return
        data_fd, index_fd = self.storage.files.get(self.handle)
        _write_all(data_fd, self.data[0] if len(self.data) == 1 else b"".join(self.data))
        _write_all(index_fd, self.records[0] if len(self.records) == 1 else b"".join(self.records))
        self.data = []
        self.records = []

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


class _Index:
    """An index file as a sequence of records, read where it is looked at."""

    __slots__ = ("count", "fd", "width")

    def __init__(self, fd: int, width: int) -> None:
        self.fd = fd
        self.width = width
        self.count = os.fstat(fd).st_size // width

    def raw(self, i: int) -> bytes:
        data = os.pread(self.fd, self.width, i * self.width)
        if len(data) != self.width:
            raise StorageError(f"record {i} of an index is cut short")
        return data


class LogIndex(_Index):
    """``log.index``; records that do not end a whole transaction are left out at its end."""

    __slots__ = ()

    def __init__(self, fd: int) -> None:
        super().__init__(fd, LOG_RECORD.size)
        while self.count and self[self.count - 1].continues:
            self.count -= 1

    def __getitem__(self, i: int) -> LogRecord:
        return unpack_log_record(self.raw(i))

    def first_after(self, offset: LogOffset) -> int:
        """Number of the first record whose offset is greater; `count` if there is none."""
        return self._bisect(lambda record: (record.tx, record.op) > offset)

    def end_of_chunk(self, chunk: int) -> int:
        """Number of the last record of *chunk*."""
        if self[self.count - 1].chunk == chunk:
            return self.count - 1
        return self._bisect(lambda record: record.chunk > chunk) - 1

    def first_beyond(self, tx: int) -> int:
        """Number of the first record of a transaction after *tx*."""
        # Zeros are what a file system may leave after a power cut: they come after everything.
        return self._bisect(lambda record: record.tx > tx or not record.tx)

    def _bisect(self, is_after: Callable[[LogRecord], bool]) -> int:
        # Most questions are about the end: a live client has all but the last transaction.
        low, high = 0, self.count
        if high > 1 and not is_after(self[high - 2]):
            low = high - 1
        while low < high:
            middle = (low + high) // 2
            if is_after(self[middle]):
                high = middle
            else:
                low = middle + 1
        return low


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
            start = self._skip_ops(start, first.stop, offset.op)
        end = index[index.end_of_chunk(first.chunk)]
        return Chunk(LogOffset(end.tx, end.op), "log", start, end.stop)

    def _skip_ops(self, start: int, stop: int, op: int) -> int:
        """Byte of the first entry with a greater op: an offset in the middle of a record."""
        fd = self._fd("log.jsonl")
        if fd is None:
            raise self._too_short()
        for line in _lines(fd, start, stop):
            # Only the header holds a bare number: the values of columns are strings.
            found = _OP_POSITION.search(line)
            if found and int(found[1]) > op:
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


def _recover(folder: Path, durable_tx: int, chunk_bytes: int) -> tuple[LogOffset, ChunkBuilder]:
    """Cut a log back to its last whole transaction; where it ends, and at what position.

    Raises `StorageError` if a transaction that was on disk is not there any more.
    """
    try:
        index_fd = os.open(folder / "log.index", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        _cut(folder / "log.jsonl", 0)
        return LogOffset(0, 0), ChunkBuilder()
    try:
        index = LogIndex(index_fd)
        whole = _whole_records(folder, index, durable_tx)
        os.ftruncate(index_fd, whole * LOG_RECORD.size)
        if not whole:
            _cut(folder / "log.jsonl", 0)
            return LogOffset(0, 0), ChunkBuilder()
        last = index[whole - 1]
        _cut(folder / "log.jsonl", last.stop)
        index.count = whole
        before = index._bisect(lambda record: record.chunk >= last.chunk)
        start = index[before - 1].stop if before else 0
        size = last.stop - start
        # A chunk that was closed stays closed: the same request always gets the same answer.
        position = (last.chunk + 1, 0) if size >= chunk_bytes else (last.chunk, size)
        return LogOffset(last.tx, last.op), ChunkBuilder(last.stop, *position)
    finally:
        os.close(index_fd)


def _whole_records(folder: Path, index: LogIndex, durable_tx: int) -> int:
    """How many records name bytes that are really there, transactions whole."""
    first = index.first_beyond(durable_tx)
    try:
        data_fd = os.open(folder / "log.jsonl", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        data_fd = -1
    try:
        size = os.fstat(data_fd).st_size if data_fd >= 0 else 0
        if first and index[first - 1].stop > size:
            raise StorageError(f"the log of shape {folder.name} has lost bytes that were on disk")
        whole = start = first
        stop = index[first - 1].stop if first else 0
        for i in range(start, index.count):
            record = index[i]
            if (
                not stop < record.stop <= size
                or crc32(os.pread(data_fd, record.stop - stop, stop)) != record.crc
            ):
                break
            stop = record.stop
            if not record.continues:
                whole = i + 1
        return whole
    finally:
        if data_fd >= 0:
            os.close(data_fd)


def _check_snapshot(folder: Path) -> None:
    """Read the first rows and compare them with their checksum."""
    index = (folder / "snapshot.index").read_bytes()
    whole = len(index) - len(index) % SNAPSHOT_RECORD.size
    last = unpack_snapshot_record(index, whole - SNAPSHOT_RECORD.size) if whole else None
    crc = size = 0
    with (folder / "snapshot.jsonl").open("rb") as file:
        while data := file.read(1 << 20):
            crc = crc32(data, crc)
            size += len(data)
    if last is None or not last.is_last or (last.stop, last.crc) != (size, crc):
        raise StorageError(f"the first rows of shape {folder.name} did not reach the disk")


def _cut(path: Path, size: int) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_size > size:
            os.truncate(path, size)

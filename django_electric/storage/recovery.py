"""What a log in files may be after a crash, and how it becomes whole again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from django_electric.errors import StorageError
from django_electric.shapes.offset import LogOffset
from django_electric.storage.chunks import ChunkBuilder
from django_electric.storage.format import LOG_RECORD, SNAPSHOT_RECORD, unpack_snapshot_record
from django_electric.storage.log_index import LogIndex

NO_CHANGE = LogOffset(0, 0)
"""Where logs without a change end."""


def recover(folder: Path, durable_tx: int, chunk_bytes: int) -> tuple[LogOffset, ChunkBuilder]:
    """Cut a log back to its last whole transaction; where it ends, and at what position.

    Raises `StorageError` if a transaction that was on disk is not there any more.
    """
    try:
        index_fd = os.open(folder / "log.index", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        _cut(folder / "log.jsonl", 0)
        return NO_CHANGE, ChunkBuilder()
    try:
        index = LogIndex(index_fd)
        whole = _whole_records(folder, index, durable_tx)
        os.ftruncate(index_fd, whole * LOG_RECORD.size)
        if not whole:
            _cut(folder / "log.jsonl", 0)
            return NO_CHANGE, ChunkBuilder()
        last = index[whole - 1]
        _cut(folder / "log.jsonl", last.stop)
        index.count = whole
        before = index.first_of_chunk(last.chunk)
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


def verify_snapshot(folder: Path) -> None:
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

"""FileStorage: one directory a shape, two append-only files and their indexes in it.

::

    <root>/shapes/<handle>/snapshot.jsonl  snapshot.index  log.jsonl  log.index

``format.py`` draws the indexes. The log files appear with the first entry. A deleted directory is
renamed away first, so that it disappears for readers in one step.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from django_electric.errors import ShapeGone, StorageError
from django_electric.shapes.offset import LogOffset
from django_electric.storage.base import ShapeStorage
from django_electric.storage.chunks import ChunkBuilder
from django_electric.storage.file_reader import FileLogReader
from django_electric.storage.file_writers import FileLogWriter, OpenFiles
from django_electric.storage.recovery import NO_CHANGE, recover, verify_snapshot

SHAPES: Final = "shapes"
"""The directory of all logs, below the root."""
_HANDLE = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_FILES_BY_FILESYSTEM = 64
"""Above so many files it is cheaper to sync the whole file system than each of them."""


class FileStorage(ShapeStorage):
    """Logs below *root*. A process that only reads calls `reader` and `handles` alone."""

    def __init__(self, root: Path, *, chunk_bytes: int = 10_485_760, open_files: int = 256) -> None:
        self.directory = root / SHAPES
        self._directory = str(self.directory)
        self.trash = root / "trash"
        self.chunk_bytes = chunk_bytes
        self.files = OpenFiles(self.directory, open_files)
        self.pending: dict[str, FileLogWriter] = {}
        self._writers: dict[str, FileLogWriter] = {}
        self._unsynced: set[str] = set()
        self._has_failed = False
        """A `publish` was cut short: some logs lack what others have."""

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
            return self._open(handle, NO_CHANGE, ChunkBuilder())
        if not folder.is_dir():
            raise ShapeGone(f"the log of shape {handle} is missing")
        if check_snapshot:
            verify_snapshot(folder)
        return self._open(handle, *recover(folder, durable_tx, self.chunk_bytes))

    def _open(self, handle: str, last: LogOffset, position: ChunkBuilder) -> FileLogWriter:
        writer = self._writers[handle] = FileLogWriter(self, handle, last, position)
        return writer

    def reader(self, handle: str) -> FileLogReader:
        _check_handle(handle)
        return FileLogReader(f"{self._directory}/{handle}", handle)

    def publish(self) -> Collection[str]:
        if self._has_failed:
            raise StorageError("an earlier write to the logs failed; they have to be opened anew")
        pending, self.pending = self.pending, {}
        self._has_failed = True
        for writer in pending.values():
            writer.write_out()
        self._has_failed = False
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

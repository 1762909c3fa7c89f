"""Shape logs: append-only files of entries that are already the JSON that clients receive."""

from django_electric.storage.base import (
    Chunk,
    LogState,
    ShapeLogReader,
    ShapeLogWriter,
    ShapeStorage,
    SnapshotWriter,
)
from django_electric.storage.files import FileStorage
from django_electric.storage.memory import MemoryStorage

__all__ = [
    "Chunk",
    "FileStorage",
    "LogState",
    "MemoryStorage",
    "ShapeLogReader",
    "ShapeLogWriter",
    "ShapeStorage",
    "SnapshotWriter",
]

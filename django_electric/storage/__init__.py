"""Shape logs: append-only files of entries that are already the JSON that clients receive."""

from django_electric.storage.base import (
    Chunk,
    LogState,
    ShapeLogReader,
    ShapeLogWriter,
    ShapeStorage,
    SnapshotWriter,
)
from django_electric.storage.files import SHAPES, FileStorage
from django_electric.storage.memory import MemoryStorage
from django_electric.storage.reads import Reads

__all__ = [
    "SHAPES",
    "Chunk",
    "FileStorage",
    "LogState",
    "MemoryStorage",
    "Reads",
    "ShapeLogReader",
    "ShapeLogWriter",
    "ShapeStorage",
    "SnapshotWriter",
]

"""Every error that the package raises; the docstring of a class is its default message."""

from __future__ import annotations


class ElectricError(Exception):
    """Something went wrong in django_electric."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        return str(self)


class ConfigurationError(ElectricError):
    """The project or its database is not set up for replication; the message says what to do."""


class DecodeError(ElectricError):
    """The replication stream holds bytes that this version does not understand."""


class StorageError(ElectricError):
    """A shape's log could not be read or written."""


class ShapeGone(StorageError):
    """The shape's log no longer exists: the shape was rotated or deleted."""


class ReplicationLost(ElectricError):
    """The replication connection ended; the worker connects again."""


class SlotLost(ElectricError):
    """The replication slot no longer holds the WAL that the logs need; every shape is rotated."""


class SnapshotFailed(ElectricError):
    """A shape's first rows could not be read (PROTOCOL section 7.5).

    ``status`` is the HTTP status that the waiting clients receive; 409 means that the schema
    changed under the shape and that they start again.
    """

    def __init__(self, message: str, *, status: int = 503) -> None:
        super().__init__(message)
        self.status = status

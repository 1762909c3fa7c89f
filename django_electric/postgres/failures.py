"""What clients who wait for rows hear of an error of Postgres (PROTOCOL section 7.5)."""

from __future__ import annotations

from typing import Final

from django_electric.errors import SnapshotFailed

SLOW_QUERY: Final = (
    "Snapshot query took too long to return data (cancelled after 30000ms). Please ensure snapshot queries "
    "are using an index to avoid taking up all database connections."
)
NOT_STARTED: Final = "Snapshot query took too long to start reading from the database"
_SCHEMA_CHANGED = ("42P01", "42703", "42883")
"""Undefined table, column, function: the client starts again (PROTOCOL section 7.3)."""
_OPERATIONAL = ("08", "28", "3D", "53", "57")
"""Classes: connection, authorization, no such database, resources, an operator's intervention."""


def snapshot_failure(sqlstate: str | None, text: str) -> SnapshotFailed:
    """The answer to an error; *sqlstate* is None if it did not come from the server.

    >>> snapshot_failure("42501", "permission denied for table items").message
    'Unable to create initial snapshot: permission denied for table items'
    """
    state = sqlstate or ""
    if state in _SCHEMA_CHANGED:
        return SnapshotFailed(text, status=409)
    if state == "42501":
        return SnapshotFailed(f"Unable to create initial snapshot: {text}")
    if state == "57014" and "statement timeout" not in text:
        return SnapshotFailed(text)
    if not state or (state[:2] in _OPERATIONAL and state != "57014"):
        return SnapshotFailed(text)
    return SnapshotFailed(f"Unexpected error while creating snapshot: {text}", status=500)

"""What clients who wait for rows hear of an error of Postgres (PROTOCOL section 7.5)."""

from __future__ import annotations

from typing import Final

from django_electric.errors import SnapshotFailed

SLOW_QUERY: Final = (
    "Snapshot query took too long to return data (cancelled after 30000ms). Please ensure snapshot queries "
    "are using an index to avoid taking up all database connections."
)
NOT_STARTED: Final = "Snapshot query took too long to start reading from the database"
ROW_FAULTS: Final = ("21", "22", "23", "2F", "38", "39", "54", "P0")
"""Classes of errors that a condition makes of a row: cardinality, data, constraints of a domain, routines, limits."""
_CONDITION_FAULTS: Final = (*ROW_FAULTS, "0A", "42")
"""Those that the rows of a query make of a condition: it asks what Postgres cannot do, or for a function, an
operator, a collation that there is not, which for some types only shows when there is a row."""
_NO_MEMORY: Final = "invalid memory alloc request size"
"""An internal error, for a value beyond what any value may take."""
_SCHEMA_CHANGED = ("42P01", "42703")
"""Undefined table, column: the client starts again (PROTOCOL section 7.3)."""
_UNDEFINED_FUNCTION = "42883"
_NO_PRIVILEGE = "42501"
_OPERATIONAL = ("08", "28", "3D", "53", "57")
"""Classes: connection, authorization, no such database, resources, an operator's intervention."""


def is_fault_of_condition(sqlstate: str | None, text: str) -> bool:
    """Whether an error of a query with a condition is the condition's, and so its author's.

    >>> is_fault_of_condition("22012", "division by zero"), is_fault_of_condition("42P01", "no such table")
    (True, False)
    """
    state = sqlstate or ""
    if state in _SCHEMA_CHANGED or state == _NO_PRIVILEGE:
        return False
    return state[:2] in _CONDITION_FAULTS or text.startswith(_NO_MEMORY)


def may_be_of_changed_schema(sqlstate: str | None) -> bool:
    """Whether an error of a query may come of columns that have another type by now, or of one's own making.

    >>> may_be_of_changed_schema("42804"), may_be_of_changed_schema("22012")
    (True, False)
    """
    return sqlstate is not None and sqlstate[:2] == "42" and sqlstate != _NO_PRIVILEGE


def snapshot_failure(
    sqlstate: str | None, text: str, *, has_condition: bool = False
) -> SnapshotFailed:
    """The answer to an error; *sqlstate* is None if it did not come from the server.

    What the shape's own condition has done is 400: to ask again would not help.

    >>> snapshot_failure("42501", "permission denied for table items").message
    'Unable to create initial snapshot: permission denied for table items'
    """
    state = sqlstate or ""
    if has_condition and is_fault_of_condition(sqlstate, text):
        return SnapshotFailed(text, status=400)
    if state in _SCHEMA_CHANGED or state == _UNDEFINED_FUNCTION:
        return SnapshotFailed(text, status=409)
    if state == _NO_PRIVILEGE:
        return SnapshotFailed(f"Unable to create initial snapshot: {text}")
    if state == "57014" and "statement timeout" not in text:
        return SnapshotFailed(text)
    if not state or (state[:2] in _OPERATIONAL and state != "57014"):
        return SnapshotFailed(text)
    return SnapshotFailed(f"Unexpected error while creating snapshot: {text}", status=500)

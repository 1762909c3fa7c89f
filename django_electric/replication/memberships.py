"""Memberships: by which entries of the catalogue each table with shapes is in the publication, on disk.

A table that was taken out of the publication and put in again has another entry, and what was written between is
not in the stream. Who only asks whether it is published does not notice, least of all after a pause.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import cast

from django_electric.storage import state_file


class Memberships:
    """Oids of entries, by the oid of the table. One thread uses it."""

    def __init__(self, path: Path) -> None:
        """*path*: the file; what is in it is read."""
        self._path = path
        self._known = _read(path)

    def has_been_out(self, table: int, entries: frozenset[int]) -> bool:
        """Whether *table*, which is in the publication by *entries* now, has been out of it since the last time."""
        known = self._known.get(table, frozenset())
        if entries != known:
            self._known[table] = entries
            self._save()
        return bool(known) and not known & entries

    def keep(self, tables: Collection[int]) -> None:
        """Forget all others: they have no shapes."""
        if not self._known.keys() <= set(tables):
            self._known = {t: known for t, known in self._known.items() if t in tables}
            self._save()

    def forget(self, table: int) -> None:
        """No shape is on it any more."""
        if self._known.pop(table, None) is not None:
            self._save()

    def _save(self) -> None:
        state_file.replace(
            self._path, {table: sorted(known) for table, known in self._known.items()}
        )


def _read(path: Path) -> dict[int, frozenset[int]]:
    found = cast("dict[str, list[int]]", state_file.read(path) or {})
    try:
        return {int(table): frozenset(map(int, known)) for table, known in found.items()}
    except (AttributeError, TypeError, ValueError):
        return {}

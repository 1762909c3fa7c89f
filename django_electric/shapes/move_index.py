"""MovingIndex: which shapes with subqueries may a change concern?

A row belongs to an alternative ``x IN (…) AND …`` only if x is among what the subquery gives. If each
alternative of a shape has such a literal, the shape is filed under the values that its log has been told of,
and whatever number of shapes there is, a row finds those of its own. All others, and whoever keeps its
changes because rows are being read for it, get every change of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.log_items import View
from django_electric.shapes.members import Value, value_reader
from django_electric.shapes.moving import Moving

_Bucket = dict[Moving, int]
"""Shapes, and by how many of their literals each is here."""


class MovingIndex:
    """The shapes with subqueries of one table, for rows of one layout."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        self._positions = positions
        self._views: dict[Moving, View] = {}
        self._broad: dict[Moving, None] = {}
        self._filed: dict[tuple[str, ...], dict[Value, _Bucket]] = {}
        """By the columns on the left side of IN, and their values."""
        self._read: dict[tuple[str, ...], Callable[[Row], Value]] = {}

    def __bool__(self) -> bool:
        return bool(self._views)

    def __contains__(self, shape: object) -> bool:
        return shape in self._views

    def add(self, shape: Moving, view: View) -> None:
        """File a shape, which will say what it is told from now on."""
        self._views[shape] = view
        for columns, number in shape.anchors or ():
            for row in shape.told[number]:
                self._put(columns, row, shape)
        shape.indexes.append(self)
        self.look_at(shape)

    def remove(self, shape: Moving) -> None:
        """Harmless if it is not here."""
        if self._views.pop(shape, None) is None:
            return
        shape.indexes.remove(self)
        self._broad.pop(shape, None)
        for columns, number in shape.anchors or ():
            for row in shape.told[number]:
                self._take(columns, row, shape)

    def look_at(self, shape: Moving) -> None:
        """A shape has begun to keep its changes, or keeps them no more."""
        if shape.anchors is None or shape.keeps:
            self._broad[shape] = None
        else:
            self._broad.pop(shape, None)

    def turned(self, shape: Moving, number: int, row: Value, change: int) -> None:
        """A shape is told that a subquery gives a row, or gives it no more."""
        for columns, other in shape.anchors or ():
            if other == number:
                (self._put if change > 0 else self._take)(columns, row, shape)

    def find(self, old: Row | None, new: Row | None) -> Mapping[Moving, View]:
        """The shapes that a change may concern."""
        if len(self._broad) == len(self._views):
            return self._views
        found = dict.fromkeys(self._broad)
        for columns, buckets in self._filed.items():
            read = self._read[columns]
            for row in (old, new):
                if row is not None and (bucket := buckets.get(read(row))) is not None:
                    found.update(dict.fromkeys(bucket))
        return {shape: self._views[shape] for shape in found}

    def _put(self, columns: tuple[str, ...], row: Value, shape: Moving) -> None:
        if None in row:
            return
        buckets = self._filed.get(columns)
        if buckets is None:
            buckets = self._filed[columns] = {}
            types = {c.name: c.type_name for c in shape.definition.relation_columns}
            self._read[columns] = value_reader(
                [types[name] for name in columns], [self._positions[name] for name in columns]
            )
        bucket = buckets.setdefault(row, {})
        bucket[shape] = bucket.get(shape, 0) + 1

    def _take(self, columns: tuple[str, ...], row: Value, shape: Moving) -> None:
        if None in row:
            return
        buckets = self._filed[columns]
        bucket = buckets[row]
        bucket[shape] -= 1
        if not bucket[shape]:
            del bucket[shape]
        if not bucket:
            del buckets[row]
        if not buckets:
            del self._filed[columns], self._read[columns]

"""The rows of a subquery as a shape's part: its changes are found as those of any shape, and counted in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import (
    Headers,
    Item,
    View,
)
from django_electric.shapes.members import Members, Value, value_reader
from django_electric.shapes.routed import RoutedShape

Rows = Iterable[tuple[Value, int]]
"""What a subquery gives: each row, and how often."""


class ValueView(View):
    """How the rows of a subquery are seen: as how many more there are of a value."""

    __slots__ = ("_value",)

    def __init__(self, definition: ShapeDefinition, layout: tuple[str, ...]) -> None:
        super().__init__(definition, layout)
        types = {c.name: c.type_name for c in definition.relation_columns}
        self._value = value_reader(
            [types[name] for name in definition.columns],
            [layout.index(name) for name in definition.columns],
        )

    def inserted(self, headers: Headers, op: int, new: Row) -> list[Item]:
        return [(op, _counted(self._value(new), 1))]

    def deleted(self, headers: Headers, op: int, old: Row) -> list[Item]:
        return [(op, _counted(self._value(old), -1))]

    def updated(self, headers: Headers, op: int, old: Row, new: Row) -> list[Item]:
        before, after = self._value(old), self._value(new)
        return [] if before == after else [(op, _counted(before, -1)), (op + 1, _counted(after, 1))]


def _counted(value: Value, count: int) -> bytes:
    """An entry, without its end, that is read by `MembersSink` only."""
    return b',{"count":%d,"headers":{"value":%s' % (count, json.dumps(value).encode())


class MembersSink:
    """Where the entries of a subquery go: into memory."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self.last_tx = 0
        self._spilt: list[bytes] = []

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        self.last_tx = tx
        for entry in [*self._spilt, *entries]:
            found = json.loads(entry[1:])
            self.members.add(tuple(found["headers"]["value"]), found["count"])
        self._spilt = []

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        self._spilt += entries

    def discard(self) -> None:
        self._spilt = []


class PartOfShape(RoutedShape):
    """A subquery of a shape, whose condition has none: its changes are found as those of any shape."""

    __slots__ = ("members",)
    view_type: ClassVar[type[View]] = ValueView

    def __init__(self, handle: str, definition: ShapeDefinition, members: Members) -> None:
        super().__init__(handle, definition, MembersSink(members))
        self.members = members


def canonical_rows(definition: ShapeDefinition, rows: Rows) -> Iterator[tuple[Value, int]]:
    """*rows* as Postgres prints them, as they are compared here."""
    types = {c.name: c.type_name for c in definition.relation_columns}
    names = definition.columns
    read = value_reader([types[name] for name in names], range(len(names)))
    return ((read(row), count) for row, count in rows)

"""Router: which shapes does this row belong to?

For each table that has shapes there is a `TableRoutes`. A shape is found by one of three ways:

* it has no condition: every row belongs to it;
* its condition has look-ups (``Where.lookups``): a dict from the column's text to the shapes, and
  what is left of the condition is evaluated for those that the dict names;
* its condition is evaluated for every row.

The answer is exact, not a superset. An evaluation that fails as Postgres itself would fail (say,
division by zero) means that the row does not belong; any other failure marks the shape to be
rotated, so that a mistake of ours costs a download and never a wrong row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from django_electric.postgres.pgoutput import RelationMessage, Row
from django_electric.shapes.log_items import View, view_key
from django_electric.shapes.routed import Evaluator, RoutedShape
from django_electric.where import EvaluationError

_NOWHERE: list[RoutedShape] = []


class _Index:
    """The shapes that are found by the text of one column."""

    __slots__ = ("at", "exact", "rest")

    def __init__(self, at: int) -> None:
        self.at = at
        self.exact: dict[str | None, list[RoutedShape]] = {}
        """A hit belongs to these without another look."""
        self.rest: dict[str | None, list[tuple[RoutedShape, Evaluator]]] = {}
        """A hit belongs to these if the rest of the condition is true."""


class TableRoutes:
    """The shapes of one table, for rows of one layout."""

    def __init__(self, layout: tuple[str, ...]) -> None:
        self.layout = layout
        self.positions = {name: i for i, name in enumerate(layout)}
        self.shapes: dict[str, RoutedShape] = {}
        self.views: dict[str, View] = {}
        """How each shape sees rows of this layout."""
        self.suspended: dict[str, tuple[RoutedShape, str]] = {}
        """Shapes that the present layout does not fit, and why; a change that their snapshot does
        not see rotates them."""
        self.failed: dict[str, RoutedShape] = {}
        self._always: dict[str, RoutedShape] = {}
        self._scanned: dict[str, tuple[RoutedShape, Evaluator]] = {}
        self._indexes: dict[str, _Index] = {}
        self._has_alternatives = False
        self._single: _Index | None = None

    def add(self, shape: RoutedShape, view: View) -> None:
        """Route rows to *shape* from now on. O(look-ups of the shape)."""
        self.shapes[shape.handle] = shape
        self.views[shape.handle] = view
        lookups = None if shape.where is None else shape.where.lookups()
        if shape.where is None:
            self._always[shape.handle] = shape
        elif lookups is None:
            self._scanned[shape.handle] = (shape, shape.where.compile(self.positions))
        else:
            self._has_alternatives |= len(lookups) > 1
            for lookup in lookups:
                index = self._indexes.setdefault(
                    lookup.column, _Index(self.positions[lookup.column])
                )
                rest = shape.where.residual_evaluator(lookup, self.positions)
                if rest is None:
                    index.exact.setdefault(lookup.key, []).append(shape)
                else:
                    index.rest.setdefault(lookup.key, []).append((shape, rest))
        self._find_single()

    def remove(self, shape: RoutedShape) -> None:
        """Stop routing rows to *shape*; harmless if it is not here."""
        self.shapes.pop(shape.handle, None)
        self.views.pop(shape.handle, None)
        self.suspended.pop(shape.handle, None)
        self.failed.pop(shape.handle, None)
        self._scanned.pop(shape.handle, None)
        if self._always.pop(shape.handle, None) or shape.where is None:
            self._find_single()
            return
        for lookup in shape.where.lookups() or ():
            index = self._indexes.get(lookup.column)
            if index is not None:
                _drop(index.exact, lookup.key, shape)
                _drop_rest(index.rest, lookup.key, shape)
                if not index.exact and not index.rest:
                    del self._indexes[lookup.column]
        self._find_single()

    def _find_single(self) -> None:
        plain = len(self._indexes) == 1 and not (
            self._always or self._scanned or self._has_alternatives
        )
        self._single = next(iter(self._indexes.values())) if plain else None

    def matches(self, row: Row) -> list[RoutedShape]:
        """The shapes that *row* belongs to, each once. The list is not the caller's to change."""
        single = self._single
        if single is not None:
            key = row[single.at]
            if key not in single.rest:
                return single.exact.get(key, _NOWHERE)
        found = list(self._always.values())
        for index in self._indexes.values():
            key = row[index.at]
            found += index.exact.get(key, _NOWHERE)
            if key in index.rest:
                found += self._evaluated(index.rest[key], row)
        if self._scanned:
            found += self._evaluated(self._scanned.values(), row)
        return list(dict.fromkeys(found)) if self._has_alternatives else found

    def _evaluated(
        self, candidates: Iterable[tuple[RoutedShape, Evaluator]], row: Row
    ) -> Iterator[RoutedShape]:
        for shape, evaluate in candidates:
            try:
                if evaluate(row) is True:
                    yield shape
            except EvaluationError:
                continue
            except Exception:  # whatever it was, the shape can no longer be trusted
                self.failed[shape.handle] = shape

    def __bool__(self) -> bool:
        return bool(self.shapes or self.suspended)


def _drop(places: dict[str | None, list[RoutedShape]], key: str | None, shape: RoutedShape) -> None:
    if key in places:
        # A new list: the old one may be in the hands of a caller of `matches`.
        left = [other for other in places[key] if other is not shape]
        if left:
            places[key] = left
        else:
            del places[key]


def _drop_rest(
    places: dict[str | None, list[tuple[RoutedShape, Evaluator]]],
    key: str | None,
    shape: RoutedShape,
) -> None:
    if key in places:
        places[key] = [pair for pair in places[key] if pair[0] is not shape]
        if not places[key]:
            del places[key]


Views = WeakValueDictionary[tuple[object, ...], View]
"""Views that are in use, to be shared by shapes that see alike."""


class Router:
    """All tables that have shapes, by the oid of the table that changes are named after."""

    def __init__(self, views: Views | None = None) -> None:
        """*views*: those of another router, to share."""
        self.tables: dict[int, TableRoutes] = {}
        self.layouts: dict[int, RelationMessage] = {}
        """The last description of each table in this connection's stream."""
        self.views: Views = WeakValueDictionary() if views is None else views
        self._named: dict[tuple[str, str], set[int]] = {}
        """The tables that shapes knew by a name: more than one if a table was made anew."""
        self._homes: dict[str, tuple[int, ...]] = {}
        """The tables that each shape is routed from: its own, and its partitions."""

    def add(self, shape: RoutedShape, leaves: Iterable[int] = ()) -> None:
        """Route the changes of the shape's table, and of its partitions *leaves*, to *shape*."""
        definition = shape.definition
        homes = (definition.relation_oid, *leaves)
        named = self._named.setdefault((definition.schema, definition.table), set())
        named.add(definition.relation_oid)
        self._homes[shape.handle] = homes
        for oid in homes:
            self._attach(shape, oid)

    def add_leaf(self, root: int, leaf: int) -> None:
        """A partition *leaf* of *root* has appeared: its changes concern the root's shapes."""
        for handle, shape in list(self.shapes_of(root)):
            if leaf not in self._homes[handle]:
                self._homes[handle] += (leaf,)
                self._attach(shape, leaf)

    def remove(self, shape: RoutedShape) -> None:
        """Forget *shape*; harmless if it is not here."""
        for oid in self._homes.pop(shape.handle, ()):
            table = self.tables.get(oid)
            if table is not None:
                table.remove(shape)
                if not table:
                    self._forget_table(oid, shape)

    def _forget_table(self, oid: int, last: RoutedShape) -> None:
        del self.tables[oid]
        name = (last.definition.schema, last.definition.table)
        named = self._named.get(name, set())
        named.discard(oid)
        if not named:
            self._named.pop(name, None)

    def shapes_of(self, oid: int) -> Iterator[tuple[str, RoutedShape]]:
        """Handles and shapes that changes of the table may concern."""
        table = self.tables.get(oid)
        if table is not None:
            yield from list(table.shapes.items())
            yield from [(handle, shape) for handle, (shape, _) in table.suspended.items()]

    def replaced_by(self, message: RelationMessage) -> list[RoutedShape]:
        """Shapes of a table that had this name before and is another one now (section 10.5)."""
        others = self._named.get((message.schema, message.name), set()) - {message.oid}
        return [shape for oid in others for _, shape in self.shapes_of(oid)]

    def describe(self, message: RelationMessage) -> None:
        """The stream says how the tuples of a table are laid out from here on."""
        self.layouts[message.oid] = message
        table = self.tables.get(message.oid)
        layout = tuple(c.name for c in message.columns)
        if table is None:
            return
        shapes = [shape for _, shape in self.shapes_of(message.oid)]
        fits = {shape.handle: mismatch(shape, message) for shape in shapes}
        if table.layout == layout and not table.suspended and not any(fits.values()):
            return
        del self.tables[message.oid]
        for shape in shapes:
            self._attach(shape, message.oid)

    def _attach(self, shape: RoutedShape, oid: int) -> None:
        message = self.layouts.get(oid)
        own = tuple(c.name for c in shape.definition.relation_columns)
        layout = tuple(c.name for c in message.columns) if message else own
        table = self.tables.setdefault(oid, TableRoutes(layout))
        reason = mismatch(shape, message) if message else ""
        if not reason and table.layout != layout:
            reason = "the columns of its table changed"
        if reason:
            table.suspended[shape.handle] = (shape, reason)
            return
        key = view_key(shape.definition, layout)
        view = self.views.get(key)
        if view is None:
            view = self.views[key] = View(shape.definition, layout)
        table.add(shape, view)


def mismatch(shape: RoutedShape, message: RelationMessage) -> str:
    """Why a shape cannot go on with a table of this description, or an empty string (section 10.5).

    Partitions are described under their own oid and name; only their columns are compared.
    """
    definition = shape.definition
    is_own = message.oid == definition.relation_oid
    if is_own and (message.schema, message.name) != (definition.schema, definition.table):
        return "its table was renamed"
    types = {c.name: (c.type_oid, c.type_modifier) for c in message.columns}
    stored = {c.name: (c.type_oid, c.type_modifier) for c in definition.relation_columns}
    if types == stored:
        return ""
    if not definition.has_explicit_columns and set(types) != set(stored):
        return "columns were added to its table or dropped from it"
    filtered = shape.where.columns if shape.where else ()
    for name in sorted({*definition.columns, *definition.key_columns, *filtered}):
        if types.get(name) != stored.get(name):
            return f'column "{name}" was dropped, renamed or changed its type'
    return ""

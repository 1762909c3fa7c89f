"""Router: which shapes does this row belong to?

For each table that has shapes there is a `TableRoutes`. A shape is found by one of three ways:

* it has no condition: every row belongs to it;
* its condition has look-ups (``Where.lookups``): indexes on columns (``indexes``) name the shapes that
  a row concerns, and what is left of the condition is evaluated for those;
* its condition is evaluated for every row, together with all conditions of the same form.

The answer is exact, not a superset. An evaluation that fails as Postgres itself would fail (say,
division by zero) means that the row does not belong; one that only Postgres can decide puts the shape
on a list; any other failure marks the shape to be rotated, so that a mistake of ours costs a download
and never a wrong row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

from django_electric.postgres.pgoutput import RelationMessage, Row
from django_electric.shapes.costs import MOST_AT_ONCE, Costs
from django_electric.shapes.indexes import Index, Texts, index_for
from django_electric.shapes.layouts import Described, SchemaChange, mismatch, outdated
from django_electric.shapes.log_items import View, view_key
from django_electric.shapes.move_index import MovingIndex
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import Moving
from django_electric.shapes.routed import Evaluator, RoutedShape
from django_electric.where import EvaluationError, Key, Lookup, Scan, Undecided, Where
from django_electric.where.lookups import plans_of
from django_electric.where.nodes import TRUE

_NOWHERE: tuple[RoutedShape, ...] = ()
_FEW = 8
"""Shapes of one key that are kept in a tuple; more are kept in a dict, so that one is removed quickly."""

_CROWD = 4
"""So many conditions under one key whose rest has to be evaluated: if others can be looked up differently they are."""

_Lookups = tuple[Lookup, ...]

REMADE = "its table was dropped and made anew"
DROPPED = "its table was dropped"
UNPUBLISHED = "its table was taken out of the publication"


class Bucket:
    """The shapes that share a key of an index."""

    __slots__ = ("exact", "rest")

    def __init__(self) -> None:
        self.exact: Sequence[RoutedShape] | dict[RoutedShape, None] = ()
        """A hit belongs to these without another look."""
        self.rest: dict[RoutedShape, Evaluator] | None = None
        """A hit belongs to these if the rest of the condition is true."""

    def add(self, shape: RoutedShape, rest: Evaluator | None) -> None:
        """*rest*: what is left of the shape's condition."""
        if rest is not None:
            self.rest = self.rest or {}
            self.rest[shape] = rest
        elif isinstance(self.exact, dict):
            self.exact[shape] = None
        elif len(self.exact) < _FEW:
            self.exact = (*self.exact, shape)
        else:
            self.exact = dict.fromkeys([*self.exact, shape])

    def remove(self, shape: RoutedShape) -> None:
        """Harmless if the shape is not here."""
        if self.rest is not None:
            self.rest.pop(shape, None)
            self.rest = self.rest or None
        if isinstance(self.exact, dict):
            self.exact.pop(shape, None)
        elif shape in self.exact:
            self.exact = tuple(other for other in self.exact if other is not shape)

    def __bool__(self) -> bool:
        return bool(self.exact or self.rest)

    def shapes(self) -> list[RoutedShape]:
        """All of them."""
        return [*self.exact, *(self.rest or ())]


class _Scanned:
    """Shapes whose conditions are of one form, to be evaluated together."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.entries: dict[RoutedShape, tuple[object, ...]] = {}
        """What is particular to each condition."""


class TableRoutes:
    """The shapes of one table, for rows of one layout."""

    def __init__(self, layout: tuple[str, ...], costs: Costs | None = None) -> None:
        self.layout = layout
        self._costs = costs
        self.positions = {name: i for i, name in enumerate(layout)}
        self.shapes: dict[str, RoutedShape] = {}
        self.views: dict[str, View] = {}
        """How each shape sees rows of this layout."""
        self.suspended: dict[str, tuple[RoutedShape, str]] = {}
        """Shapes that the present layout does not fit, and why; a change that their snapshot does
        not see rotates them."""
        self.failed: dict[str, RoutedShape] = {}
        self.undecided: list[RoutedShape] = []
        """Shapes about which Postgres has to be asked whether the last rows belong to them; whoever
        calls `matches` takes them away."""
        self.moving: MovingIndex | None = None
        """Shapes that decide by themselves which changes are their own, if there are any: every change asks."""
        self._always: dict[RoutedShape, None] = {}
        self._asked: dict[RoutedShape, Evaluator] = {}
        self._unknown: dict[RoutedShape, None] = {}
        """Shapes about which nothing can be told here."""
        self._scans: dict[Scan, _Scanned] = {}
        self._scanned: dict[RoutedShape, _Scanned] = {}
        self._indexes: dict[tuple[str, object], Index[Bucket]] = {}
        """By column and sort."""
        self._looked: list[tuple[int, Index[Bucket]]] = []
        self._chosen: dict[RoutedShape, _Lookups] = {}
        """The look-ups of shapes that have others than those that look best."""
        self._elsewhere: dict[tuple[str, Key], int] = {}
        """How many shapes would be found by a key if they were not found by others."""
        self._alternatives = 0
        """How many shapes have several look-ups."""
        self._single: tuple[int, dict[str | None, Bucket]] | None = None
        """If there is nothing but one index by text: its column and its buckets."""

    # -- shapes come and go --------------------------------------------------------------------------

    def add(self, shape: RoutedShape, view: View) -> None:
        """Route rows to *shape* from now on. O(log n) for each of its look-ups."""
        self.shapes[shape.handle] = shape
        self.views[shape.handle] = view
        if isinstance(shape, Moving):
            self.moving = self.moving or MovingIndex(self.positions)
            self.moving.add(shape, view)
            return
        where = shape.where
        lookups = None if where is None else where.lookups()
        if where is None:
            self._always[shape] = None
        elif lookups is not None:
            self._file(shape, where, lookups, self._choose(where, lookups))
        elif where.is_delegated and where.tree == TRUE:
            self._unknown[shape] = None
        elif where.is_delegated:
            self._asked[shape] = where.compile(self.positions)
        else:
            scan, constants = where.compile_scan(self.positions)
            group = self._scans.get(scan)
            if group is None:
                group = self._scans[scan] = _Scanned(scan)
            group.entries[shape] = constants
            self._scanned[shape] = group
        self._find_single()

    def _choose(self, where: Where, best: _Lookups) -> _Lookups:
        """The look-ups to find a shape by: those that few others share, which no condition knows of itself."""
        crowd = self._crowd(best)
        if crowd < _CROWD:
            return best
        if crowd == _CROWD:
            self._disperse(best)
        return min(plans_of(where.tree), key=self._crowd)

    def _disperse(self, crowded: _Lookups) -> None:
        """Find the few shapes that share a key by others, if they have any."""
        for lookup in crowded:
            index = self._indexes.get((lookup.column, index_for(lookup.key)[0]))
            bucket = None if index is None else index.get(lookup.key)
            for shape in list(bucket.rest or ()) if bucket is not None else ():
                where = shape.where
                best = None if where is None else where.lookups()
                if where is not None and best is not None:
                    self._unfile(shape, best)
                    plan = min(plans_of(where.tree), key=self._crowd)
                    self._file(shape, where, best, plan)

    def _file(self, shape: RoutedShape, where: Where, best: _Lookups, lookups: _Lookups) -> None:
        """By *lookups*, which may be others than the *best*."""
        if lookups != best:
            self._chosen[shape] = lookups
            self._note_elsewhere(best, 1)
        self._alternatives += len(lookups) > 1
        for lookup in lookups:
            rest = where.residual_evaluator(lookup, self.positions)
            self._index(lookup).bucket(lookup.key, Bucket).add(shape, rest)

    def _unfile(self, shape: RoutedShape, best: _Lookups) -> None:
        lookups = self._chosen.pop(shape, best)
        if lookups != best:
            self._note_elsewhere(best, -1)
        self._alternatives -= len(lookups) > 1
        for lookup in lookups:
            self._remove_lookup(shape, lookup)

    def _note_elsewhere(self, best: _Lookups, change: int) -> None:
        for place in [(lookup.column, lookup.key) for lookup in best]:
            count = self._elsewhere.pop(place, 0) + change
            if count:
                self._elsewhere[place] = count

    def _crowd(self, lookups: _Lookups) -> int:
        """How many conditions would be evaluated when one of these hits, at most, if none were found otherwise."""
        crowd = 0
        for lookup in lookups:
            if lookup.residual is not None:
                index = self._indexes.get((lookup.column, index_for(lookup.key)[0]))
                bucket = None if index is None else index.get(lookup.key)
                here = len(bucket.rest or ()) if bucket is not None else 0
                crowd = max(crowd, here + self._elsewhere.get((lookup.column, lookup.key), 0))
        return crowd

    def _index(self, lookup: Lookup) -> Index[Bucket]:
        sort, make = index_for(lookup.key)
        index = self._indexes.get((lookup.column, sort))
        if index is None:
            index = self._indexes[lookup.column, sort] = make()
            self._looked.append((self.positions[lookup.column], index))
        return index

    def remove(self, shape: RoutedShape) -> None:
        """Stop routing rows to *shape*; harmless if it is not here."""
        self.views.pop(shape.handle, None)
        self.suspended.pop(shape.handle, None)
        self.failed.pop(shape.handle, None)
        if self.shapes.pop(shape.handle, None) is None:
            return
        if isinstance(shape, Moving):
            if self.moving is not None:
                self.moving.remove(shape)
                self.moving = self.moving or None
            return
        where = shape.where
        lookups = None if where is None else where.lookups()
        if where is None:
            del self._always[shape]
        elif lookups is not None:
            self._unfile(shape, lookups)
        elif where.is_delegated:
            self._unknown.pop(shape, None)
            self._asked.pop(shape, None)
        else:
            group = self._scanned.pop(shape)
            del group.entries[shape]
            if not group.entries:
                del self._scans[group.scan]
        self._find_single()

    def _remove_lookup(self, shape: RoutedShape, lookup: Lookup) -> None:
        sort, _ = index_for(lookup.key)
        index = self._indexes.get((lookup.column, sort))
        bucket = index.get(lookup.key) if index is not None else None
        if index is None or bucket is None:
            return
        bucket.remove(shape)
        if not bucket:
            index.drop(lookup.key)
        if not len(index):
            del self._indexes[lookup.column, sort]
            self._looked = [pair for pair in self._looked if pair[1] is not index]

    def _find_single(self) -> None:
        self._single = None
        if len(self._looked) == 1 and not (
            self._always or self._asked or self._unknown or self._scans or self._alternatives
        ):
            ((at, index),) = self._looked
            self._single = (at, index.buckets) if isinstance(index, Texts) else None

    # -- rows ------------------------------------------------------------------------------------------

    def matches(self, row: Row) -> Sequence[RoutedShape]:
        """The shapes that *row* belongs to, each once. It is not the caller's to change."""
        if self._single is not None:
            at, buckets = self._single
            bucket = buckets.get(row[at])
            if bucket is None:
                return _NOWHERE
            if bucket.rest is None and type(bucket.exact) is tuple:
                return bucket.exact
        if self._costs is not None and (self._scans or self._looked) and self._costs.is_due():
            self._measure(row, self._costs)
        found = list(self._always)
        for at, index in self._looked:
            try:
                hits = index.find(row[at])
            except Exception:  # then all of them are candidates
                hits = ()
                self._evaluate_all((s for b in index for s in b.shapes()), row, found)
            for bucket in hits:
                found += bucket.exact
                if bucket.rest is not None:
                    self._evaluate(bucket.rest.items(), row, found)
        if self._asked:
            self._evaluate(self._asked.items(), row, found)
        if self._unknown:
            self.undecided += self._unknown
        for group in self._scans.values():
            self._scan(group, row, found)
        return list(dict.fromkeys(found)) if self._alternatives and len(found) > 1 else found

    def take_undecided(self) -> Sequence[RoutedShape]:
        """The shapes that Postgres has to be asked about; not the caller's to change."""
        if not self.undecided:
            return _NOWHERE
        undecided, self.undecided = self.undecided, []
        return list(dict.fromkeys(undecided))

    def _evaluate(
        self,
        candidates: Iterable[tuple[RoutedShape, Evaluator]],
        row: Row,
        found: list[RoutedShape],
    ) -> None:
        for shape, evaluate in candidates:
            try:
                if evaluate(row) is True:
                    found.append(shape)
            except EvaluationError:
                continue
            except Undecided:
                self.undecided.append(shape)
            except Exception:  # whatever it was, the shape can no longer be trusted
                self.failed[shape.handle] = shape

    def _evaluate_all(
        self, shapes: Iterable[RoutedShape], row: Row, found: list[RoutedShape]
    ) -> None:
        """By their whole conditions: slow, for rows that an index or a scan stumbles over."""
        whole = ((s, s.where.compile(self.positions)) for s in shapes if s.where is not None)
        self._evaluate(whole, row, found)

    def _scan(self, group: _Scanned, row: Row, found: list[RoutedShape]) -> None:
        failed: list[Any] = []
        before = len(found), len(self.undecided)
        try:
            group.scan(row, group.entries.items(), found, self.undecided, failed)
        except Exception:  # a column that cannot be read may not matter to all of them
            del found[before[0] :], self.undecided[before[1] :]
            self._evaluate_all(group.entries, row, found)
        for shape in failed:
            self.failed[shape.handle] = shape

    def _measure(self, row: Row, costs: Costs) -> None:
        """How long the conditions take that are evaluated for *row*, each on its own."""
        for group in self._scans.values():
            start = costs.next_place(len(group.entries))
            for entry in islice(group.entries.items(), start, start + MOST_AT_ONCE):
                self._time(costs, entry[0], partial(group.scan, row, (entry,), [], [], []))
        for at, index in self._looked:
            with suppress(Exception):  # such a row makes candidates of all, and says nothing of one
                for bucket in index.find(row[at]):
                    for shape, evaluate in islice((bucket.rest or {}).items(), MOST_AT_ONCE):
                        self._time(costs, shape, partial(evaluate, row))

    @staticmethod
    def _time(costs: Costs, shape: RoutedShape, evaluate: Callable[[], object]) -> None:
        if shape.where is None or shape.where.is_delegated:
            return
        began = costs.clock()
        with suppress(Exception):  # what it is matters where it is evaluated in earnest
            evaluate()
        costs.add(shape.log_handle, costs.clock() - began)

    def __bool__(self) -> bool:
        return bool(self.shapes or self.suspended)


Views = WeakValueDictionary[tuple[object, ...], View]
"""Views that are in use, to be shared by shapes that see alike."""


class Router:
    """All tables that have shapes, by the oid of the table that changes are named after."""

    def __init__(self, views: Views | None = None, costs: Costs | None = None) -> None:
        """*views*: those of another router, to share. *costs*: where to note what conditions cost."""
        self._costs = costs
        self.tables: dict[int, TableRoutes] = {}
        self.layouts: dict[int, RelationMessage] = {}
        """The last description of each table in this connection's stream."""
        self.views: Views = WeakValueDictionary() if views is None else views
        self._named: dict[tuple[str, str], set[int]] = {}
        """The tables that shapes knew by a name: more than one if a table was made anew."""
        self.moving: dict[str, MovingShape] = {}
        """Shapes whose conditions have subqueries, by their handles."""
        self._leaves: dict[str, tuple[int, ...]] = {}
        """The partitions that each shape is routed from, beside its own table; if there are any."""

    def add(self, shape: RoutedShape, leaves: Iterable[int] = ()) -> None:
        """Route the changes of the shape's table, and of its partitions *leaves*, to *shape*; to its subqueries
        those of theirs.
        """
        if isinstance(shape, MovingShape):
            self.moving[shape.handle] = shape
            for part in shape.all_parts():
                self.add(part)
        definition = shape.definition
        named = self._named.setdefault((definition.schema, definition.table), set())
        named.add(definition.relation_oid)
        self._attach(shape, definition.relation_oid)
        leaves = tuple(leaves)
        if leaves:
            self._leaves[shape.handle] = leaves
        for oid in leaves:
            self._attach(shape, oid)

    def served(self, shape: RoutedShape) -> RoutedShape:
        """The shape that a subquery is part of; any other shape itself."""
        return self.moving.get(shape.log_handle, shape) if self.moving else shape

    def add_leaf(self, root: int, leaf: int) -> bool:
        """A partition *leaf* of *root* has appeared: its changes concern the root's shapes.

        Whether it is new to one of them.
        """
        is_new = False
        for handle, shape in list(self.shapes_of(root)):
            if leaf not in self._homes_of(shape):
                self._leaves[handle] = (*self._leaves.get(handle, ()), leaf)
                self._attach(shape, leaf)
                is_new = True
        return is_new

    def remove(self, shape: RoutedShape) -> None:
        """Forget *shape* and its subqueries; harmless if it is not here."""
        if self.moving.pop(shape.handle, None) is not None and isinstance(shape, MovingShape):
            for part in shape.all_parts():
                self.remove(part)
        homes = self._homes_of(shape)
        self._leaves.pop(shape.handle, None)
        for oid in homes:
            table = self.tables.get(oid)
            if table is not None:
                table.remove(shape)
                if not table:
                    self._forget_table(oid, shape)

    def _homes_of(self, shape: RoutedShape) -> tuple[int, ...]:
        """The tables that a shape is routed from."""
        return (shape.definition.relation_oid, *self._leaves.get(shape.handle, ()))

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

    def replaced_by(self, table: Described) -> list[RoutedShape]:
        """Shapes of a table that had this name before and is another one now (section 10.5)."""
        others = self._named.get((table.schema, table.name), set()) - {table.oid}
        return [shape for oid in others for _, shape in self.shapes_of(oid)]

    def outdated_by(self, change: SchemaChange) -> Iterator[tuple[RoutedShape, str]]:
        """Shapes that cannot go on, and why."""
        for table in change.tables:
            yield from outdated((shape for _, shape in self.shapes_of(table.oid)), table)
            for shape in self.replaced_by(table):
                yield shape, REMADE
        for oids, reason in ((change.dropped, DROPPED), (change.unpublished, UNPUBLISHED)):
            for oid in oids:
                yield from ((shape, reason) for _, shape in self.shapes_of(oid))

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
        for shape in shapes:
            table.remove(shape)
        del self.tables[message.oid]
        for shape in shapes:
            self._attach(shape, message.oid)

    def _attach(self, shape: RoutedShape, oid: int) -> None:
        message = self.layouts.get(oid)
        own = tuple(c.name for c in shape.definition.relation_columns)
        layout = tuple(c.name for c in message.columns) if message else own
        table = self.tables.setdefault(oid, TableRoutes(layout, self._costs))
        reason = mismatch(shape, message) if message else ""
        if not reason and table.layout != layout:
            reason = "the columns of its table changed"
        if reason:
            table.suspended[shape.handle] = (shape, reason)
            return
        key = (shape.view_type, *view_key(shape.definition, layout))
        view = self.views.get(key)
        if view is None:
            view = self.views[key] = shape.view_type(shape.definition, layout)
        table.add(shape, view)

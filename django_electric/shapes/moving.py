"""Moving: what shapes and subqueries have in common whose conditions have subqueries (see `moves`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol, cast

from django_electric.postgres.pgoutput import Row
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import (
    ENTRY_END,
    Headers,
    Item,
    View,
    headers_for,
)
from django_electric.shapes.members import Members, Value
from django_electric.shapes.move_sql import (
    condition_sql,
    counts_statement,
    told_sql,
)
from django_electric.shapes.routed import HELD_BYTES, TOO_MUCH, RoutedShape, Sink, complete
from django_electric.shapes.subquery_rows import (
    MembersSink,
    PartOfShape,
    Rows,
    ValueView,
    canonical_rows,
)
from django_electric.shapes.tags import Pattern, RowPlan
from django_electric.where.plan import Contained, Plan


class RawChange(NamedTuple):
    """A change as the stream brought it."""

    view: View
    plan: RowPlan
    op: int
    old: Row | None
    new: Row | None


class Kept(NamedTuple):
    """A transaction that waits until it is known what the log has been told before it."""

    xid: int
    tx: int
    changes: list[RawChange]
    rotates: str


class MoveRequest(NamedTuple):
    """What has to be read from Postgres, all by one snapshot; `moved` of the shape takes it."""

    shape: Moving
    copy: str = ""
    """``COPY`` of entries, if it is a shape."""
    selects: Sequence[str] = ()
    """Queries of counts and values (`counts_statement`)."""


class MoveAnswer(NamedTuple):
    """What was read."""

    rows: Sequence[bytes] = ()
    """Entries, with their ends."""
    found: Sequence[Rows] = ()
    """By each of the queries."""


class Turn(NamedTuple):
    """A row that a subquery gives now and did not, or the other way round."""

    number: int
    """Which subquery."""
    row: Value
    change: int
    """1 or -1."""


class Effect(NamedTuple):
    """A literal that turns for every row that compares *value*."""

    position: int
    literal: Contained
    value: Value


class Cause(NamedTuple):
    """A transaction by which subqueries turned."""

    xid: int
    tx: int


class Move(NamedTuple):
    """Rows are being read: what the log is going to be told with them."""

    turns: Sequence[Turn]
    gone: Sequence[Pattern] = ()
    come: Sequence[Pattern] = ()
    asked: Sequence[tuple[int, Contained]] = ()
    """Literals, with their positions, of which only the values of the rows tell which are gone and which have come."""
    xids: Sequence[int] = ()


class Index(Protocol):
    """Where a shape is filed by what it has been told."""

    def look_at(self, shape: Moving) -> None: ...

    def turned(self, shape: Moving, number: int, row: Value, change: int) -> None: ...


class Moving(RoutedShape):
    """A shape, or a subquery, whose condition has subqueries."""

    __slots__ = (
        "_changes", "_kept", "_kept_bytes", "_move", "_plans", "anchors", "indexes", "parts", "plan", "told",
    )  # fmt: skip

    def __init__(self, handle: str, definition: ShapeDefinition, sink: Sink) -> None:
        super().__init__(handle, definition, sink)
        self.plan = _plan_of(definition)
        self.parts = list(_parts_of(handle, definition, self.plan))
        self.told = [part.members.empty_copy() for part in self.parts]
        """The rows of the subqueries, each once, as the log has been told."""
        self._plans: dict[tuple[str, ...], RowPlan] = {}
        self._changes: list[RawChange] = []
        """Of the transaction under way, while changes are kept."""
        self._kept: list[Kept] = []
        self._kept_bytes = 0
        self._move: Move | None = None
        self.anchors = _anchors_of(self.plan)
        """Columns and the number of the subquery that gives them to every row that belongs: one pair of each
        alternative. None if there is an alternative that has none."""
        self.indexes: list[Index] = []
        """Where it is filed."""

    def all_parts(self) -> Iterator[PartOfShape | PartWithParts]:
        """Its subqueries and theirs, the innermost first."""
        for part in self.parts:
            if isinstance(part, Moving):
                yield from part.all_parts()
            yield part

    @property
    def keeps(self) -> bool:
        """Whether changes are kept: it is starting, or rows are being read."""
        return self.held is not None or self._move is not None

    def _keep_for(self, move: Move | None) -> None:
        """Rows are being read from now on, or no more."""
        self._move = move
        self._kept_changes()

    def _kept_changes(self) -> None:
        for index in self.indexes:
            index.look_at(self)

    def route(
        self,
        view: View,
        layout: tuple[str, ...],
        change: tuple[int, Row | None, Row | None],
        xid: int,
        tx: int,
    ) -> int:
        """A change of its table: *change* is its op, the old and the new row. How many bytes it adds to the
        transaction, 0 if it does not concern the shape.
        """
        plan = self._plans.get(layout)
        if plan is None:
            places = {name: at for at, name in enumerate(layout)}
            plan = self._plans[layout] = RowPlan(self.plan, self.definition, places)
        raw = RawChange(view, plan, *change)
        if self.keeps:
            self._changes.append(raw)
            self._kept_bytes += 200 + sum(
                len(text) for row in (raw.old, raw.new) for text in row or () if text
            )
            if self._kept_bytes > HELD_BYTES:
                self.rotates = self.rotates or TOO_MUCH
                self._changes = []
            return 1
        size = 0
        for op, text in self._items(raw, xid, tx):
            self.take(op, text)
            size += len(text)
        return size

    def _items(self, raw: RawChange, xid: int, tx: int) -> list[Item]:
        view, plan, op, old, new = raw
        was_in = old is not None and plan.matches(old, self.told)
        is_in = new is not None and plan.matches(new, self.told)
        if not (was_in or is_in):
            return []
        headers = headers_for(view.relation, xid, tx)
        return self._entries(
            view, plan, headers, op, old if was_in else None, new if is_in else None
        )

    @abstractmethod
    def _entries(
        self, view: View, plan: RowPlan, headers: Headers, op: int, old: Row | None, new: Row | None
    ) -> list[Item]:
        """What a row that was in, a row that is in, or both make."""

    def end_transaction(self, xid: int, tx: int) -> str:
        """See `RoutedShape`; while changes are kept, so are transactions."""
        if not self.keeps:
            return super().end_transaction(xid, tx)
        changes, rotates = self._changes, self.rotates
        self._changes, self.rotates = [], ""
        self._kept.append(Kept(xid, tx, changes, rotates))
        return rotates if self.held is None else ""

    def spill(self, xid: int, tx: int) -> None:
        """See `RoutedShape`. What is kept is not in the texts."""
        if not self.keeps:
            super().spill(xid, tx)

    def abandon_transaction(self) -> None:
        super().abandon_transaction()
        self._changes = []

    def _take_kept(self) -> list[Kept]:
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        return kept

    def _begin(self, snapshot: PgSnapshot) -> str:
        """Its first rows are those that *snapshot* sees, and what they are is told; why it cannot go on, or nothing."""
        self.held, self.snapshot = None, snapshot
        self._kept_changes()
        for kept in self._take_kept():
            if self.sees(kept.xid, kept.tx):
                continue
            if kept.rotates:
                return kept.rotates
            items = [item for raw in kept.changes for item in self._items(raw, kept.xid, kept.tx)]
            if items:
                ops, texts = zip(*items, strict=True)
                self.sink.append(kept.tx, list(ops), complete(texts))
        return ""

    def take_up_open(self, xid: int, tx: int) -> None:
        """Changes are no longer kept, in the middle of a transaction."""
        changes, self._changes = self._changes, []
        for raw in changes:
            for op, text in self._items(raw, xid, tx):
                self.take(op, text)

    # -- what is told ----------------------------------------------------------------------------------

    def _begin_telling(self) -> None:
        """What the subqueries give is what the first rows are told by."""
        for told, part in zip(self.told, self.parts, strict=True):
            told.replace((row, 1) for row in part.members)
            told.settle()
        for index in self.indexes:
            for number, told in enumerate(self.told):
                for row in told:
                    index.turned(self, number, row, 1)

    def _take_turns(self) -> list[Turn]:
        """What is otherwise by now than what has been told."""
        turns = []
        for number, (told, part) in enumerate(zip(self.told, self.parts, strict=True)):
            members = part.members
            turns += [
                Turn(number, row, 1 if row in members else -1)
                for row in members.turned
                if (row in members) != (row in told)
            ]
            members.settle()
        return turns

    def _tell(self, turns: Iterable[Turn], wide: Collection[int] = ()) -> list[Effect]:
        """This is told from now on; what becomes of it, but for what minds NULLs of the subqueries *wide*."""
        for number, row, change in turns:
            self.told[number].add(row, change)
            for index in self.indexes:
                index.turned(self, number, row, change)
        effects = []
        for position, literal in self.plan.literals():
            if isinstance(literal, Contained) and not is_wide(literal, wide):
                told = self.told[literal.dependency]
                turned = (
                    (value for value in told.turned_excluded if not told.is_covered(value))
                    if minds_nulls(literal)
                    else (row for row in told.turned if None not in row)
                )
                effects += [Effect(position, literal, value) for value in turned]
        for told in self.told:
            told.settle()
        return effects

    def _untell(self, turns: Iterable[Turn]) -> None:
        self._tell(Turn(number, row, -change) for number, row, change in turns)


class PartWithParts(Moving):
    """A subquery whose condition has subqueries itself."""

    __slots__ = ("members",)
    view_type: ClassVar[type[View]] = ValueView

    def __init__(self, handle: str, definition: ShapeDefinition, members: Members) -> None:
        super().__init__(handle, definition, MembersSink(members))
        self.members = members

    def _entries(
        self, view: View, plan: RowPlan, headers: Headers, op: int, old: Row | None, new: Row | None
    ) -> list[Item]:
        if old is None:
            return view.inserted(headers, op, cast(Row, new))
        return (
            view.deleted(headers, op, old) if new is None else view.updated(headers, op, old, new)
        )

    def ask(self) -> MoveRequest | None:
        """What has to be read because its subqueries turned, unless it is being read."""
        if self.keeps or not (turns := self._take_turns()):
            return None
        self._tell(turns)
        condition = condition_sql(self.plan, told_sql(self.told))
        select = counts_statement(self.definition, self.definition.columns, condition)
        self._untell(turns)
        self._keep_for(Move(turns))
        return MoveRequest(self, selects=(select,))

    def moved(self, snapshot: PgSnapshot, answer: MoveAnswer) -> str:
        """It has been read; why the shape cannot go on, or nothing."""
        assert self._move is not None, "nothing was asked for"
        move = self._move
        self._keep_for(None)
        self._tell(move.turns)
        (rows,) = answer.found
        self.members.replace(canonical_rows(self.definition, self.definition.columns, rows))
        for kept in self._take_kept():
            if snapshot.sees(kept.xid):
                continue
            if kept.rotates:
                return kept.rotates
            items = [item for raw in kept.changes for item in self._items(raw, kept.xid, kept.tx)]
            self.sink.append(kept.tx, [], [text + ENTRY_END for _, text in items])
        return ""


def minds_nulls(literal: Contained) -> bool:
    """Whether it asks what is excluded."""
    return literal.membership in ("not in", "not false")


def is_wide(literal: Contained, wide: Collection[int]) -> bool:
    """Whether it turns for more values than can be counted, if rows with NULLs of the subqueries *wide* turn."""
    return literal.dependency in wide and minds_nulls(literal)


def _anchors_of(plan: Plan) -> frozenset[tuple[tuple[str, ...], int]] | None:
    anchors = set()
    for literals in plan.alternatives:
        within = [
            (one.columns, one.dependency)
            for one in literals
            if isinstance(one, Contained) and one.membership == "in"
        ]
        if not within:
            return None
        anchors.add(within[0])
    return frozenset(anchors)


def _plan_of(definition: ShapeDefinition) -> Plan:
    plan = definition.plan()
    assert plan is not None, "a condition with subqueries has a plan"
    return plan


def _parts_of(
    handle: str, definition: ShapeDefinition, plan: Plan
) -> Iterator[PartOfShape | PartWithParts]:
    nullable = {c.name: not c.not_null for c in definition.relation_columns}
    for number, dependency in enumerate(definition.dependencies):
        uses = [
            one
            for _, one in plan.literals()
            if isinstance(one, Contained) and one.dependency == number
        ]
        members = Members(
            [
                any(nullable[use.columns[at]] for use in uses)
                for at in range(len(dependency.columns))
            ],
            counts_excluded=any(map(minds_nulls, uses)),
        )
        kind = PartWithParts if dependency.dependencies else PartOfShape
        yield kind(f"{handle}/{number}", dependency, members)

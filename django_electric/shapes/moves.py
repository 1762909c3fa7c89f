"""Moves: shapes whose rows also come and go because of what other tables hold (WHERE.md section 14.4).

A `MovingShape` decides by itself which changes are its own, by what its log *has been told* of its
subqueries. When their rows change, the log is told by a move:

* What goes is one message: clients drop the rows whose tags it names. It follows at once, after the
  transaction that caused it.
* What comes must be read from Postgres, at a moment that lies behind the transaction. From then on until the
  stream has passed that moment, the shape keeps its changes as they are. Then the log gets, in this order,
  those that the query has seen, by what it was told before; the move, and the rows; and those that the
  query has not seen, by what it has been told now.

What turns meanwhile is told by a move after that. So a log is, at every transaction that it ends with,
what the query would give if the subqueries gave what it has been told.

A subquery whose own condition has subqueries is read anew, whole, whenever those turn.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, Protocol, cast

from django_electric.postgres.pgoutput import Row
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import (
    ENTRY_END,
    Headers,
    Item,
    View,
    delete_items,
    headers_for,
    insert_items,
    moved_items,
    update_items,
)
from django_electric.shapes.members import Members, Value, value_reader
from django_electric.shapes.move_sql import (
    LeafSql,
    condition_sql,
    like_sql,
    members_statement,
    told_sql,
)
from django_electric.shapes.routed import HELD_BYTES, TOO_MUCH, RoutedShape, Sink, complete
from django_electric.shapes.snapshot_sql import move_statement
from django_electric.shapes.tags import Pattern, RowPlan, hash_of, move_event, tags_json
from django_electric.where.plan import Contained, Plan

Rows = Iterable[tuple[Value, int]]
"""What a subquery gives: each row, and how often."""
_NULLS: Final = "what it compares by NOT IN has come to hold a NULL, or holds one no more"


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
    """Rows that have to be read from Postgres; `Moving.moved` takes them."""

    shape: Moving
    statement: str
    """``COPY`` of entries for a shape; for a subquery, a SELECT of counts and values."""


# --- The rows of subqueries ---------------------------------------------------------------------------


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


# --- What decides by itself ---------------------------------------------------------------------------


class _Turn(NamedTuple):
    """A row that a subquery gives now and did not, or the other way round."""

    number: int
    """Which subquery."""
    row: Value
    change: int
    """1 or -1."""


class _Effect(NamedTuple):
    """A literal that turns for every row that compares *value*."""

    position: int
    literal: Contained
    value: Value


class _Cause(NamedTuple):
    """A transaction by which subqueries turned."""

    xid: int
    tx: int


class _Move(NamedTuple):
    """Rows are being read: what the log is going to be told with them."""

    turns: Sequence[_Turn]
    patterns: Sequence[Pattern] = ()
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
        self._move: _Move | None = None
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

    def _keep_for(self, move: _Move | None) -> None:
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

    def _take_turns(self) -> list[_Turn]:
        """What is otherwise by now than what has been told."""
        turns = []
        for number, (told, part) in enumerate(zip(self.told, self.parts, strict=True)):
            members = part.members
            turns += [
                _Turn(number, row, 1 if row in members else -1)
                for row in members.turned
                if (row in members) != (row in told)
            ]
            members.settle()
        return turns

    def _tell(self, turns: Iterable[_Turn]) -> list[_Effect]:
        """This is told from now on; what becomes of it."""
        for number, row, change in turns:
            self.told[number].add(row, change)
            for index in self.indexes:
                index.turned(self, number, row, change)
        effects = []
        for position, literal in self.plan.literals():
            if isinstance(literal, Contained):
                told = self.told[literal.dependency]
                turned = (
                    told.turned_excluded
                    if _minds_nulls(literal)
                    else (row for row in told.turned if None not in row)
                )
                effects += [_Effect(position, literal, value) for value in turned]
        for told in self.told:
            told.settle()
        return effects

    def _untell(self, turns: Iterable[_Turn]) -> None:
        self._tell(_Turn(number, row, -change) for number, row, change in turns)


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
        statement = members_statement(
            self.definition, condition_sql(self.plan, told_sql(self.told))
        )
        self._untell(turns)
        self._keep_for(_Move(turns))
        return MoveRequest(self, statement)

    def moved(self, snapshot: PgSnapshot, rows: Rows) -> str:
        """It has been read; why the shape cannot go on, or nothing."""
        assert self._move is not None, "nothing was asked for"
        move = self._move
        self._keep_for(None)
        self._tell(move.turns)
        self.members.replace(_canonical(self.definition, rows))
        for kept in self._take_kept():
            if snapshot.sees(kept.xid):
                continue
            if kept.rotates:
                return kept.rotates
            items = [item for raw in kept.changes for item in self._items(raw, kept.xid, kept.tx)]
            self.sink.append(kept.tx, [], [text + ENTRY_END for _, text in items])
        return ""


class MovingShape(Moving):
    """A shape whose condition has subqueries."""

    __slots__ = ("_causes", "_ended", "_has_spilt")

    def __init__(self, handle: str, definition: ShapeDefinition, sink: Sink) -> None:
        super().__init__(handle, definition, sink)
        self._causes: list[_Cause] = []
        """Transactions by which subqueries turned, that no move has told of."""
        self._ended: tuple[list[int], list[bytes]] = ([], [])
        """What the transaction that has just ended gave."""
        self._has_spilt = False

    def _entries(
        self, view: View, plan: RowPlan, headers: Headers, op: int, old: Row | None, new: Row | None
    ) -> list[Item]:
        salt, told = self.handle, self.told
        if old is None:
            assert new is not None, "a change has an old row or a new one"
            return _tagged(
                insert_items(view, headers, op, new), plan.tags(new, salt), plan.active(new, told)
            )
        if new is None:
            return _tagged(
                delete_items(view, headers, op, old), plan.tags(old, salt), plan.active(old, told)
            )
        before, after = plan.tags(old, salt), plan.tags(new, salt)
        removed = [tag for tag in before if tag not in after]
        active = plan.active(new, told)
        items = update_items(view, headers, op, old, new)
        if not items and (removed or active != plan.active(old, told)):
            # Nothing that the client sees of the row has changed, but when it has to let go of it.
            items = moved_items(view, headers, op, old, new)
        if len(items) == 2:  # a new key
            gone, come = items
            return [
                *_tagged([gone], [*after, *removed], plan.active(old, told)),
                *_tagged([come], after, active),
            ]
        return _tagged(items, after, active, removed)

    # -- its beginning -----------------------------------------------------------------------------

    def begin(self, snapshot: PgSnapshot, members: Mapping[str, Rows]) -> str:
        """The visibility of its snapshot is known, and with it what all subqueries gave, by their handles.

        Why the shape has to be rotated, or an empty string.
        """
        parts = list(self.all_parts())
        for part in parts:
            part.members.replace(_canonical(part.definition, members.get(part.handle, ())))
            part.members.settle()
        for moving in self.starting():
            moving._begin_telling()
        for part in parts:
            reason = part._begin(snapshot) if isinstance(part, Moving) else part.join(snapshot)
            if reason:
                return reason
        return self._begin(snapshot)

    def members_statements(self) -> dict[str, str]:
        """By the handles of all its subqueries, the queries of what they give."""
        return {part.handle: members_statement(part.definition) for part in self.all_parts()}

    @property
    def is_behind(self) -> bool:
        """Whether rows are being read that the log is to have."""
        return self.keeps or any(
            isinstance(part, Moving) and part.keeps for part in self.all_parts()
        )

    def starting(self) -> Iterator[Moving]:
        """All that may have kept changes of a transaction that is still under way."""
        yield from (part for part in self.all_parts() if isinstance(part, Moving))
        yield self

    def is_moved_by(self, other: Moving) -> bool:
        """Whether it is *other*, or has it as a subquery: not another incarnation of it."""
        return other is self or any(other is part for part in self.all_parts())

    # -- moves -------------------------------------------------------------------------------------

    def end_transaction(self, xid: int, tx: int) -> str:
        """See `RoutedShape`; what it gave is appended by `settle`, which has to be called then."""
        if self.keeps:
            return super().end_transaction(xid, tx)
        ops, texts, rotates = self.ops, self.texts, self.rotates
        self.ops, self.texts, self.rotates = [], [], ""
        if tx <= self.sink.last_tx or self.sees(xid, tx):
            return ""
        self._ended = ops, complete(texts) if texts else []
        return rotates

    def spill(self, xid: int, tx: int) -> None:
        super().spill(xid, tx)
        self._has_spilt = not self.keeps

    def abandon_transaction(self) -> None:
        super().abandon_transaction()
        self._has_spilt = False

    def settle(self, xid: int, tx: int) -> tuple[list[MoveRequest], str]:
        """All shapes and subqueries have ended a transaction: append what it gave, tell of what has turned by
        it, or say what has to be read for that. Why the shape has to be rotated instead, or an empty string.

        The offset of a log's end says up to which transaction it is complete (PROTOCOL section 5). So what
        a transaction gives whose move is not told yet stands right before it.
        """
        if self.held is not None:
            return [], ""
        if any(part.members.turned for part in self.all_parts()):
            self._causes.append(_Cause(xid, tx))
        batch: list[bytes] = []
        requests, reason = self._settle(batch)
        (ops, entries), self._ended = self._ended, ([], [])
        at = tx - 1 if self.is_behind and not self._has_spilt else tx
        self._has_spilt = False
        if not reason:
            self._append(at, [*entries, *batch], ops)
        return requests, reason

    def unsettled(self, position: int) -> tuple[list[MoveRequest], str]:
        """A subquery has been read: tell of what has turned. *position* is behind all transactions."""
        batch: list[bytes] = []
        return self._settle_behind(position, batch)

    def _settle_behind(self, position: int, batch: list[bytes]) -> tuple[list[MoveRequest], str]:
        first = self._causes[0].tx if self._causes else None
        requests, reason = self._settle(batch)
        if self.is_behind and first is not None:
            # More is to be told, of a transaction that the log's end must not claim.
            position = first - 1
        if not reason:
            self._append(max(position, self.sink.last_tx + 1), batch)
        return requests, reason

    def _settle(self, batch: list[bytes]) -> tuple[list[MoveRequest], str]:
        requests = [
            request
            for part in self.all_parts()
            if isinstance(part, PartWithParts) and (request := part.ask()) is not None
        ]
        if self._move is None and (turns := self._take_turns()):
            if any(None in turn.row and self.told[turn.number].counts_excluded for turn in turns):
                return [], _NULLS
            request = self._settle_turns(turns, batch)
            if request is not None:
                requests.append(request)
        if not self.is_behind:
            self._causes = []
        return requests, ""

    def _settle_turns(self, turns: Sequence[_Turn], batch: list[bytes]) -> MoveRequest | None:
        """Tell of what goes; what comes has to be read."""
        xids = list(dict.fromkeys(xid for xid, _ in self._causes))
        if not any(isinstance(part, Moving) and part.keeps for part in self.all_parts()):
            self._causes = []
        grows = {
            one.dependency: one.grows
            for _, one in self.plan.literals()
            if isinstance(one, Contained)
        }
        coming = [turn for turn in turns if (turn.change > 0) == grows[turn.number]]
        gone = self._tell(turn for turn in turns if (turn.change > 0) != grows[turn.number])
        if gone:
            batch.append(move_event("move-out", self._patterns(gone), xids))
        before = condition_sql(self.plan, told_sql(self.told))
        come = self._tell(coming)
        if not come:
            return None
        statement = self._statement(come, before)
        self._untell(coming)
        self._keep_for(_Move(coming, self._patterns(come), xids))
        return MoveRequest(self, statement)

    def _patterns(self, effects: Iterable[_Effect]) -> list[Pattern]:
        dependencies = self.definition.dependencies
        return sorted(
            Pattern(position, hash_of(self.handle, dependencies[literal.dependency].columns, value))
            for position, literal, value in effects
        )

    def _statement(self, come: Iterable[_Effect], before: str) -> str:
        """The rows that match by what is told now, and did not by the condition *before*."""
        turned: dict[Contained, list[Value]] = {}
        for _, literal, value in come:
            turned.setdefault(literal, []).append(value)
        likes = " OR ".join(like_sql(literal.columns, values) for literal, values in turned.items())
        leaf: LeafSql
        is_only = sum(isinstance(one, Contained) for _, one in self.plan.literals()) == 1
        if is_only and not any(told.has_partial for told in self.told):
            # What turned is all that has to be known of the subquery.
            leaf = dict.fromkeys(turned, f"({likes})").__getitem__
            before = condition_sql(self.plan, lambda literal: "false")
        else:
            leaf = told_sql(self.told)
        condition = f"({likes}) AND ({condition_sql(self.plan, leaf)}) AND ({before}) IS NOT TRUE"
        return move_statement(self.definition, self.plan, self.handle, condition, leaf)

    def moved(
        self, snapshot: PgSnapshot, rows: Sequence[bytes], end: bytes, position: int
    ) -> tuple[list[MoveRequest], str]:
        """The rows of a move have been read, and the stream has passed *snapshot*; *end* is its message."""
        assert self._move is not None, "nothing was asked for"
        move = self._move
        self._keep_for(None)
        kept = self._take_kept()
        batch: list[bytes] = []
        for seen in (True, False):
            for one in kept:
                if snapshot.sees(one.xid) is seen:
                    if one.rotates:
                        return [], one.rotates
                    items = [
                        item for raw in one.changes for item in self._items(raw, one.xid, one.tx)
                    ]
                    if items:
                        batch += complete([text for _, text in items])
            if seen:
                batch.append(move_event("move-in", move.patterns, move.xids))
                batch += rows
                if rows:
                    batch.append(end)
                self._tell(move.turns)
        return self._settle_behind(position, batch)

    def _append(self, tx: int, entries: Sequence[bytes], ops: Sequence[int] = ()) -> None:
        """*ops*: those of the first entries; the others come after them."""
        if entries:
            start = ops[-1] + 1 if ops else 0
            more = range(start, start + len(entries) - len(ops))
            self.sink.append(tx, [*ops, *more], entries)


def _tagged(
    items: Sequence[Item],
    tags: Sequence[str],
    active: Sequence[bool],
    removed: Sequence[str] | None = None,
) -> list[Item]:
    more = tags_json(tags, active, removed).encode()
    return [(op, text + more) for op, text in items]


def _minds_nulls(literal: Contained) -> bool:
    """Whether it asks what is excluded."""
    return literal.membership in ("not in", "not false")


def _canonical(definition: ShapeDefinition, rows: Rows) -> Iterator[tuple[Value, int]]:
    """*rows* as Postgres prints them, as they are compared here."""
    types = {c.name: c.type_name for c in definition.relation_columns}
    names = definition.columns
    read = value_reader([types[name] for name in names], range(len(names)))
    return ((read(row), count) for row, count in rows)


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
            counts_excluded=any(map(_minds_nulls, uses)),
        )
        kind = PartWithParts if dependency.dependencies else PartOfShape
        yield kind(f"{handle}/{number}", dependency, members)

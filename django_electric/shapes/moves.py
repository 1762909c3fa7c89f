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

from collections.abc import Iterable, Iterator, Mapping, Sequence

from django_electric.postgres.pgoutput import Row
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import (
    Headers,
    Item,
    View,
    delete_items,
    insert_items,
    moved_items,
    update_items,
)
from django_electric.shapes.members import Value
from django_electric.shapes.move_sql import (
    LeafSql,
    condition_sql,
    counts_statement,
    like_sql,
    members_statement,
    told_sql,
)
from django_electric.shapes.moving import (
    Cause,
    Effect,
    Move,
    MoveAnswer,
    MoveRequest,
    Moving,
    PartWithParts,
    Turn,
    is_wide,
    minds_nulls,
)
from django_electric.shapes.routed import Sink, complete
from django_electric.shapes.snapshot_sql import move_statement
from django_electric.shapes.subquery_rows import Rows, canonical_rows
from django_electric.shapes.tags import Pattern, RowPlan, hash_of, move_event, tags_json
from django_electric.where.plan import Contained


class MovingShape(Moving):
    """A shape whose condition has subqueries."""

    __slots__ = ("_causes", "_ended", "_has_spilt")

    def __init__(self, handle: str, definition: ShapeDefinition, sink: Sink) -> None:
        super().__init__(handle, definition, sink)
        self._causes: list[Cause] = []
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
            part.members.replace(
                canonical_rows(
                    part.definition, part.definition.columns, members.get(part.handle, ())
                )
            )
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

    def settle(self, xid: int, tx: int) -> list[MoveRequest]:
        """All shapes and subqueries have ended a transaction: append what it gave, tell of what has turned by
        it, and say what has to be read for that.

        The offset of a log's end says up to which transaction it is complete (PROTOCOL section 5). So what
        a transaction gives whose move is not told yet stands right before it; but for what had to leave
        memory while it was under way, and has its place.
        """
        if self.held is not None:
            return []
        if any(part.members.turned for part in self.all_parts()):
            self._causes.append(Cause(xid, tx))
        batch: list[bytes] = []
        requests = self._settle(batch)
        (ops, entries), self._ended = self._ended, ([], [])
        at = tx - 1 if self.is_behind and not self._has_spilt else tx
        self._has_spilt = False
        self._append(at, [*entries, *batch], ops)
        return requests

    def settle_between(self, position: int) -> list[MoveRequest]:
        """A subquery has been read: tell of what has turned. *position* is behind all transactions."""
        return self._settle_between(position, [])

    def _settle_between(self, position: int, batch: list[bytes]) -> list[MoveRequest]:
        first = self._causes[0].tx if self._causes else None
        requests = self._settle(batch)
        if self.is_behind and first is not None:
            # More is to be told, of a transaction that the log's end must not claim.
            position = first - 1
        self._append(max(position, self.sink.last_tx + 1), batch)
        return requests

    def _settle(self, batch: list[bytes]) -> list[MoveRequest]:
        requests = [
            request
            for part in self.all_parts()
            if isinstance(part, PartWithParts) and (request := part.ask()) is not None
        ]
        if self._move is None and (turns := self._take_turns()):
            request = self._settle_turns(turns, batch)
            if request is not None:
                requests.append(request)
        if not self.is_behind:
            self._causes = []
        return requests

    def _settle_turns(self, turns: Sequence[Turn], batch: list[bytes]) -> MoveRequest | None:
        """Tell of what goes; what comes has to be read."""
        xids = list(dict.fromkeys(xid for xid, _ in self._causes))
        if not any(isinstance(part, Moving) and part.keeps for part in self.all_parts()):
            self._causes = []
        contained = [(at, one) for at, one in self.plan.literals() if isinstance(one, Contained)]
        grows = {one.dependency: one.grows for _, one in contained}
        wide = {
            turn.number
            for turn in turns
            if None in turn.row and self.told[turn.number].counts_excluded
        }
        later = [t for t in turns if t.number in wide or (t.change > 0) == grows[t.number]]
        gone = self._tell(
            t for t in turns if t.number not in wide and (t.change > 0) != grows[t.number]
        )
        if gone:
            batch.append(move_event("move-out", self._patterns(gone), xids))
        before = condition_sql(self.plan, told_sql(self.told))
        effects = self._tell(later, wide)
        asked = [(at, one) for at, one in contained if is_wide(one, wide)]
        if not (effects or asked):
            return None
        copy = self._copy(() if asked else effects, before)
        parted = self._parted(effects)
        self._untell(later)
        self._keep_for(Move(later, *parted, asked, xids))
        selects = [counts_statement(self.definition, one.columns, before) for _, one in asked]
        return MoveRequest(self, copy, selects)

    def _parted(self, effects: Iterable[Effect]) -> tuple[list[Pattern], list[Pattern]]:
        """The patterns of the literals that are false now, and of those that are true."""
        parted: tuple[list[Effect], list[Effect]] = ([], [])
        for effect in effects:
            parted[self._is_true(effect.literal, effect.value)].append(effect)
        return self._patterns(parted[False]), self._patterns(parted[True])

    def _is_true(self, literal: Contained, value: Value) -> bool:
        """Of a row that compares *value*, by what has been told."""
        told = self.told[literal.dependency]
        holds = told.excludes(value) if minds_nulls(literal) else told.contains(value)
        return holds is (literal.membership in ("in", "not false"))

    def _patterns(self, effects: Iterable[Effect]) -> list[Pattern]:
        dependencies = self.definition.dependencies
        return sorted(
            Pattern(position, hash_of(self.handle, dependencies[literal.dependency].columns, value))
            for position, literal, value in effects
        )

    def _copy(self, come: Iterable[Effect], before: str) -> str:
        """The rows that match by what is told now, and did not by the condition *before*: because of what has
        come, if that is all that has turned."""
        turned: dict[Contained, list[Value]] = {}
        for _, literal, value in come:
            turned.setdefault(literal, []).append(value)
        likes = " OR ".join(like_sql(literal.columns, values) for literal, values in turned.items())
        leaf: LeafSql
        is_only = sum(isinstance(one, Contained) for _, one in self.plan.literals()) == 1
        if turned and is_only and not any(told.has_partial for told in self.told):
            # What turned is all that has to be known of the subquery.
            leaf = dict.fromkeys(turned, f"({likes})").__getitem__
            before = condition_sql(self.plan, lambda literal: "false")
        else:
            leaf = told_sql(self.told)
        condition = f"({condition_sql(self.plan, leaf)}) AND ({before}) IS NOT TRUE"
        if turned:
            condition = f"({likes}) AND {condition}"
        return move_statement(self.definition, self.plan, self.handle, condition, leaf)

    def moved(
        self, snapshot: PgSnapshot, answer: MoveAnswer, end: bytes, position: int
    ) -> tuple[list[MoveRequest], str]:
        """The rows of a move have been read, and the stream has passed *snapshot*; *end* is its message.

        What has to be read next; and why the shape has to be rotated instead, or an empty string.
        """
        assert self._move is not None, "nothing was asked for"
        move = self._move
        self._keep_for(None)
        kept = self._take_kept()
        batch: list[bytes] = []
        for is_seen in (True, False):
            for one in kept:
                if snapshot.sees(one.xid) is is_seen:
                    if one.rotates:
                        return [], one.rotates
                    items = [
                        item for raw in one.changes for item in self._items(raw, one.xid, one.tx)
                    ]
                    if items:
                        batch += complete([text for _, text in items])
            if is_seen:
                batch += self._told_by(move, answer, end)
        return self._settle_between(position, batch), ""

    def _told_by(self, move: Move, answer: MoveAnswer, end: bytes) -> Iterator[bytes]:
        """What tells the log of a move, from which on it has been told."""
        compared = [
            Effect(position, literal, value)
            for (position, literal), rows in zip(move.asked, answer.found, strict=True)
            for value, _ in canonical_rows(self.definition, literal.columns, rows)
        ]
        before = [self._is_true(literal, value) for _, literal, value in compared]
        self._tell(move.turns)
        turned = (
            effect
            for effect, was in zip(compared, before, strict=True)
            if self._is_true(effect.literal, effect.value) is not was
        )
        gone, come = self._parted(dict.fromkeys(turned))
        gone, come = [*move.gone, *gone], [*move.come, *come]
        if self.definition.log_mode == "changes_only":
            # A subset that was ahead of the log has brought some of what comes, which may have gone since.
            gone = sorted({*gone, *come})
        for event, patterns in (("move-out", gone), ("move-in", come)):
            if patterns:
                yield move_event(event, patterns, move.xids)
        if answer.rows:
            yield from answer.rows
            yield end

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

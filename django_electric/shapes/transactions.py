"""TransactionBuilder: the messages of the stream in, entries for every shape concerned out.

Changes are routed as they arrive; what a transaction gives a shape is published at its Commit, as a
whole. Memory stays bounded: beyond `spill_bytes` the entries collected so far move out of memory, to
the shapes' sinks, unpublished.

``op`` counts every row change and every truncated table that Postgres sends in the transaction, in
steps of two (PROTOCOL section 3.3); so a replay gives every entry the offset it had.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from django_electric.errors import DecodeError
from django_electric.postgres.pgoutput import (
    Begin,
    Commit,
    Delete,
    Ignored,
    Insert,
    LogicalMessage,
    Message,
    RelationMessage,
    Row,
    Truncate,
    Update,
)
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.layouts import SCHEMA_PREFIX, parse_schema_change
from django_electric.shapes.log_items import Item, headers_for
from django_electric.shapes.move_index import MovingIndex
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import MoveRequest
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import REMADE, Router, TableRoutes
from django_electric.shapes.subquery_rows import Rows
from django_electric.shapes.tallies import Tallies

_NOWHERE: tuple[RoutedShape, ...] = ()

SPILL_BYTES = 16 << 20
ASKED_CHANGES = 1_000
ASKED_BYTES = 8 << 20
"""Changes that wait for an answer of Postgres before it is asked, and their size."""
RECENT_CHANGES = 20_000
RECENT_BYTES = 16 << 20
"""Changes of recent transactions that are kept for shapes which register late, and their size."""


class Rotation(NamedTuple):
    """A shape that has to be rotated, and why."""

    shape: RoutedShape
    reason: str


class Change(NamedTuple):
    """A change that was routed, as `RecentTransactions` keeps it."""

    op: int
    message: Insert | Update | Delete | Truncate
    relation: RelationMessage | None


_change: Callable[[tuple[object, ...]], Change] = partial(tuple.__new__, Change)
"""Makes one from its members; the class itself would take three times as long, for every change."""


class Recent(NamedTuple):
    """A transaction that passed the router not long ago."""

    xid: int
    tx: int
    changes: list[Change]
    size: int = 0


class Question(NamedTuple):
    """Which of these shapes does this row belong to? Only Postgres can tell."""

    row: Row
    shapes: Sequence[RoutedShape]


class Answers(NamedTuple):
    """What Postgres says of questions."""

    matching: Sequence[Sequence[RoutedShape]]
    """For each question, the shapes that its row belongs to."""
    broken: Collection[RoutedShape] = ()
    """Shapes whose conditions cannot be evaluated any more."""


Ask = Callable[[tuple[str, ...], Sequence[Question]], Answers]
"""From the names of the columns of all rows, and questions, to answers."""


class _Waiting(NamedTuple):
    """A change that some shapes get once Postgres has said what they are."""

    table: TableRoutes
    op: int
    old: Row | None
    new: Row | None
    before: list[RoutedShape]
    """The shapes that the old row belongs to, of those that wait; `_decide` adds to them."""
    after: list[RoutedShape]
    asked_before: Sequence[RoutedShape]
    asked_after: Sequence[RoutedShape]


def _refuse(columns: tuple[str, ...], questions: Sequence[Question]) -> Answers:
    """Where there is no Postgres to ask."""
    return Answers([()] * len(questions), {s for question in questions for s in question.shapes})


class RecentTransactions:
    """Transactions that a snapshot taken now may not see yet, although they passed the router.

    Postgres streams a commit before it becomes visible; with synchronous replication a network
    round trip lies between the two (PROTOCOL section 16.3, point 15). A shape that registers in
    that gap gets these transactions as if it had been there.
    """

    def __init__(self, limit: int = RECENT_CHANGES) -> None:
        self._limit = limit
        self._kept: deque[Recent] = deque()
        self._kept_changes = self._kept_bytes = 0
        self._dropped: deque[Recent] = deque()
        """Older than what is kept, or too large to keep: their changes are not here any more."""

    def __iter__(self) -> Iterator[Recent]:
        """What is kept, in commit order."""
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept) + len(self._dropped)

    @property
    def oldest_tx(self) -> int | None:
        """``tx`` of the oldest transaction that is not known to be visible."""
        heads = [queue[0].tx for queue in (self._dropped, self._kept) if queue]
        return min(heads, default=None)

    def add(self, xid: int, tx: int, changes: list[Change] | None, size: int = 0) -> None:
        """Remember a transaction of *size* bytes; *changes* None if it has more than is kept."""
        if changes is None:
            self._dropped.append(Recent(xid, tx, []))
            return
        self._kept.append(Recent(xid, tx, changes, size))
        self._kept_changes += len(changes)
        self._kept_bytes += size
        while self._kept_changes > self._limit or self._kept_bytes > RECENT_BYTES:
            oldest = self._kept.popleft()
            self._kept_changes -= len(oldest.changes)
            self._kept_bytes -= oldest.size
            self._dropped.append(Recent(oldest.xid, oldest.tx, []))

    def forget_seen(self, snapshot: PgSnapshot) -> None:
        """Drop what *snapshot*, and so every later one, sees."""
        self._dropped = deque(t for t in self._dropped if not snapshot.sees(t.xid))
        self._kept = deque(t for t in self._kept if not snapshot.sees(t.xid))
        self._kept_changes = sum(len(t.changes) for t in self._kept)
        self._kept_bytes = sum(t.size for t in self._kept)

    def xids(self) -> frozenset[int]:
        """Of all transactions that are not known to be visible."""
        return frozenset(t.xid for queue in (self._dropped, self._kept) for t in queue)

    def not_kept(self) -> frozenset[int]:
        """xids that a new shape's snapshot must see, since their changes are not here any more."""
        return frozenset(t.xid for t in self._dropped)


@dataclass(slots=True)
class Outcome:
    """What a piece of the stream asks for, beside entries."""

    rotations: list[Rotation] = field(default_factory=list)
    markers: list[bytes] = field(default_factory=list)
    """Contents of our own logical messages."""
    moves: list[MoveRequest] = field(default_factory=list)
    """What has to be read because the rows of subqueries have changed."""


MESSAGE_PREFIX = "django_electric"


class TransactionBuilder:
    """The state of the stream. `handle` is called with every message, in order."""

    def __init__(
        self,
        router: Router,
        *,
        find_roots: Callable[[int], Iterable[int]] = lambda oid: (),
        ask: Ask = _refuse,
        spill_bytes: int = SPILL_BYTES,
        asked_changes: int = ASKED_CHANGES,
        recent_limit: int = RECENT_CHANGES,
    ) -> None:
        """*find_roots*: the partitioned tables above a table that the stream names for the first time.
        *ask* asks Postgres what cannot be told here."""
        self.router = router
        self._find_roots = find_roots
        self._ask = ask
        self.recent = RecentTransactions(recent_limit)
        self._outcome: Outcome | None = None
        self.position = 0
        """LSN behind the last commit: for what a log tells of its own, before anything that is to come. Nothing
        commits in the bytes of a commit's record."""
        self._between: list[Callable[[], None]] = []
        self._behind: dict[str, int] = {}
        """By the handles of shapes whose moves are under way, up to which ``tx`` their logs are complete."""
        self.processed_tx = 0
        """``tx`` of the last transaction that is complete: one that comes again is passed over."""
        self.changes = 0
        self.tallies = Tallies()
        """Of the partitions that are new to shapes of a root."""
        self._spill_bytes = spill_bytes
        self._asked_changes = asked_changes
        self._recent_limit = recent_limit
        self._xid = 0
        self._tx = 0
        self._op = 0
        self._is_open = False
        self._skips = False
        self._touched: dict[str, RoutedShape] = {}
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._late: set[RoutedShape] = set()
        """Shapes that wait for an answer: what comes later for them waits, too."""
        self._bytes = 0
        self._kept: list[Change] | None = []
        self._kept_bytes = 0
        self._on: dict[type, Callable[..., None]] = {
            Begin: self._begin,
            Commit: self._commit,
            RelationMessage: self._relation,
            Insert: self._insert,
            Update: self._update,
            Delete: self._delete,
            Truncate: self._truncate,
            LogicalMessage: self._message,
            Ignored: self._ignore,
        }

    @property
    def is_in_transaction(self) -> bool:
        return self._is_open

    def handle(self, message: Message, size: int = 0) -> None:
        """Take one message of *size* bytes. Raises DecodeError if the stream makes no sense."""
        self._kept_bytes += size
        self._on[type(message)](message)

    @property
    def outcome(self) -> Outcome:
        self._outcome = self._outcome or Outcome()
        return self._outcome

    def take_outcome(self) -> Outcome | None:
        """What was asked for since the last call, if anything."""
        outcome, self._outcome = self._outcome, None
        return outcome

    def abandon(self) -> None:
        """The connection broke: the transaction under way will come again, and the layouts with it."""
        for shape in self._touched.values():
            shape.abandon_transaction()
        self.tallies.abandon()
        self._reset()
        self.router.layouts.clear()

    def _reset(self) -> None:
        self._touched = {}
        self._waiting, self._waiting_bytes, self._late = [], 0, set()
        self._bytes = 0
        self._op = 0
        self._kept = []
        self._kept_bytes = 0
        self._is_open = False

    def _begin(self, message: Begin) -> None:
        if self._is_open:
            raise DecodeError("a transaction begins inside another")
        self._is_open = True
        self._xid = message.xid
        self._tx = message.final_lsn
        self._op = 0
        self._skips = message.final_lsn <= self.processed_tx

    def _commit(self, message: Commit) -> None:
        if not self._is_open:
            raise DecodeError("a commit without a begin")
        self._decide()
        xid, tx = self._xid, self._tx
        for shape in self._touched.values():
            reason = shape.end_transaction(xid, tx)
            if reason:
                self.give_up(shape, reason)
        self.position = max(self.position, tx + 1)
        if self.router.moving:
            for handle in {shape.log_handle for shape in self._touched.values()}:
                if (moving := self.router.moving.get(handle)) is not None:
                    self.take_moves(moving, moving.settle(xid, tx))
        if not self._skips:
            if self._op:
                self.recent.add(xid, tx, self._kept, self._kept_bytes)
            self.tallies.end(xid)
            self.processed_tx = tx
        self._reset()
        if self._between:
            between, self._between = self._between, []
            for do in between:
                do()

    def give_up(self, shape: RoutedShape, reason: str) -> None:
        """Rotate a shape, or that which a subquery is part of."""
        shape = self.router.served(shape)
        # At once: what comes next must not be told on top of rows that are gone.
        self.router.remove(shape)
        self.outcome.rotations.append(Rotation(shape, reason))

    def begin(self, shape: MovingShape, snapshot: PgSnapshot, members: Mapping[str, Rows]) -> str:
        """See `MovingShape.begin`."""
        reason = shape.begin(snapshot, members)
        if not reason:
            for moving in shape.starting() if self._is_open else ():
                moving.take_up_open(self._xid, self._tx)
            self.between(lambda: self.settle_moves(shape))
        return reason

    def settle_moves(self, shape: MovingShape) -> None:
        """Subqueries of *shape* have been read: tell of what has turned."""
        if self.router.moving.get(shape.handle) is shape:
            self.take_moves(shape, shape.settle_between(self.position))

    def take_moves(
        self, shape: MovingShape, requests: Sequence[MoveRequest], reason: str = ""
    ) -> None:
        """What has become of a move: rows are to be read, or the shape is to be rotated."""
        if reason:
            self.give_up(shape, reason)
            return
        if requests:
            self.outcome.moves += requests
        if shape.is_behind:
            self._behind.setdefault(shape.handle, self.processed_tx)
        else:
            self._behind.pop(shape.handle, None)

    @property
    def complete_tx(self) -> int:
        """``tx`` up to which all logs are complete: a move that is under way belongs to what was processed."""
        if self._behind:
            there = self.router.moving
            self._behind = {h: tx for h, tx in self._behind.items() if h in there}
        return min(self.processed_tx, *self._behind.values()) if self._behind else self.processed_tx

    def between(self, do: Callable[[], None]) -> None:
        """Call *do* when no transaction is under way."""
        if self._is_open:
            self._between.append(do)
        else:
            do()

    def _ignore(self, message: Ignored) -> None:
        """Nothing to do."""

    def _message(self, message: LogicalMessage) -> None:
        if message.prefix == MESSAGE_PREFIX:
            self.outcome.markers.append(message.content)
        elif message.prefix == SCHEMA_PREFIX and self._is_open and not self._skips:
            self._schema(message.content)

    def _schema(self, content: bytes) -> None:
        """Tables are changed by this transaction: rotate at its end what does not fit to them any more."""
        # Anybody may send such a message. What says nothing is left to the looks into the catalogue.
        with suppress(DecodeError):
            self._rotate(self.router.outdated_by(parse_schema_change(content)))

    def _relation(self, message: RelationMessage) -> None:
        self._decide()
        for root in self._find_roots(message.oid):
            self.add_leaf(root, message.oid)
        self.router.describe(message)
        replaced = self.router.replaced_by(message)
        if replaced and not self._skips:
            self._rotate((shape, REMADE) for shape in replaced)

    def add_leaf(self, root: int, leaf: int) -> None:
        """*leaf* is a partition of *root*. Its rows are tallied if it is new to a shape."""
        if self.router.add_leaf(root, leaf):
            self.tallies.begin(root, leaf)

    def _next(self, message: Insert | Update | Delete | Truncate, oid: int) -> TableRoutes | None:
        """Count the change, keep it for late shapes; the routes of its table if it is to be routed."""
        self.changes += 1
        op = self._op
        self._op = op + 2
        if self._skips:
            return None
        if self._kept is not None:
            self._kept.append(_change((op, message, self.router.layouts.get(oid))))
            if len(self._kept) > self._recent_limit or self._kept_bytes > RECENT_BYTES:
                self._kept = None
        table = self.router.tables.get(oid)
        if table is not None and table.suspended:
            self._rotate(table.suspended.values())
        return table

    def _rotate(self, shapes: Iterable[tuple[RoutedShape, str]]) -> None:
        for shape, reason in shapes:
            shape.rotates = shape.rotates or reason
            self._touched[shape.handle] = shape

    def _insert(self, message: Insert) -> None:
        op = self._op
        table = self._next(message, message.oid)
        if table is None:
            return
        if self.tallies:
            self.tallies.add(message.oid, 1)
        self._route(table, op, None, message.new)

    def _delete(self, message: Delete) -> None:
        op = self._op
        table = self._next(message, message.oid)
        if table is None:
            return
        if self.tallies:
            self.tallies.add(message.oid, -1)
        if message.old is None:
            self._rotate_all(
                table,
                "a row was deleted without its old values; its table needs REPLICA IDENTITY FULL",
            )
            return
        self._route(table, op, message.old, None)

    def _update(self, message: Update) -> None:
        op = self._op
        table = self._next(message, message.oid)
        if table is None:
            return
        if message.old is None:
            self._rotate_all(
                table,
                "a row was updated without its old values; its table needs REPLICA IDENTITY FULL",
            )
            return
        self._route(table, op, message.old, message.new)

    def _route(self, table: TableRoutes, op: int, old: Row | None, new: Row | None) -> None:
        before = _NOWHERE if old is None else table.matches(old)
        asked_before = table.take_undecided()
        after = _NOWHERE if new is None else table.matches(new)
        asked_after = table.take_undecided()
        if asked_before or asked_after or self._late:
            self._late.update(asked_before, asked_after)
            before, sure_before = self._part(before)
            after, sure_after = self._part(after)
            self._wait(
                _Waiting(table, op, old, new, sure_before, sure_after, asked_before, asked_after)
            )
        if before or after:
            self._give_change(table, op, old, new, before, after)
        if table.moving is not None:
            self._give_moving(table, table.moving, op, old, new)
        if table.failed:
            self._fail(table)

    def _give_change(
        self,
        table: TableRoutes,
        op: int,
        old: Row | None,
        new: Row | None,
        before: Sequence[RoutedShape],
        after: Sequence[RoutedShape],
    ) -> None:
        """The change for shapes that its old row belonged to, and for those that its new row belongs to."""
        if new is None:
            assert old is not None, "a change has an old row or a new one"
            self._give(table, before, op, "deleted", old)
        elif old is None:
            self._give(table, after, op, "inserted", new)
        elif before is after or before == after:
            self._give(table, after, op, "updated", old, new)
        else:
            stay = set(before).intersection(after)
            self._give(table, [s for s in after if s in stay], op, "updated", old, new)
            self._give(table, [s for s in after if s not in stay], op, "inserted", new)
            self._give(table, [s for s in before if s not in stay], op, "deleted", old)

    def _give_moving(
        self, table: TableRoutes, moving: MovingIndex, op: int, old: Row | None, new: Row | None
    ) -> None:
        """The change for the shapes that decide by themselves whether it is theirs."""
        for shape, view in moving.find(old, new).items():
            try:
                size = shape.route(view, table.layout, (op, old, new), self._xid, self._tx)
            except (
                Exception
            ):  # as of any condition: whatever it was, the shape can no longer be trusted
                table.failed[shape.handle] = shape
                continue
            if size:
                self._touched[shape.handle] = shape
                self._bytes += size
        if self._bytes > self._spill_bytes:
            self._spill()

    # -- what Postgres is asked about -----------------------------------------------------------------

    def _part(self, shapes: Sequence[RoutedShape]) -> tuple[list[RoutedShape], list[RoutedShape]]:
        """The shapes that can be given a change now, and those that have to wait."""
        late = self._late
        return [s for s in shapes if s not in late], [s for s in shapes if s in late]

    def _wait(self, change: _Waiting) -> None:
        """Keep *change* for the shapes that have to wait, if there are any."""
        if not (change.before or change.after or change.asked_before or change.asked_after):
            return
        self._waiting.append(change)
        self._waiting_bytes += sum(
            len(text) for row in (change.old, change.new) for text in row or () if text
        )
        if len(self._waiting) >= self._asked_changes or self._waiting_bytes >= ASKED_BYTES:
            self._decide()

    def _decide(self) -> None:
        """Ask Postgres about the changes that wait, one table at a time, and hand them out in order."""
        waiting = self._waiting
        if not waiting:
            return
        self._waiting, self._waiting_bytes, self._late = [], 0, set()
        for table in {id(change.table): change.table for change in waiting}.values():
            self._answer(table.layout, [change for change in waiting if change.table is table])
        for table, op, old, new, before, after, _, _ in waiting:
            if before or after:
                self._give_change(table, op, old, new, before, after)

    def _answer(self, columns: tuple[str, ...], changes: Iterable[_Waiting]) -> None:
        """Add to each change the shapes that Postgres says it concerns."""
        asked = [
            (belongs, Question(row, shapes))
            for change in changes
            for belongs, row, shapes in (
                (change.before, change.old, change.asked_before),
                (change.after, change.new, change.asked_after),
            )
            if shapes and row is not None
        ]
        answers = self._ask(columns, [question for _, question in asked])
        for (belongs, _), found in zip(asked, answers.matching, strict=True):
            if found:  # an OR may be true for another reason, too
                belongs[:] = dict.fromkeys([*belongs, *found])
        self._rotate(
            (shape, "Postgres could not evaluate its condition") for shape in answers.broken
        )

    def _truncate(self, message: Truncate) -> None:
        for oid in message.oids:
            table = self._next(Truncate((oid,)), oid)
            if table is not None:
                self._rotate_all(table, "its table was truncated")

    def _rotate_all(self, table: TableRoutes, reason: str) -> None:
        self._rotate((shape, reason) for shape in table.shapes.values())

    def _fail(self, table: TableRoutes) -> None:
        self._rotate(
            (shape, "its condition could not be evaluated") for shape in table.failed.values()
        )
        table.failed = {}

    def _give(
        self,
        table: TableRoutes,
        shapes: Sequence[RoutedShape],
        op: int,
        make: Literal["inserted", "deleted", "updated"],
        *rows: Row,
    ) -> None:
        """Render the change once for each kind of view, by its method *make*, and hand it to the shapes."""
        made: dict[int, list[Item]] = {}
        xid, tx, touched, views = self._xid, self._tx, self._touched, table.views
        for shape in shapes:
            view = views[shape.handle]
            items = made.get(id(view))
            if items is None:
                headers = headers_for(view.relation, xid, tx)
                items = made[id(view)] = getattr(view, make)(headers, op, *rows)
            for at, text in items:
                shape.take(at, text)
                self._bytes += len(text)
            if items:
                touched[shape.handle] = shape
        if self._bytes > self._spill_bytes:
            self._spill()

    def _spill(self) -> None:
        for shape in self._touched.values():
            shape.spill(self._xid, self._tx)
        self._bytes = 0

    def catch_up(self, shape: RoutedShape, leaves: Iterable[int] = ()) -> frozenset[int]:
        """Give a shape that has just been added the recent transactions it missed.

        Called between messages; what has come of the transaction under way is among them. Returns
        the xids that are not kept and that the shape's snapshot therefore has to see.
        """
        replay = TransactionBuilder(
            Router(self.router.views), ask=self._ask, spill_bytes=sys.maxsize
        )
        replay.router.add(shape, leaves)
        for recent in self.recent:
            replay._replay(recent.xid, recent.tx, recent.changes)
            replay._commit(Commit(recent.tx, recent.tx))
        missing = self.recent.not_kept()
        if self._is_open and not self._skips:
            replay._replay(self._xid, self._tx, self._kept or ())
            if self._kept is None:
                missing |= {self._xid}
            self._touched.update(replay._touched)
        replay.router.remove(shape)
        return missing

    def _replay(self, xid: int, tx: int, changes: Iterable[Change]) -> None:
        self._begin(Begin(tx, xid))
        for change in changes:
            described = change.relation
            if described is not None and self.router.layouts.get(described.oid) is not described:
                self.router.describe(described)
            self._op = change.op
            self.handle(change.message)
        self._decide()

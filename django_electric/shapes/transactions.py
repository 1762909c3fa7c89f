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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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
from django_electric.shapes.log_items import (
    Item,
    delete_items,
    headers_for,
    insert_items,
    update_items,
)
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router, TableRoutes

SPILL_BYTES = 16 << 20
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


class Recent(NamedTuple):
    """A transaction that passed the router not long ago."""

    xid: int
    tx: int
    changes: list[Change]
    size: int = 0


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

    def not_kept(self) -> frozenset[int]:
        """xids that a new shape's snapshot must see, since their changes are not here any more."""
        return frozenset(t.xid for t in self._dropped)


@dataclass(slots=True)
class Outcome:
    """What a piece of the stream asks for, beside entries."""

    rotations: list[Rotation] = field(default_factory=list)
    markers: list[bytes] = field(default_factory=list)
    """Contents of our own logical messages."""


MESSAGE_PREFIX = "django_electric"


class TransactionBuilder:
    """The state of the stream. `handle` is called with every message, in order."""

    def __init__(
        self,
        router: Router,
        *,
        find_roots: Callable[[int], Iterable[int]] = lambda oid: (),
        spill_bytes: int = SPILL_BYTES,
        recent_limit: int = RECENT_CHANGES,
    ) -> None:
        """*find_roots*: the partitioned tables above a table that the stream names for the first time."""
        self.router = router
        self._find_roots = find_roots
        self.recent = RecentTransactions(recent_limit)
        self._outcome: Outcome | None = None
        self.processed_tx = 0
        """``tx`` of the last transaction that is complete: one that comes again is passed over."""
        self.changes = 0
        self._spill_bytes = spill_bytes
        self._recent_limit = recent_limit
        self._xid = 0
        self._tx = 0
        self._op = 0
        self._is_open = False
        self._skips = False
        self._touched: dict[str, RoutedShape] = {}
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
        self._reset()
        self.router.layouts.clear()

    def _reset(self) -> None:
        self._touched = {}
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
        xid, tx = self._xid, self._tx
        for shape in self._touched.values():
            reason = shape.end_transaction(xid, tx)
            if reason:
                # At once: what comes next must not be told on top of rows that are gone.
                self.router.remove(shape)
                self.outcome.rotations.append(Rotation(shape, reason))
        if not self._skips:
            if self._op:
                self.recent.add(xid, tx, self._kept, self._kept_bytes)
            self.processed_tx = tx
        self._reset()

    def _ignore(self, message: Ignored) -> None:
        """Nothing to do."""

    def _message(self, message: LogicalMessage) -> None:
        if message.prefix == MESSAGE_PREFIX:
            self.outcome.markers.append(message.content)

    def _relation(self, message: RelationMessage) -> None:
        for root in self._find_roots(message.oid):
            self.router.add_leaf(root, message.oid)
        self.router.describe(message)
        replaced = self.router.replaced_by(message)
        if replaced and not self._skips:
            self._rotate((shape, "its table was dropped and made anew") for shape in replaced)

    def _next(self, message: Insert | Update | Delete | Truncate, oid: int) -> TableRoutes | None:
        """Count the change, keep it for late shapes; the routes of its table if it is to be routed."""
        self.changes += 1
        op = self._op
        self._op = op + 2
        if self._skips:
            return None
        if self._kept is not None:
            self._kept.append(Change(op, message, self.router.layouts.get(oid)))
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
        if table is not None:
            self._route_insert(table, op, message.new)

    def _route_insert(self, table: TableRoutes, op: int, new: Row) -> None:
        shapes = table.matches(new)
        if shapes:
            self._give(table, shapes, op, insert_items, new)
        if table.failed:
            self._fail(table)

    def _delete(self, message: Delete) -> None:
        op = self._op
        table = self._next(message, message.oid)
        if table is None:
            return
        if message.old is None:
            self._rotate_all(
                table,
                "a row was deleted without its old values; its table needs REPLICA IDENTITY FULL",
            )
            return
        shapes = table.matches(message.old)
        if shapes:
            self._give(table, shapes, op, delete_items, message.old)
        if table.failed:
            self._fail(table)

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
        old, new = message.old, message.new
        before, after = table.matches(old), table.matches(new)
        if before is after or before == after:
            if after:
                self._give(table, after, op, update_items, old, new)
        else:
            stay = set(before).intersection(after)
            self._give(table, [s for s in after if s in stay], op, update_items, old, new)
            self._give(table, [s for s in after if s not in stay], op, insert_items, new)
            self._give(table, [s for s in before if s not in stay], op, delete_items, old)
        if table.failed:
            self._fail(table)

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
        shapes: list[RoutedShape],
        op: int,
        make: Callable[..., list[Item]],
        *rows: Row,
    ) -> None:
        """Render the change once for each kind of view, and hand it to the shapes."""
        made: dict[int, list[Item]] = {}
        xid, tx, touched, views = self._xid, self._tx, self._touched, table.views
        for shape in shapes:
            view = views[shape.handle]
            items = made.get(id(view))
            if items is None:
                headers = headers_for(view.relation, xid, tx)
                items = made[id(view)] = make(view, headers, op, *rows)
            for at, text in items:
                shape.ops.append(at)
                shape.texts.append(text)
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
        replay = TransactionBuilder(Router(self.router.views), spill_bytes=sys.maxsize)
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
        return missing

    def _replay(self, xid: int, tx: int, changes: Iterable[Change]) -> None:
        self._begin(Begin(tx, xid))
        for change in changes:
            described = change.relation
            if described is not None and self.router.layouts.get(described.oid) is not described:
                self.router.describe(described)
            self._op = change.op
            self.handle(change.message)

"""RoutedShape: a shape as the worker routes changes to it, and how its log joins its snapshot.

A shape is *held* from its registration until the visibility of its snapshot is known: what it would
append waits in memory. Then a transaction that the snapshot sees is dropped, since the rows are
there already, and one that it does not see is appended (PROTOCOL section 9.1). Once the stream has
passed the WAL position at which the snapshot was taken, the question needs no more asking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import ENTRY_END, LAST_ENTRY_END, View
from django_electric.where import Where

Evaluator = Callable[[Sequence[str | None]], bool | None]


HELD_BYTES = 64 << 20
"""What a shape may hold back in memory until its snapshot is taken."""
_NO_OPS: list[int] = []
_NO_TEXTS: list[bytes] = []
"""Of all shapes that have nothing, which nearly all have: they stay empty."""
TOO_MUCH = "too much was written before its first rows could be read"


class Sink(Protocol):
    """Where a shape's entries go: the writer of its log."""

    @property
    def last_tx(self) -> int: ...

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None: ...

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None: ...

    def discard(self) -> None: ...


class Held(NamedTuple):
    """A transaction that waits until the snapshot's visibility is known."""

    xid: int
    tx: int
    ops: list[int]
    texts: list[bytes]
    rotates: str
    """Why the shape has to be rotated if the snapshot does not see this transaction, or empty."""


class RoutedShape:
    """One shape in the router."""

    __slots__ = (
        "definition", "handle", "held", "held_bytes", "ops", "rotates", "sink", "snapshot",
        "texts", "where",
    )  # fmt: skip
    view_type: ClassVar[type[View]] = View

    def __init__(
        self,
        handle: str,
        definition: ShapeDefinition,
        sink: Sink,
        *,
        snapshot: PgSnapshot | None = None,
    ) -> None:
        self.handle = handle
        self.definition = definition
        self.where: Where | None = definition.parsed_where()
        self.sink = sink
        self.ops: list[int] = _NO_OPS
        self.texts: list[bytes] = _NO_TEXTS
        """What the transaction under way has given the shape; `take` adds to them."""
        self.rotates = ""
        self.snapshot = snapshot
        """Transactions are compared with it; None once none can be seen by it any more."""
        self.held: list[Held] | None = [] if snapshot is None else None
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"RoutedShape({self.handle})"

    @property
    def log_handle(self) -> str:
        """The handle of the log that it is for: that of a subquery goes on behind a slash."""
        return self.handle.partition("/")[0]

    def sees(self, xid: int, tx: int) -> bool:
        """Whether the snapshot holds what *xid*, committed at LSN *tx*, wrote. Not for a held shape."""
        self.pass_snapshot(tx)
        return self.snapshot is not None and self.snapshot.sees(xid)

    def pass_snapshot(self, tx: int) -> None:
        """No transaction that commits before LSN *tx* comes any more: perhaps none that the snapshot sees."""
        if self.snapshot is not None and self.snapshot.sees_nothing_from(tx):
            self.snapshot = None

    def take(self, op: int, text: bytes) -> None:
        """An entry of the transaction under way, without its end."""
        if self.ops:
            self.ops.append(op)
            self.texts.append(text)
        else:
            self.ops, self.texts = [op], [text]

    def end_transaction(self, xid: int, tx: int) -> str:
        """Append what was collected; why the shape has to be rotated, or an empty string."""
        ops, texts, rotates = self.ops, self.texts, self.rotates
        self.ops, self.texts, self.rotates = _NO_OPS, _NO_TEXTS, ""
        if self.held is not None:
            self.held.append(Held(xid, tx, ops, texts, rotates))
            self.held_bytes += sum(map(len, texts))
            self._hold_no_more()
            return ""
        if tx <= self.sink.last_tx or (self.snapshot is not None and self.sees(xid, tx)):
            return ""
        if rotates:
            return rotates
        if texts:
            self.sink.append(tx, ops, complete(texts))
        return ""

    def spill(self, xid: int, tx: int) -> None:
        """Move all but the last entry of the transaction under way out of memory, if that is allowed."""
        if self.held is not None:
            size = sum(map(len, self.texts))
            if self.held_bytes + size > HELD_BYTES:
                self.held_bytes += size
                self.ops, self.texts = _NO_OPS, _NO_TEXTS
                self._hold_no_more()
            return
        if len(self.texts) < 2 or self.sees(xid, tx):
            return
        self.sink.spill(tx, self.ops[:-1], [text + ENTRY_END for text in self.texts[:-1]])
        self.ops, self.texts = self.ops[-1:], self.texts[-1:]

    def _hold_no_more(self) -> None:
        """Let go of what is held if it is too much; `join` will say so."""
        if self.held_bytes > HELD_BYTES:
            self.held = []

    def abandon_transaction(self) -> None:
        """Forget the transaction under way: it will be sent again."""
        self.ops, self.texts, self.rotates = _NO_OPS, _NO_TEXTS, ""
        self.sink.discard()

    def join(self, snapshot: PgSnapshot) -> str:
        """The snapshot's visibility is known; why the shape has to be rotated, or an empty string."""
        held, size = self.held or [], self.held_bytes
        self.held, self.held_bytes = None, 0
        self.snapshot = snapshot
        if size > HELD_BYTES:
            return TOO_MUCH
        for transaction in held:
            if self.sees(transaction.xid, transaction.tx):
                continue
            if transaction.rotates:
                return transaction.rotates
            if transaction.texts:
                self.sink.append(transaction.tx, transaction.ops, complete(transaction.texts))
        return ""


def complete(texts: Sequence[bytes]) -> list[bytes]:
    """The entries of a transaction, with their ends."""
    if len(texts) == 1:
        return [texts[0] + LAST_ENTRY_END]
    entries = [text + ENTRY_END for text in texts[:-1]]
    entries.append(texts[-1] + LAST_ENTRY_END)
    return entries

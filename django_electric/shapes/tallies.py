"""Tallies: how many rows the stream has brought to a partition since it became known.

If they are as many as the partition has, it had none when it became one. Rows that a partition brings with
it are not in the stream (PROTOCOL section 10.7): the shapes of its root lack them.
"""

from __future__ import annotations

from collections.abc import Collection

from django_electric.postgres.xid import PgSnapshot


class Tally:
    """The rows of one partition that the shapes of one root have been given, by transaction."""

    def __init__(self) -> None:
        self._transactions: list[tuple[int, int]] = []
        self.under_way = 0
        """In the transaction that has not ended."""

    def end(self, xid: int) -> None:
        if self.under_way:
            self._transactions.append((xid, self.under_way))
            self.under_way = 0

    def seen_by(self, snapshot: PgSnapshot) -> int:
        """The rows that the transactions which *snapshot* sees have added, or taken away."""
        return sum(rows for xid, rows in self._transactions if snapshot.sees(xid))


class Tallies:
    """What is being counted, by root and leaf."""

    def __init__(self) -> None:
        self._roots: dict[int, dict[int, Tally]] = {}

    def __bool__(self) -> bool:
        return bool(self._roots)

    def begin(self, root: int, leaf: int) -> None:
        """Count the rows of *leaf* for the shapes of *root* from now on; harmless if they are counted."""
        self._roots.setdefault(root, {}).setdefault(leaf, Tally())

    def leaves_of(self, root: int) -> Collection[int]:
        """The leaves whose rows are counted for *root*."""
        return self._roots.get(root, {}).keys()

    def take(self, root: int, leaf: int) -> Tally | None:
        """What was counted, if anything was; the counting ends."""
        tally = self._roots.get(root, {}).pop(leaf, None)
        if not self._roots.get(root):
            self.forget(root)
        return tally

    def forget(self, root: int) -> None:
        """Nothing of *root* is counted any more."""
        self._roots.pop(root, None)

    def add(self, leaf: int, rows: int) -> None:
        """In the transaction under way."""
        for leaves in self._roots.values():
            if leaf in leaves:
                leaves[leaf].under_way += rows

    def end(self, xid: int) -> None:
        """The transaction under way is complete."""
        for leaves in self._roots.values():
            for tally in leaves.values():
                tally.end(xid)

    def abandon(self) -> None:
        """The transaction under way will come again."""
        for leaves in self._roots.values():
            for tally in leaves.values():
                tally.under_way = 0

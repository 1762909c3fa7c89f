"""Transaction ids that wrap, and snapshots that see them or do not (PROTOCOL section 9.1)."""

from __future__ import annotations

from dataclasses import dataclass

_MASK = 0xFFFFFFFF
_HALF = 0x80000000
_NONE: frozenset[int] = frozenset()
"""Of all snapshots that were taken while nobody wrote; there may be one for each of many shapes."""


def precedes(a: int, b: int) -> bool:
    """Whether 32-bit xid *a* is older than *b*, where both are less than 2^31 apart.

    >>> precedes(5, 6), precedes(0xFFFFFFF0, 3), precedes(3, 3)
    (True, True, False)
    """
    return ((a - b) & _MASK) >= _HALF


@dataclass(frozen=True, slots=True)
class PgSnapshot:
    """What ``pg_current_snapshot()`` returns: which transactions a query saw.

    The three members are 64-bit ids, epoch included; xids of the replication stream have 32 bits
    and are compared by their low half.

    >>> snapshot = PgSnapshot.parse("740:743:741")
    >>> [snapshot.sees(xid) for xid in (739, 740, 741, 742, 743)]
    [True, True, False, True, False]
    """

    xmin: int
    xmax: int
    xip: frozenset[int] = _NONE
    wal_lsn: int | None = None
    """A WAL position after the snapshot was taken: whatever it sees was committed before."""

    @classmethod
    def parse(cls, text: str) -> PgSnapshot:
        """Read ``xmin:xmax:xip,xip,…`` or, as `str` writes it, with ``@lsn`` behind. Raises ValueError."""
        visible, _, lsn = text.partition("@")
        xmin, xmax, xip = visible.split(":")
        running = frozenset(map(int, xip.split(","))) if xip else _NONE
        return cls(int(xmin), int(xmax), running, int(lsn) if lsn else None)

    def __str__(self) -> str:
        position = "" if self.wal_lsn is None else f"@{self.wal_lsn}"
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.xip)))}{position}"

    def sees(self, xid: int) -> bool:
        """Whether the rows that 32-bit *xid* wrote are visible."""
        if precedes(xid, self.xmin & _MASK):
            return True
        if not precedes(xid, self.xmax & _MASK):
            return False
        return all(xid != (running & _MASK) for running in self.xip)

    def sees_nothing_from(self, tx: int) -> bool:
        """Whether a transaction whose commit lies at LSN *tx* cannot be seen, nor any after it.

        The id alone does not tell: of two transactions that are streamed one after the other, the
        later may become visible first.
        """
        return self.wal_lsn is not None and tx >= self.wal_lsn

"""Transaction ids that wrap, and snapshots that see them or do not (PROTOCOL section 9.1)."""

from __future__ import annotations

from dataclasses import dataclass

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


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
    xip: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> PgSnapshot:
        """Read ``xmin:xmax:xip,xip,…``. Raises ValueError."""
        xmin, xmax, xip = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(x) for x in xip.split(",") if x))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.xip)))}"

    def sees(self, xid: int) -> bool:
        """Whether the rows that 32-bit *xid* wrote are visible."""
        if precedes(xid, self.xmin & _MASK):
            return True
        if self.is_before(xid):
            return False
        return all(xid != (running & _MASK) for running in self.xip)

    def is_before(self, xid: int) -> bool:
        """Whether *xid* began after the snapshot was taken: from then on nothing is seen."""
        return not precedes(xid, self.xmax & _MASK)

"""LogOffset: a place in a shape's log (PROTOCOL section 3)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_NUMBER = re.compile(r"\+?[0-9]+", re.ASCII)
INFINITE: Final = (1 << 64) - 1
"""The op of ``<tx>_inf``: after every operation of that transaction."""


class LogOffset(NamedTuple):
    """``tx`` is 0 in the snapshot, else the commit LSN; ``op`` counts inside the transaction.

    A plain tuple underneath: offsets are compared and built for every change.

    >>> LogOffset.parse("26800424_3")
    LogOffset(tx=26800424, op=3)
    >>> LogOffset.parse("0_02") == LogOffset.parse("0_2")
    True
    >>> BEFORE_ALL < LogOffset(0, 0) < SNAPSHOT_END < LogOffset(1, 0)
    True
    >>> str(SNAPSHOT_END), str(BEFORE_ALL)
    ('0_inf', '-1')
    """

    tx: int
    op: int

    @classmethod
    def parse(cls, text: str) -> LogOffset:
        """Read ``-1``, ``<tx>_<op>`` or ``<tx>_inf``. Raises ValueError."""
        if text in ("-1", "-1_0"):
            return BEFORE_ALL
        tx, _, op = text.partition("_")
        if not _NUMBER.fullmatch(tx) or not (op == "inf" or _NUMBER.fullmatch(op)):
            raise ValueError(f"not an offset: {text!r}")
        return cls(int(tx), INFINITE if op == "inf" else int(op))

    def __str__(self) -> str:
        if self.tx < 0:
            return "-1"
        return f"{self.tx}_{'inf' if self.op == INFINITE else self.op}"


BEFORE_ALL: Final = LogOffset(-1, 0)
"""``-1``: before everything."""
SNAPSHOT_END: Final = LogOffset(0, INFINITE)
"""``0_inf``: the end of the snapshot, the beginning of the change log."""

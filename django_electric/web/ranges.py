"""Ranges of logs as bodies, built once for all who ask for them.

What a log holds between two offsets never changes and a handle is never used again, so a body that was
built once is right for ever. A few megabytes of the latest ones are kept in memory.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from threading import Lock
from typing import Final

from django_electric.protocol.messages import array
from django_electric.shapes.offset import LogOffset

SMALL: Final = 1 << 18
"""Bytes up to which a range is read at once, in the event loop: the page cache has it. Of a larger one
no more than this is in memory for a client that reads slowly."""
KEPT: Final = 32 << 20
"""Bytes of bodies kept."""
WORTH_COMPRESSING: Final = 1_024
LEVEL: Final = 1
"""Of gzip: the higher ones cost many times as much for some percent."""

RangeKey = tuple[str, LogOffset, LogOffset]
"""Handle, requested offset, end."""


class Range:
    """The entries of one range, and the bodies made of them."""

    __slots__ = ("_bodies", "entries")

    def __init__(self, entries: bytes) -> None:
        self.entries = entries
        self._bodies: dict[tuple[bytes | None, bool], bytes] = {}

    def body(self, control: bytes | None, *, is_gzipped: bool) -> bytes:
        """The JSON array that ends with *control*."""
        body = self._bodies.get((control, is_gzipped))
        if body is None:
            body = array(self.entries, control)
            if is_gzipped:
                body = gzip.compress(body, LEVEL, mtime=0)
            # The closing message of a range changes with time: the last one is what others ask for.
            self._bodies = {key: kept for key, kept in self._bodies.items() if key[0] == control}
            self._bodies[control, is_gzipped] = body
        return body


class Ranges:
    """The latest ranges of one process."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._ranges: OrderedDict[RangeKey, Range] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, key: RangeKey) -> Range | None:
        found = self._ranges.get(key)
        if found is not None:
            with self._lock:
                if key in self._ranges:
                    self._ranges.move_to_end(key)
        return found

    def put(self, key: RangeKey, entries: bytes) -> Range:
        """Keep a range; room for its bodies is counted too."""
        made = Range(entries)
        with self._lock:
            old = self._ranges.pop(key, None)
            self._size += _room(made) - (_room(old) if old is not None else 0)
            self._ranges[key] = made
            while self._size > self._limit and self._ranges:
                _, gone = self._ranges.popitem(last=False)
                self._size -= _room(gone)
        return made


def _room(kept: Range) -> int:
    """Bytes that a range may come to take: entries, a body, and the same compressed."""
    return 512 + 3 * len(kept.entries)

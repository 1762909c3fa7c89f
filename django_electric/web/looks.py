"""Looks at logs: what there is after an offset, at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django_electric.errors import ShapeGone
from django_electric.protocol.plan import LogView
from django_electric.shapes.offset import LogOffset
from django_electric.storage import Chunk, ShapeLogReader, ShapeStorage
from django_electric.web.listener import Listener
from django_electric.web.ranges import SMALL, Range, Ranges

SECONDS: Final = 0.005
"""The longest moment."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a log."""

    view: LogView
    chunk: Chunk | None
    range: Range | None
    """The entries of the chunk; None if there are none, or too many to hold in memory."""


class Looks:
    """Looks that all who ask at the same moment share.

    A moment ends with the next thing that the listener hears, so that whoever subscribed before a look
    is woken by all that came after it; and it is short, for what is not heard of.
    """

    def __init__(
        self,
        storage: ShapeStorage,
        ranges: Ranges,
        listener: Listener,
        note_read: Callable[[str], None] | None = None,
    ) -> None:
        """*note_read* hears of each log that is looked at."""
        self._storage = storage
        self._note_read = note_read
        self._ranges = ranges
        self._listener = listener
        self._heard = -1
        self._end = 0.0
        self._looks: dict[tuple[str, LogOffset | None], Look | None] = {}

    def at(self, handle: str, offset: LogOffset | None) -> Look | None:
        """As `look_at`."""
        now = time.monotonic()
        if self._heard != self._listener.heard or now > self._end:
            self._heard, self._end, self._looks = self._listener.heard, now + SECONDS, {}
        key = (handle, offset)
        if key not in self._looks:
            self._looks[key] = look_at(self._storage, self._ranges, handle, offset)
            if self._note_read is not None:
                self._note_read(handle)
        return self._looks[key]


def look_at(
    storage: ShapeStorage, ranges: Ranges, handle: str, offset: LogOffset | None
) -> Look | None:
    """What the log holds after *offset*, None being its end; None if there is no log."""
    try:
        reader = storage.reader(handle)
    except ShapeGone:
        return None
    try:
        state = reader.state()
        if offset is None:
            return Look(LogView(state.snapshot_chunks, state.last_offset, None), None, None)
        chunk = reader.chunk_after(offset)
        if chunk is not None and chunk.end > state.last_offset:
            # The log has grown meanwhile, and the chunk may end inside of what is new.
            state = reader.state()
        end, size = (chunk.end, chunk.size) if chunk is not None else (None, 0)
        view = LogView(state.snapshot_chunks, state.last_offset, end, size)
        return Look(view, chunk, _range(ranges, reader, handle, offset, chunk))
    except ShapeGone:
        return None
    finally:
        reader.close()


def _range(
    ranges: Ranges,
    reader: ShapeLogReader,
    handle: str,
    offset: LogOffset,
    chunk: Chunk | None,
) -> Range | None:
    if chunk is None or not 0 < chunk.size <= SMALL:
        return None
    key = (handle, offset, chunk.end)
    return ranges.get(key) or ranges.put(key, reader.read(chunk, 0, chunk.size))

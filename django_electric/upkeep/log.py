"""Reads a shape's log for people: page by page, in both directions, one row's history, one transaction.

A *place* is a byte in the snapshot or in the log of a shape: it names an entry, as an offset does, and can be
gone to at once. Nothing is read beyond what was published. A search looks at no more than a bounded number of
bytes at a time, and says where it is to go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, NamedTuple

from django_electric.shapes.offset import BEFORE_ALL, INFINITE, SNAPSHOT_END, LogOffset
from django_electric.storage import Chunk, ShapeLogReader

PAGE: Final = 50
"""Entries."""
SEARCHED: Final = 32 << 20
"""Bytes that one search looks at."""
_BLOCK: Final = 1 << 18
_PARTS: Final = ("snapshot", "log")
_EVENT: Final = b',{"headers":{"event":'
_PLACE: Final = re.compile(r"(snapshot|log)-(\d{1,18})", re.ASCII)


class Place(NamedTuple):
    """Before an entry, or at the end of a part.

    >>> Place.parse("log-120"), str(Place("snapshot", 0))
    (Place(part='log', byte=120), 'snapshot-0')
    """

    part: str
    byte: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(f"not a place in a log: {text!r}")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.part}-{self.byte}"

    @property
    def rank(self) -> tuple[int, int]:
        """Places are in order of this."""
        return _PARTS.index(self.part), self.byte


BEGINNING: Final = Place("snapshot", 0)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message of a log."""

    place: Place
    message: dict[str, object]

    @property
    def headers(self) -> dict[str, object]:
        headers = self.message.get("headers")
        return headers if isinstance(headers, dict) else {}

    @property
    def operation(self) -> str:
        """``insert``, ``snapshot-end``, ``move-out`` …"""
        headers = self.headers
        return str(headers.get("operation") or headers.get("control") or headers.get("event") or "")

    @property
    def is_moved_in(self) -> bool:
        """It is a row that came because of what another table holds."""
        return self.headers.get("is_move_in") is True

    @property
    def key(self) -> str:
        return str(self.message.get("key", ""))

    @property
    def offset(self) -> str:
        """As clients know it; empty for what names none: first rows, moves and the rows that they bring."""
        lsn, position = self.headers.get("lsn"), self.headers.get("op_position")
        return "" if lsn is None else f"{lsn}_{position}"

    @property
    def txids(self) -> tuple[str, ...]:
        """The transaction; those that caused a move."""
        txids = self.headers.get("txids")
        return tuple(map(str, txids)) if isinstance(txids, list) else ()

    @property
    def value(self) -> str:
        """The row, or which rows a move concerns, as JSON."""
        return _json(self.message.get("value", self.headers.get("patterns")))

    @property
    def old_value(self) -> str:
        return _json(self.message.get("old_value"))


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some entries in order, and where the log goes on in both directions."""

    entries: tuple[LogEntry, ...]
    before: Place | None
    """The page before this one ends here; None at the beginning."""
    after: Place | None
    """The next page begins here; None at the end."""
    is_search: bool = False
    """Entries that do not match were passed over."""


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


class LogBook:
    """The published parts of one log, at the moment it was opened. Raises `ShapeGone` as its reader does."""

    def __init__(self, reader: ShapeLogReader) -> None:
        self._reader = reader
        self._stops = _stops(reader)

    @property
    def end(self) -> Place:
        """Behind the last entry."""
        return Place("log", self._stops["log"])

    def place_of(self, offset: LogOffset) -> Place:
        """Before the entry at *offset*, or else the first that comes after it."""
        chunk = self._reader.chunk_after(_before(offset))
        return self.end if chunk is None else Place(chunk.part, chunk.start)

    def page(self, start: Place, size: int = PAGE) -> LogPage:
        """The entries that follow *start*."""
        found: list[LogEntry] = []
        for place, line in self._lines(start):
            if len(found) == size:
                return LogPage(tuple(found), self._before(start), place)
            found.append(_entry(place, line))
        return LogPage(tuple(found), self._before(start), None)

    def page_before(self, end: Place, size: int = PAGE) -> LogPage:
        """The entries that come before *end*."""
        start = self._step_back(end, size)
        lines = takewhile(lambda line: line[0].rank < end.rank, self._lines(start))
        entries = tuple(_entry(place, line) for place, line in lines)
        after = end if end.rank < self.end.rank else None
        return LogPage(entries, self._before(start), after)

    def history(self, key: str, start: Place = BEGINNING, size: int = PAGE) -> LogPage:
        """What happened to the row with *key*, from *start* on.

        Moves are among it that concern the row by its tags; they are known from its first entry after *start* on.
        """
        wanted = b',{"key":' + json.dumps(key, ensure_ascii=False).encode()
        return self._search(start, _History(wanted), size)

    def transaction(self, txid: int, start: Place = BEGINNING, size: int = PAGE) -> LogPage:
        """The entries of one transaction, from *start* on."""
        # What looks like it inside a value has a backslash before each quotation mark.
        pattern = re.compile(rb'.*[^\\]"txids":\[(?:\d+,)*%d[,\]]' % txid)
        in_log = start if start.part == "log" else Place("log", 0)
        return self._search(in_log, lambda line: pattern.match(line) is not None, size)

    def _search(self, start: Place, matches: Callable[[bytes], bool], size: int) -> LogPage:
        found: list[LogEntry] = []
        looked_at = 0
        for place, line in self._lines(start):
            if len(found) == size or looked_at > SEARCHED:
                return LogPage(tuple(found), None, place, is_search=True)
            looked_at += len(line)
            if matches(line):
                found.append(_entry(place, line))
        return LogPage(tuple(found), None, None, is_search=True)

    def _before(self, start: Place) -> Place | None:
        return None if start == BEGINNING or not self._has_before(start) else start

    def _has_before(self, start: Place) -> bool:
        return start.byte > 0 or (start.part == "log" and self._stops["snapshot"] > 0)

    def _lines(self, start: Place) -> Iterator[tuple[Place, bytes]]:
        """Entries from *start* to the end, through both parts."""
        for part in _PARTS[_PARTS.index(start.part) :]:
            at = start.byte if part == start.part else 0
            for line in self._lines_of(part, at):
                yield Place(part, at), line
                at += len(line)

    def _lines_of(self, part: str, at: int) -> Iterator[bytes]:
        rest = b""
        while at < self._stops[part]:
            data = self._read(part, at, min(self._stops[part], at + _BLOCK))
            at += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in lines)

    def _step_back(self, end: Place, size: int) -> Place:
        """*size* entries before *end*, or the beginning."""
        at = min(end.byte, self._stops[end.part])
        left = size
        tail = b""
        while at > 0:
            block = min(at, _BLOCK)
            at -= block
            tail = self._read(end.part, at, at + block) + tail
            # The first line may be half of one, unless it is the first of all.
            starts = [0] if at == 0 else []
            starts += [found.end() for found in re.finditer(rb"\n", tail)][:-1]
            if len(starts) >= left:
                return Place(end.part, at + starts[-left])
        left -= tail.count(b"\n")
        if end.part == "log" and left > 0:
            return self._step_back(Place("snapshot", self._stops["snapshot"]), left)
        return Place(end.part, 0)

    def _read(self, part: str, start: int, stop: int) -> bytes:
        return self._reader.read(Chunk(SNAPSHOT_END, part, start, stop), 0, stop - start)


class _History:
    """Whether an entry concerns one row; called with the entries in their order."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._tags: list[list[str]] = []
        self._active: list[bool] = []

    def __call__(self, line: bytes) -> bool:
        if line.startswith(self._start):
            headers = _entry(BEGINNING, line).headers
            is_gone = headers.get("operation") == "delete"
            self._tags = [] if is_gone else _slots(headers.get("tags"))
            active = headers.get("active_conditions")
            self._active = list(active) if isinstance(active, list) else []
            return True
        return bool(self._tags) and line.startswith(_EVENT) and self._is_moved(line)

    def _is_moved(self, line: bytes) -> bool:
        """Whether the row has what the move names; from then on it is as that says (PROTOCOL section 12.3)."""
        headers = json.loads(line[1:])["headers"]
        at = {
            pattern["pos"]
            for pattern in headers["patterns"]
            if any(slots[pattern["pos"]] == pattern["value"] for slots in self._tags)
        }
        for position in at:
            self._active[position] = headers["event"] == "move-in"
        if not any(
            all(self._active[n] for n, slot in enumerate(slots) if slot) for slots in self._tags
        ):
            self._tags = []
        return bool(at)


def _slots(tags: object) -> list[list[str]]:
    return [str(tag).split("/") for tag in tags] if isinstance(tags, list) else []


def _stops(reader: ShapeLogReader) -> dict[str, int]:
    """Where the published part of each file ends."""
    state = reader.state()
    snapshot = 0
    position = BEFORE_ALL
    for _ in range(state.snapshot_chunks):
        chunk = reader.chunk_after(position)
        if chunk is None or chunk.part != "snapshot":
            break
        snapshot, position = chunk.stop, chunk.end
    return {"snapshot": snapshot, "log": state.size - snapshot if state.is_snapshot_complete else 0}


def _before(offset: LogOffset) -> LogOffset:
    """The offset that this one comes after at once; those of first rows are of whole chunks."""
    if offset.tx <= 0 or offset.op == INFINITE:
        return offset
    return LogOffset(offset.tx, offset.op - 1) if offset.op else LogOffset(offset.tx - 1, INFINITE)


def _entry(place: Place, line: bytes) -> LogEntry:
    message = json.loads(line[1:])
    return LogEntry(place, message if isinstance(message, dict) else {})

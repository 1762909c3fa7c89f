"""ShapeRequest + one look at the shape's log → what to do about it (PROTOCOL sections 3.5, 3.6, 7.1).

A plan speaks of offsets, not of files. When it says `Wait`, the caller waits and plans again with a
fresh look; when the wait has lasted as long as it may, `after_waiting` says what to answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from django_electric.protocol.params import ShapeRequest
from django_electric.shapes.offset import BEFORE_ALL, LogOffset


class Awaiting(Enum):
    """What a request waits for."""

    FIRST_ROWS = "first rows"
    """The snapshot has not published its first chunk."""
    NEXT_ROWS = "next rows"
    """The snapshot has not published the next chunk."""
    BOUNDS = "bounds"
    """The log has not reached the offset that the client knows."""
    NEWS = "news"
    """The log has nothing that the client lacks."""


@dataclass(frozen=True, slots=True)
class LogView:
    """What one look at a log showed; `chunk_end` is None if the chunk is not published yet."""

    snapshot_chunks: int
    last_offset: LogOffset
    chunk_end: LogOffset | None
    chunk_size: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Answer with the chunk that ends at *end*."""

    end: LogOffset
    is_up_to_date: bool


@dataclass(frozen=True, slots=True)
class NoNews:
    """Answer that there is nothing new: a long poll timed out, or the client asked for ``now``."""

    end: LogOffset


@dataclass(frozen=True, slots=True)
class NotModified:
    """Answer 304: the client holds this very chunk."""

    end: LogOffset
    is_up_to_date: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait, then plan again. *end* is where the log ends as long as nothing comes."""

    reason: Awaiting
    end: LogOffset


@dataclass(frozen=True, slots=True)
class OutOfBounds:
    """Answer 400: the log did not reach the offset asked for."""


@dataclass(frozen=True, slots=True)
class SnapshotOverdue:
    """Answer 500: the first rows did not come."""


Answer = Send | NoNews | NotModified | OutOfBounds | SnapshotOverdue


def plan(
    request: ShapeRequest, log: LogView, handle: str, known_tags: Collection[str] = ()
) -> Answer | Wait:
    """What to do, given one look at the log of the shape with *handle*."""
    if request.offset is None:
        if not log.snapshot_chunks:
            return Wait(Awaiting.FIRST_ROWS, log.last_offset)
        if etag(handle, request, log.last_offset) in known_tags:
            return NotModified(log.last_offset, is_up_to_date=True)
        return NoNews(log.last_offset)
    if request.offset > log.last_offset:
        return Wait(Awaiting.BOUNDS, log.last_offset)
    if log.chunk_end is None:
        reason = Awaiting.NEXT_ROWS if log.snapshot_chunks else Awaiting.FIRST_ROWS
        return Wait(reason, log.last_offset)
    is_up_to_date = _is_up_to_date(request.offset, log.chunk_end, log.last_offset)
    if etag(handle, request, log.chunk_end) in known_tags:
        return NotModified(log.chunk_end, is_up_to_date)
    if request.is_live and not log.chunk_size:
        return Wait(Awaiting.NEWS, log.chunk_end)
    return Send(log.chunk_end, is_up_to_date)


def after_waiting(wait: Wait) -> Answer:
    """What to answer when *wait* has lasted as long as it may."""
    if wait.reason is Awaiting.NEWS:
        return NoNews(wait.end)
    return OutOfBounds() if wait.reason is Awaiting.BOUNDS else SnapshotOverdue()


def etag(handle: str, request: ShapeRequest, end: LogOffset) -> str:
    """The tag of the answer to *request* that ends at *end*, without quotes or suffix (section 6.5)."""
    return f"{handle}:{request.offset_text}:{end}"


def _is_up_to_date(requested: LogOffset, end: LogOffset, last: LogOffset) -> bool:
    # The answer to -1 is never up to date, so that it can be cached for long.
    return requested != BEFORE_ALL and end >= max(last, requested)

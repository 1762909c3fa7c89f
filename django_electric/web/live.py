"""Looks at a shape's log, and waits until it can answer: for first rows, for news, for the bounds.

Nothing is held while waiting: no database connection, no file, only the request itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from django_electric.errors import ElectricError, ShapeGone, SnapshotFailed
from django_electric.protocol.params import ShapeRequest
from django_electric.protocol.plan import Answer, Awaiting, Send, Wait, after_waiting, plan
from django_electric.shapes.offset import SNAPSHOT_END
from django_electric.web.exchange import WebRequest
from django_electric.web.leaves import Revoked
from django_electric.web.listener import Listener, Subscription
from django_electric.web.looks import Look
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found

FIRST_ROWS_SECONDS: Final = 45.0
NEXT_ROWS_SECONDS: Final = 60.0
REASON_SECONDS: Final = 1.0
"""How long the worker may take to say why a shape could not be filled."""
WORKER_SECONDS: Final = 5.0
"""How long a shape that the worker has to fill waits for the worker."""


class NotReady(ElectricError):
    """The worker is not there."""


class NotCreated(ElectricError):
    """Failed to create shape, please retry"""


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer, the look it rests on, and what the worker had published before that look."""

    answer: Answer
    look: Look | None
    lsn: int


class Patience:
    """How long one request may wait for each thing; counted from when it began to wait for it."""

    def __init__(self, long_poll_ms: int, listener: Listener, clock: Callable[[], float]) -> None:
        long_poll = long_poll_ms / 1000
        self._limits = {
            Awaiting.FIRST_ROWS: FIRST_ROWS_SECONDS,
            Awaiting.NEXT_ROWS: NEXT_ROWS_SECONDS,
            Awaiting.BOUNDS: long_poll / 2,
            Awaiting.NEWS: long_poll,
        }
        self._listener = listener
        self._clock = clock
        self._since: dict[Awaiting, float] = {}

    def left(self, reason: Awaiting) -> float:
        """Seconds left. Raises `NotReady` if only the worker could help and it is not there."""
        now = self._clock()
        waited = now - self._since.setdefault(reason, now)
        if reason is Awaiting.FIRST_ROWS and not self._listener.is_active:
            if waited >= WORKER_SECONDS:
                raise NotReady
            return WORKER_SECONDS - waited
        return self._limits[reason] - waited


async def settle(
    service: ShapeService,
    found: Found,
    wanted: ShapeRequest,
    request: WebRequest,
    known_tags: Collection[str] = (),
) -> Settled:
    """Look, and wait, until what *request* wants can be answered.

    Raises `SnapshotFailed`, `NotReady`, `NotCreated`, `ShapeGone` if the shape goes meanwhile, or `Revoked`
    if the leave to read it does.
    """
    listener, leave = service.listener, request.leave
    patience = Patience(service.settings.long_poll_timeout, listener, time.monotonic)
    was_seen = is_filled = False
    with listener.subscribe(found.handle) as news, service.leaves.follow(leave, news.wake):
        while True:
            if leave.is_revoked:
                raise Revoked
            # In this order: subscribe, look, wait. Whatever comes after the look wakes the wait.
            news.clear()
            lsn = listener.last_lsn or 0
            look = service.looks.at(found.handle, wanted.offset)
            if look is None and was_seen:
                await _tell_why_it_went(news, is_filled=is_filled)
            was_seen = look is not None
            is_filled = look is not None and look.view.snapshot_chunks > 0
            decision = _decide(look, found.handle, wanted, known_tags)
            if not isinstance(decision, Wait):
                return Settled(decision, look, lsn)
            if service.is_closing and decision.reason is not Awaiting.NEWS:
                raise NotReady
            left = 0.0 if service.is_closing else patience.left(decision.reason)
            if decision.reason is Awaiting.NEWS:
                left = min(left, leave.seconds)
            if left <= 0:
                return Settled(after_waiting(decision), None, lsn)
            request.on_wait()
            service.ending.follow()
            service.note_waiting()
            await _wait(
                service, news, min(left, listener.poll_seconds), wanted, has_log=look is not None
            )


async def _tell_why_it_went(news: Subscription, *, is_filled: bool) -> None:
    """Raise `SnapshotFailed` or `ShapeGone` for a log that was there."""
    if not is_filled and news.failure is None:
        # The worker removes the log first, then the row, and says last what went wrong.
        await news.wait(REASON_SECONDS)
    if news.failure is not None:
        raise SnapshotFailed(news.failure.message, status=news.failure.status)
    raise ShapeGone(f"shape {news.handle} went while a request waited for it")


def _decide(
    look: Look | None, handle: str, wanted: ShapeRequest, known_tags: Collection[str]
) -> Answer | Wait:
    if look is None:
        return Wait(Awaiting.FIRST_ROWS, SNAPSHOT_END)
    decision = plan(wanted, look.view, handle, known_tags)
    if wanted.is_sse and isinstance(decision, Wait) and decision.reason is Awaiting.NEWS:
        # A stream begins at once and waits with its headers sent.
        return Send(decision.end, is_up_to_date=True)
    return decision


async def _wait(
    service: ShapeService,
    news: Subscription,
    seconds: float,
    wanted: ShapeRequest,
    *,
    has_log: bool,
) -> None:
    if not has_log:
        service.listener.send("registered", news.handle)
    await news.wait(seconds)
    if news.failure is not None:
        raise SnapshotFailed(news.failure.message, status=news.failure.status)
    if (
        not has_log
        and not service.has_log(news.handle)
        and not await service.shapes.exists(news.handle)
    ):
        if wanted.has_position:
            raise ShapeGone(f"shape {news.handle} was deleted")
        raise NotCreated

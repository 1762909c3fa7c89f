"""LeaveWatch: whoever waits with leave to read is woken when it is revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django_electric.errors import ElectricError
from django_electric.revocations import LOOK_SECONDS, Leave

logger = logging.getLogger(__name__)


class Revoked(ElectricError):
    """Leave to read this was taken back: sign in, or ask for it anew"""


class LeaveWatch:
    """Of one event loop. It looks at the file of revocations only while a user's request waits."""

    def __init__(self) -> None:
        self._waiting: set[tuple[Leave, Callable[[], None]]] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def follow(self, leave: Leave, wake: Callable[[], None]) -> Iterator[None]:
        """Call *wake* when *leave* is revoked meanwhile."""
        if not leave.is_bound:
            yield
            return
        entry = leave, wake
        self._waiting.add(entry)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="electric-leaves")
        try:
            yield
        finally:
            self._waiting.discard(entry)

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            for leave, wake in list(self._waiting):
                if _is_over(leave):
                    wake()


def _is_over(leave: Leave) -> bool:
    try:
        return leave.is_revoked
    except OSError:
        # Whoever is woken looks as well, and is refused.
        logger.exception("the file of revocations cannot be read")
        return True

"""Pulse: answers for a worker that is held up, by a disk that does not answer or by a long query.

Postgres ends a replication connection of which it has heard nothing for ``wal_sender_timeout``, and sends
everything since the last confirmation once more. A worker that is slow must not pay for it so: a thread of
its own repeats what was confirmed last. It never confirms anything new.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Final, Self

from django_electric.errors import ReplicationLost
from django_electric.replication.connection import ReplicationConnection

logger = logging.getLogger("django_electric.worker")

LONGEST_INTERVAL: Final = 5.0
"""Seconds between two signs of life, however patient the server is."""
HELD_UP_SECONDS: Final = 15.0
"""Without a confirmation for so long the worker is held up, and somebody should know."""


def interval_of(stream: ReplicationConnection) -> float:
    """Seconds after which the server should have heard something; asks it, before the stream begins."""
    query = "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'"
    timeout = int(stream.query(query)[0][0] or 0) / 1000  # 0: it never loses patience
    return min(timeout / 3 or LONGEST_INTERVAL, LONGEST_INTERVAL)


class Pulse:
    """A thread that lives as long as the stream does. Use as a context manager."""

    def __init__(self, stream: ReplicationConnection, interval: float) -> None:
        """*interval*: seconds, from `interval_of`."""
        self._stream = stream
        self._interval = interval
        self._stopping = threading.Event()
        self._has_complained = False
        self._thread = threading.Thread(target=self._run, name="electric-pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval / 2):
            try:
                self._stream.confirm_again(self._interval)
            except ReplicationLost:
                return  # whoever reads the stream will find out why
            self._complain(time.monotonic() - self._stream.confirmed_at)

    def _complain(self, silent: float) -> None:
        """Once for each time that the worker is held up."""
        is_held_up = silent > HELD_UP_SECONDS
        if is_held_up and not self._has_complained:
            logger.warning(
                "the worker has been held up for %.0f s, by the disk or by a query; nothing is published meanwhile",
                silent,
            )
        self._has_complained = is_held_up

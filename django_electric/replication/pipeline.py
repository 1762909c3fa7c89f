"""Pipeline: decode → build → route → append → publish → announce, for what the stream brings.

The order of `flush` is the promise of the package. Entries are published, which puts them into the
kernel's hands; only then do readers hear of them; and only after a sync is their LSN confirmed
(`FlushTracker`). If decoding or routing raises, nothing of that transaction was published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from django_electric.postgres.pgoutput import Commit, decode
from django_electric.postgres.streaming import KEEPALIVE, PAYLOAD_AT, XLOG_DATA, decode_keepalive
from django_electric.replication.announcer import Announcer
from django_electric.replication.connection import ReplicationConnection
from django_electric.shapes.flush import FlushTracker
from django_electric.shapes.transactions import Outcome, TransactionBuilder
from django_electric.storage import ShapeStorage

_BREATH = 256
"""Frames between two looks at the clock."""
_LEAST_WAIT, _MOST_WAIT = 0.05, 4.0
"""Seconds that a transaction waits for others to be published with, while the stream never pauses:
the longer it has not paused, the longer, up to the second. What is far behind loses nothing by it,
and a file that gets several entries at once costs as little as one that gets a single entry."""
_PUBLISHING_SHARE = 10
"""So many times as long as publishing took is it put off, unless the stream pauses."""
_MOST_BYTES = 32 << 20
"""Received bytes after which it is published all the same, so that memory stays bounded."""


class Pipeline:
    """What a change passes through between the socket and the files."""

    def __init__(
        self,
        builder: TransactionBuilder,
        storage: ShapeStorage,
        announcer: Announcer,
        flushed: FlushTracker,
        act: Callable[[Outcome], None],
    ) -> None:
        self.builder = builder
        self.flushed = flushed
        self.wants_status = False
        """The server asked for a status update."""
        self._storage = storage
        self._announcer = announcer
        self._act = act
        self._unflushed = 0
        self._complete = flushed.published
        """LSN after the last whole transaction or keepalive: published with the next flush."""

    def pump(self, stream: ReplicationConnection, breathe: Callable[[float], bool | None]) -> None:
        """Take what has arrived and publish it, and what arrives meanwhile.

        *breathe* is called with the time every now and then; if it says False, that is enough.
        """
        began = flushed_at = time.monotonic()
        wait = _LEAST_WAIT
        for frames, frame in enumerate(_arriving(stream), 1):
            self.take(frame)
            if frames % _BREATH and self._unflushed < _MOST_BYTES:
                continue
            now = time.monotonic()
            if now - flushed_at > wait or self._unflushed >= _MOST_BYTES:
                self.flush()
                flushed_at = time.monotonic()
                wait = _wait(flushed_at - began, flushed_at - now)
            if breathe(now) is False:
                break
        self.flush()

    def take(self, frame: bytes) -> None:
        """One frame of the stream."""
        kind = frame[0]
        if kind == XLOG_DATA:
            message = decode(frame, PAYLOAD_AT)
            size = len(frame)
            self._unflushed += size
            self.builder.handle(message, size)
            if type(message) is Commit:
                self._complete = message.end_lsn
        elif kind == KEEPALIVE:
            keepalive = decode_keepalive(frame)
            self.wants_status |= keepalive.wants_reply
            self.flushed.received = max(self.flushed.received, keepalive.wal_end)
            if not self.builder.is_in_transaction:
                self._complete = max(self._complete, keepalive.wal_end)

    def flush(self) -> None:
        """Publish what is complete, tell the readers, act on what the stream asked for."""
        self._unflushed = 0
        self._publish()
        while (outcome := self.builder.take_outcome()) is not None:
            self._act(outcome)
            self._publish()
        if self._complete > self.flushed.published:
            self.flushed.published = self._complete
            self.flushed.received = max(self.flushed.received, self._complete)
        self._announcer.reached(self.builder.complete_tx)

    def _publish(self) -> None:
        moved = self._storage.publish()
        if moved:
            self._announcer.moved(moved)


def _wait(busy: float, publishing: float) -> float:
    """Seconds until it is published again, if the stream has not paused for *busy* seconds, and it took
    *publishing* seconds just now: into thousands of files that takes its time."""
    return min(max(_LEAST_WAIT, busy / 2, publishing * _PUBLISHING_SHARE), _MOST_WAIT)


def _arriving(stream: ReplicationConnection) -> Iterator[bytes]:
    """The frames that are here, and those that come while they are taken."""
    while True:
        stream.receive()
        yield from stream.frames()
        if not stream.has_more():
            return

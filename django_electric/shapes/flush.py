"""FlushTracker: which LSN may be confirmed to Postgres, and when to make more of it durable.

``published ≥ requested ≥ confirmed``. Published is in the files; requested is being synced; confirmed
is on disk and need not be sent again. The clock is always passed in.
"""

from __future__ import annotations

SYNC_INTERVAL = 1.0
"""Seconds between two syncs, while there is something to confirm."""
SYNC_SHARE = 0.25
"""A slow disk is given rest: syncing takes no more than this share of the time."""


class FlushTracker:
    """Positions of one stream, in the order in which they advance."""

    def __init__(self, confirmed: int) -> None:
        self.received = confirmed
        """The server has sent everything up to here."""
        self.published = confirmed
        """Everything up to here is in the files, or concerned no shape."""
        self.requested = confirmed
        self.confirmed = confirmed
        self._held_at: int | None = None
        self._requested_at = 0.0
        self._next_sync_at = float("-inf")

    def hold_at(self, lsn: int | None) -> None:
        """Confirm nothing beyond *lsn*: the transaction that ends there is not visible yet.

        If the worker starts anew it gets the transaction again, for shapes that register in time.
        """
        self._held_at = lsn

    def next_sync(self, now: float, *, has_more: bool = False) -> int | None:
        """The LSN to sync up to, if a sync is due at *now* (monotonic seconds).

        *has_more*: there is something to make durable that no LSN tells of.
        """
        goal = max(self.goal(), self.requested)
        if now < self._next_sync_at or (goal == self.requested and not has_more):
            return None
        self.requested = goal
        self._requested_at = now
        self._next_sync_at = now + SYNC_INTERVAL
        return goal

    def goal(self) -> int:
        """The LSN that may be confirmed once it is synced."""
        free = self.published if self._held_at is None else min(self.published, self._held_at)
        return max(self.confirmed, free)

    def synced(self, lsn: int, now: float | None = None) -> bool:
        """Everything up to *lsn* is on disk since *now*; whether that is news."""
        if now is not None:
            rest = (now - self._requested_at) / SYNC_SHARE
            self._next_sync_at = max(self._next_sync_at, self._requested_at + rest)
        self.requested = max(self.requested, lsn)
        if lsn <= self.confirmed:
            return False
        self.confirmed = lsn
        return True

"""Who may write: an advisory lock in Postgres and a lock on a file beside the logs.

The advisory lock chooses among workers anywhere; it dies with the replication connection. The file
lock closes the moment in which a worker has lost its connection and does not know it yet: it writes
to the logs until it lets go of the file, so another waits for both.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from typing import Self

from django_electric.postgres.relation import quote_literal
from django_electric.replication.connection import ReplicationConnection
from django_electric.wakeup import STANDBY_LOCK, WRITER_LOCK


class FileLock:
    """A ``flock`` that is tried, never waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def try_acquire(self) -> bool:
        """Whether the lock is held now."""
        if self._fd >= 0:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def owner(self) -> str:
        """What the last holder wrote."""
        return os.pread(self._fd, 200, 0).decode("ascii", "replace")

    def sign(self, name: str) -> None:
        """Write *name* into the file."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, name.encode("ascii"), 0)


class WriterLocks:
    """Both locks of one worker."""

    def __init__(self, root: Path, slot: str) -> None:
        self._slot = slot
        self._writer = FileLock(root / WRITER_LOCK)
        self._standby = FileLock(root / STANDBY_LOCK)
        self._name = f"{os.getpid()}-{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def try_acquire(self, replication: ReplicationConnection) -> bool:
        """Whether this worker is the writer now; while it is not, it is known as a standby."""
        rows = replication.query(
            f"SELECT pg_try_advisory_lock(hashtext({quote_literal(self._slot)}))"
        )
        if rows[0][0] == "t" and self._writer.try_acquire():
            self._standby.release()
            return True
        if rows[0][0] == "t":
            replication.query(f"SELECT pg_advisory_unlock(hashtext({quote_literal(self._slot)}))")
        self._standby.try_acquire()
        return False

    def was_last_writer(self) -> bool:
        """Whether nobody else has written since this worker last held the lock; signs for the next time."""
        mine = self._writer.owner() == self._name
        self._writer.sign(self._name)
        return mine

    def release(self) -> None:
        self._writer.release()
        self._standby.release()

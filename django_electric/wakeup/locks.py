"""The locks by which workers are known to be there, as everybody else sees them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

WRITER_LOCK: Final = "writer.lock"
"""The worker that writes the logs holds a ``flock`` on this file."""
STANDBY_LOCK: Final = "standby.lock"
"""A worker that waits for the advisory lock holds a ``flock`` on this file."""


def is_locked(path: Path) -> bool:
    """Whether somebody holds the ``flock`` on *path*; not if there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

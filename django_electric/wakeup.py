"""How the worker and the web processes wake each other: lines of text over a Unix stream socket.

The worker listens on a socket beside the logs; each web process connects. A message is a hint: one
that is lost costs at most the poll interval, never data. After connecting, and after connecting
again, a web process looks at the files instead of trusting what it heard before.

One message is one line of ASCII: a verb and its words.

=========================  ================================================================
worker to web
=========================  ================================================================
``state <s>``              the worker's state, ``starting`` or ``active``; the first line sent
``lsn <n>``                everything committed up to this LSN is published (decimal)
``moved <handle>…``        these shapes have something new to read, in snapshot or log
``gone <handle>…``         these shapes were rotated or deleted
``failed <handle> <json>`` the first rows could not be read: ``{"status": …, "message": …}``
=========================  ================================================================

=========================  ================================================================
web to worker
=========================  ================================================================
``registered <handle>``    a row was added to the catalogue
``deleted <handle>``       a row was removed from the catalogue
=========================  ================================================================
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_LONGEST_SOCKET_PATH = 100
"""``sun_path`` holds 108 bytes on Linux and 104 on macOS."""
STANDBY_LOCK = "standby.lock"
"""A worker that waits for the advisory lock holds a ``flock`` on this file."""


def socket_path(root: Path) -> Path:
    """Where the worker of the stream with directory *root* listens."""
    beside_logs = root / "worker.sock"
    if len(os.fsencode(beside_logs)) <= _LONGEST_SOCKET_PATH:
        return beside_logs
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"django-electric-{os.getuid()}-{digest}.sock"


def encode(verb: str, *words: str) -> bytes:
    """One message."""
    return " ".join((verb, *words)).encode("ascii") + b"\n"


def decode(line: bytes) -> tuple[str, str]:
    """The verb and the rest of a line."""
    verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
    return verb, rest


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that *data* completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return iter(lines)


def batches(handles: Iterable[str], size: int = 500) -> Iterator[list[str]]:
    """*handles* in lists of at most *size*, so that no line grows without bound."""
    batch: list[str] = []
    for handle in handles:
        batch.append(handle)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

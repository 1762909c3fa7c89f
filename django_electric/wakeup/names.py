"""Where the two sides meet: the names that they derive from the stream."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

_LONGEST_SOCKET_PATH: Final = 100
"""``sun_path`` holds 108 bytes on Linux and 104 on macOS."""


class Directions(NamedTuple):
    """Two names: what is said to the web processes, and what is said to the worker."""

    to_web: str
    to_worker: str


def socket_path(root: Path) -> Path:
    """Where the worker of the stream with directory *root* listens."""
    beside_logs = root / "worker.sock"
    if len(os.fsencode(beside_logs)) <= _LONGEST_SOCKET_PATH:
        return beside_logs
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"django-electric-{os.getuid()}-{digest}.sock"


def notify_channels(stream_id: str) -> Directions:
    """Postgres's channels: identifiers of less than 64 bytes, since a stream has at most 40."""
    return Directions(f"electric_{stream_id}_web", f"electric_{stream_id}_worker")


def layer_groups(stream_id: str) -> Directions:
    """Groups of a channel layer, which know no ``$``; a stream has no ``.`` that it could be taken for."""
    name = stream_id.replace("$", ".")
    return Directions(f"electric-{name}-web", f"electric-{name}-worker")

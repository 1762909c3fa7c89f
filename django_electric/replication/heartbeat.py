"""Heartbeat: what the worker says of itself every few seconds, in a file beside its logs.

Nobody waits for it and nothing depends on it: commands, checks and the admin read it to tell people how
the worker is, and draw what it was like during the last half hour.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

from django_electric.storage import state_file

HEARTBEAT_FILE: Final = "heartbeat.json"
INTERVAL: Final = 5.0
"""Seconds between two beats, and so between two samples."""
SAMPLES: Final = 360
"""As many samples are kept: half an hour."""
STALE_SECONDS: Final = 20.0
"""A worker that was not heard of for so long is not there, or cannot do its work."""


class Vitals(NamedTuple):
    """How far a worker has come."""

    published: int
    """Everything up to this LSN is in the logs."""
    confirmed: int
    """And up to this one Postgres need not send it again."""
    wal_end: int
    """Where the WAL of the server ended a moment ago; 0 while unknown."""
    changes: int
    """Rows that were changed, since the worker began."""
    shapes: int

    @property
    def behind(self) -> int:
        """Bytes of WAL that are not in the logs."""
        return max(0, self.wal_end - self.published)


class Sample(NamedTuple):
    """One point of the chart."""

    at: float
    """Seconds since 1970."""
    behind: int
    """Bytes of WAL."""
    changes: float
    """Changed rows a second since the sample before."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One beat; the file holds the last one."""

    at: float
    """Seconds since 1970, as `Sample.at` and `started_at`."""
    started_at: float
    host: str
    pid: int
    is_stopped: bool
    """The worker has ended as it was asked to."""
    vitals: Vitals
    samples: tuple[Sample, ...] = ()

    def to_json(self) -> dict[str, object]:
        """`read_heartbeat` reads it."""
        return {**asdict(self), "vitals": self.vitals, "samples": self.samples}


def read_heartbeat(root: Path) -> Heartbeat | None:
    """The last beat of the worker that writes below *root*; None if there is none that can be read."""
    value = state_file.read(root / HEARTBEAT_FILE)
    try:
        fields = dict(value)  # type: ignore[call-overload]  # or the except
        fields["vitals"] = Vitals(*fields["vitals"])
        fields["samples"] = tuple(Sample(*sample) for sample in fields["samples"])
        return Heartbeat(**fields)
    except (TypeError, ValueError, KeyError):
        return None


class Heart:
    """The worker's end. *clock* gives seconds since 1970."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock
        self._started_at = clock()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._last: tuple[float, Vitals] | None = None
        self._next = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time to `beat`; *now* in monotonic seconds."""
        return now >= self._next

    def beat(self, now: float, vitals: Vitals) -> None:
        """Tell how it is. Harmless where nothing can be written: what is missed is only told."""
        self._next = now + INTERVAL
        at = self._clock()
        if self._last is None:
            before = read_heartbeat(self._root)
            self._samples.extend(before.samples if before is not None else ())
        else:
            self._samples.append(self._sample(at, vitals, *self._last))
        self._last = at, vitals
        self._write(at, vitals, is_stopped=False)

    def stop(self) -> None:
        """The worker ends as it was asked to."""
        if self._last is not None:
            self._write(self._clock(), self._last[1], is_stopped=True)

    @staticmethod
    def _sample(at: float, vitals: Vitals, before: float, last: Vitals) -> Sample:
        # An engine that was built anew counts from nothing.
        changes = max(0, vitals.changes - last.changes)
        return Sample(round(at, 1), vitals.behind, round(changes / max(0.1, at - before), 1))

    def _write(self, at: float, vitals: Vitals, *, is_stopped: bool) -> None:
        beat = Heartbeat(
            at=at,
            started_at=self._started_at,
            host=socket.gethostname(),
            pid=os.getpid(),
            is_stopped=is_stopped,
            vitals=vitals,
            samples=tuple(self._samples),
        )
        with suppress(OSError):
            state_file.replace_quickly(self._root / HEARTBEAT_FILE, beat.to_json())

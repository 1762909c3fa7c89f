"""Revocations: whose leave to read ended, and when; one file in the storage that all processes see.

A line of the file says that whatever was allowed to a user up to a moment is allowed no longer. It says
nothing of what is allowed afterwards, so that whoever signs in again is let in at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Final

FILE: Final = "revocations.log"
LOOK_SECONDS: Final = 0.25
"""How old may be what a process knows of the file."""
TRIAL_SECONDS: Final = 1.0
"""Whoever is let in so soon after a revocation may have been let in by what was just being taken away: the
session of a logout goes a moment after the signal, other things when a transaction commits. So it is good
only for the rest of this time, and then the project is asked anew."""
KEPT_SECONDS: Final = 86_400.0
"""How long a revocation is kept at least; longer if tokens live longer."""
LARGEST: Final = 1 << 20
"""Bytes after which the file is rewritten without what is of no use any more, unless twice as many are."""
_HEAD: Final = 34
"""Bytes of the first line: which file it is, at random, and how large it may grow."""
_MICRO: Final = 1_000_000


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


# --- The file -------------------------------------------------------------------------------------------


class RevocationLog:
    """The file as those see it who write to it, from any process."""

    def __init__(self, root: Path, kept_seconds: float = KEPT_SECONDS) -> None:
        self.path = root / FILE
        self._kept = kept_seconds

    def append(self, users: Iterable[str], moment: int | None = None) -> None:
        """Revoke what was allowed to *users* up to *moment*, now by default; on disk when this returns.

        Raises OSError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            at = now() if moment is None else moment
            entries = dict.fromkeys(users, at)
            if not self._append(entries):
                self._replace({**self._useful(at), **entries})

    def _append(self, entries: Mapping[str, int]) -> bool:
        """Whether there was a file, and room in it."""
        try:
            with self.path.open("r+b") as file:
                head = file.read(_HEAD)
                size = file.seek(0, os.SEEK_END)
                if len(head) < _HEAD or size > int(head[17:]):
                    return False
                file.seek(size - 1)
                # A line that a power cut left unfinished ends here.
                file.write((b"" if file.read(1) == b"\n" else b"\n") + _lines(entries))
                file.flush()
                os.fsync(file.fileno())
                return True
        except FileNotFoundError:
            return False

    def _useful(self, at: int) -> dict[str, int]:
        try:
            old = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        oldest = at - self._kept * _MICRO
        by_time = sorted(_entries(old[_HEAD:]), key=itemgetter(1))
        return {user: t for user, t in by_time if t > oldest}

    def _replace(self, entries: Mapping[str, int]) -> None:
        lines = _lines(entries)
        head = f"#{secrets.token_hex(8)}{max(LARGEST, 2 * len(lines)):016d}\n".encode()
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(head + lines)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Not the file itself, which may be replaced while somebody waits for it.
        fd = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _lines(entries: Mapping[str, int]) -> bytes:
    """One line each: keys of users may hold anything.

    >>> _lines({"auth.User:5": 17})
    b'["auth.User:5",17]\\n'
    """
    return b"".join(
        json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries.items()
    )


def _entries(data: bytes) -> Iterator[tuple[str, int]]:
    """Those of whole lines. A line that says nothing is passed over: a power cut may leave one."""
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        try:
            user, at = json.loads(line)
        except ValueError:
            continue
        yield user, at


# --- What one process knows -------------------------------------------------------------------------------


class Revocations:
    """The file as those see it who let others read. For several threads."""

    def __init__(
        self,
        root: Path,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = root / FILE
        self._kept = kept_seconds
        self._clock = clock
        self._lock = Lock()
        self._looked = -inf
        self._seen: tuple[int, int, int] | None = None
        self._head = b""
        self._end = 0
        self._latest: dict[str, int] = {}

    def of(self, user: str, max_age: float = LOOK_SECONDS) -> int | None:
        """When *user* was revoked last; None if never. *max_age* is that of what is known, in seconds.

        Raises OSError if the file is there and cannot be read: nobody is let in by a mistake.
        """
        if self._clock() - self._looked >= max_age:
            self.look()
        return self._latest.get(user)

    def leave(self, user: str | None, since: int, until: int | None = None) -> Leave:
        """Leave to read for *user*, about whom the project began to be asked at *since*."""
        return Leave(self, user, since, until)

    def look(self) -> None:
        """Read what is new in the file."""
        with self._lock:
            self._looked = self._clock()
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return  # nothing was revoked yet; what was revoked before is still known
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if seen != self._seen:
                self._read()
                self._seen = seen

    def _read(self) -> None:
        with self._path.open("rb") as file:
            head = file.read(_HEAD)
            if head != self._head:
                self._head, self._end = head, len(head)
                self._forget_old()
            file.seek(self._end)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._end += whole
        for user, at in _entries(data[:whole]):
            self._latest[user] = max(at, self._latest.get(user, 0))

    def _forget_old(self) -> None:
        oldest = now() - self._kept * _MICRO
        self._latest = {user: at for user, at in self._latest.items() if at > oldest}


def kept_seconds(token_ms: int) -> float:
    """How long revocations count where tokens live for *token_ms*."""
    return max(KEPT_SECONDS, 2 * token_ms / 1000)


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave to read, until it is revoked."""

    revocations: Revocations | None
    user: str | None
    since: int
    """When the project began to be asked, in microseconds since 1970."""
    until: int | None = None
    """When it ends of itself."""

    @property
    def is_bound(self) -> bool:
        """Whether it is a user's, so that it can be revoked at all."""
        return self.revocations is not None and self.user is not None

    @property
    def is_revoked(self) -> bool:
        last = self._last()
        return last is not None and self.since <= last

    @property
    def seconds(self) -> float:
        """How long it is good without asking the project anew, if it is not revoked."""
        left = inf if self.until is None else max(0.0, (self.until - now()) / _MICRO)
        return min(left, self.trial_seconds)

    @property
    def trial_seconds(self) -> float:
        """What is left of the trial (`TRIAL_SECONDS`) in which it was given; infinite if it was not."""
        last = self._last()
        trial = TRIAL_SECONDS * _MICRO
        if last is None or self.since - last >= trial:
            return inf
        return max(0.0, (last + trial - now()) / _MICRO)

    def _last(self) -> int | None:
        if self.revocations is None or self.user is None:
            return None
        return self.revocations.of(self.user)


UNBOUND: Final = Leave(None, None, 0)
"""Of requests that no user's leave decides about: with the secret, or for everybody."""

"""Syncer: makes published entries durable, in a thread, so that their LSN may be confirmed.

Nothing is confirmed to Postgres that is not on disk. Postgres sends again what was not confirmed, and
a log passes over what it has; so a power cut costs nothing but the time to read it once more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import cast

from django_electric.replication.events import Inbox, Synced, ThreadFailed
from django_electric.storage import ShapeStorage, state_file

logger = logging.getLogger("django_electric.sync")


def boot_id() -> str:
    """Names this run of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the logs belong to, and how far they are known to be on disk."""

    system: str
    synced: int
    boot: str = ""
    """Which run of the machine wrote this; while it lasts, written is as good as synced."""

    @classmethod
    def load(cls, path: Path) -> EngineState | None:
        """None if there is no state, or none that can be read."""
        try:
            value = cast("dict[str, str]", state_file.read(path))
            return cls(str(value["system"]), int(value["synced"]), str(value.get("boot", "")))
        except (ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Replace the file in one step, durably."""
        state_file.replace(path, asdict(self))


class Syncer:
    """One request at a time: sync these logs, then say that this LSN is safe."""

    def __init__(self, storage: ShapeStorage, state_path: Path, system: str, inbox: Inbox) -> None:
        self._storage = storage
        self._state_path = state_path
        self._system = system
        self._inbox = inbox
        self._requests: SimpleQueue[tuple[Collection[str], int] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="electric-sync", daemon=True)
        self.is_busy = False
        """Set and cleared by the main thread."""
        self._is_done = threading.Event()
        self._is_done.set()

    def start(self) -> None:
        self._thread.start()

    def request(self, handles: Collection[str], lsn: int) -> None:
        """Sync *handles*; the inbox hears `Synced(lsn)`."""
        self.is_busy = True
        self._is_done.clear()
        self._requests.put((handles, lsn))

    def wait(self) -> None:
        """Return once nothing is being written: another worker may be the next to write."""
        self._is_done.wait(30)

    def stop(self) -> None:
        self._requests.put(None)
        if self._thread.ident is not None:
            self._thread.join(30)

    def sync_now(self, handles: Collection[str], lsn: int) -> None:
        """The same on the caller's thread."""
        began = time.monotonic()
        self._storage.sync(handles)
        logger.debug("%d logs synced in %.3f s", len(handles), time.monotonic() - began)
        EngineState(self._system, lsn, boot_id()).save(self._state_path)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                try:
                    self.sync_now(*request)
                finally:
                    self._is_done.set()
            except (
                Exception
            ) as error:  # the main thread stops: a disk that fails is no place for logs
                self._inbox.put(ThreadFailed(error))
                return
            self._inbox.put(Synced(request[1]))

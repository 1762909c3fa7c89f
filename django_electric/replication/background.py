"""WorkerThread: the worker beside other work, in a thread of this process.

For development, and for channel layers that live in memory. Everywhere else it deserves a process of its
own: here it shares the interpreter with the web server.
"""

from __future__ import annotations

import threading
from typing import Final

from django_electric.conf import ElectricSettings
from django_electric.replication.worker import Worker

STOP_SECONDS: Final = 20.0


class WorkerThread:
    """Started once, stopped once. A worker that is needed no more elsewhere lets this one take over."""

    def __init__(self, settings: ElectricSettings) -> None:
        self._worker = Worker(settings)
        self._thread = threading.Thread(
            target=self._worker.run, name="electric-worker", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Ask it to finish, and wait for that; whether it has ended."""
        self._worker.request_stop()
        self._thread.join(seconds)
        return not self._thread.is_alive()

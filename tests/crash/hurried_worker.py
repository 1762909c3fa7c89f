"""``run_electric_replication`` that waits for little, and whose disk a test can hold up.

While the file ``held`` lies in STORAGE_DIR, whoever publishes entries waits, as for a disk that does not answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
django.setup()

from django_electric.replication import engine, readers, slot_wait, watch, worker  # noqa: E402
from django_electric.storage import FileStorage  # noqa: E402

HELD = Path(os.environ["ELECTRIC_STORAGE_DIR"]) / "held"


class HeldStorage(FileStorage):
    """On a disk that may be held up."""

    def publish(self) -> Collection[str]:
        while self.pending and HELD.exists():
            time.sleep(0.01)
        return super().publish()


if __name__ == "__main__":
    slot_wait.LOOK_SECONDS = 0.5  # type: ignore[misc]
    readers.IDLE_SECONDS = 0.5
    watch.TABLES_SECONDS = 0.5
    worker.STATUS_INTERVAL = 0.5
    worker.SILENCE_SECONDS = 3.0
    engine.FileStorage = HeldStorage  # type: ignore[misc]
    call_command("run_electric_replication")

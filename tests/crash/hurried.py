"""HurriedServer: its worker is ``hurried_worker``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import ElectricServer
from tests.support.waiting import eventually


class HurriedServer(ElectricServer):
    worker_command = ("-m", "tests.crash.hurried_worker")

    @property
    def slot(self) -> str:
        return f"electric_slot_{self.stream_id}"

    @contextmanager
    def held_disk(self) -> Iterator[None]:
        """The worker's next attempt to publish something takes as long as this does."""
        held = self.storage / "held"
        held.touch()
        try:
            yield
        finally:
            held.unlink()

    def says(self, pattern: str, *, since: int = 0, seconds: float = 30.0) -> re.Match[str]:
        """Wait until the worker's log holds *pattern*, after its first *since* characters."""
        found = eventually(
            lambda: re.search(pattern, self.log()[since:]), f"{pattern!r}", seconds=seconds
        )
        assert found
        return found

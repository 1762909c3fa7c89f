"""CostReport: tells people what conditions cost: a file for the admin, and a warning for one that is slow."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from django_electric.shapes.costs import COSTS_FILE, Costs
from django_electric.storage import state_file

logger = logging.getLogger("django_electric.worker")

INTERVAL: Final = 5.0
"""Seconds between two files."""


class CostReport:
    """Of the *costs* that are measured, in a file below *root*."""

    def __init__(self, costs: Costs, root: Path) -> None:
        self._costs = costs
        self._path = root / COSTS_FILE
        self._next = 0.0
        self._warned: set[str] = set()
        """Shapes that have been called slow."""

    def tell_if_due(self, now: float) -> None:
        """Write what is new; *now* is a monotonic time in seconds."""
        if not self._costs.has_news or now < self._next:
            return
        self._next = now + INTERVAL
        self._costs.has_news = False
        with suppress(OSError):  # a hint for people: what cannot be written is not missed
            state_file.replace_quickly(self._path, self._costs.to_json())
        self._warn()

    def forget(self, handle: str) -> None:
        """The shape is gone."""
        self._costs.forget(handle)
        self._warned.discard(handle)

    def _warn(self) -> None:
        for handle, cost in self._costs.slow():
            if handle not in self._warned:
                self._warned.add(handle)
                logger.warning(
                    "the condition of shape %s takes %.2f ms a changed row: manage.py electric_shapes explain %s",
                    handle, cost.mean_ns / 1e6, handle,
                )  # fmt: skip

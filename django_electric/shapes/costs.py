"""Costs: what it takes to tell whether a row belongs to a shape, for the shapes where something is evaluated.

A few rows of very many are evaluated once more, condition by condition, with a look at the clock; questions to
Postgres are timed as they are asked. So a condition that holds up the stream has a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final

COSTS_FILE: Final = "costs.json"
"""Beside the logs: what the worker says for the admin to show."""
EVERY: Final = 997
"""Of so many rows that something was evaluated for, one is measured: a prime, to meet all kinds of rows."""
MOST_AT_ONCE: Final = 256
"""Shapes that are measured on one row."""
SLOW_NS: Final = 100_000
"""A condition that takes longer for a row is worth a warning."""
LEAST_SAMPLES: Final = 3
"""One measurement may be a hiccup of the machine."""


@dataclass(slots=True)
class Cost:
    """Of one shape's condition."""

    rows: int = 0
    """That were measured."""
    ns: int = 0
    """For all of them."""
    is_delegated: bool = False

    @property
    def mean_ns(self) -> int:
        """Nanoseconds a row."""
        return self.ns // self.rows if self.rows else 0

    def __str__(self) -> str:
        asked = ", asked of Postgres" if self.is_delegated else ""
        return f"{self.mean_ns / 1e3:,.1f} µs a row{asked}"

    @property
    def is_slow(self) -> bool:
        return self.rows >= LEAST_SAMPLES and self.mean_ns >= SLOW_NS


class Costs:
    """By handle. *clock* gives nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self._by_handle: dict[str, Cost] = {}
        self._rows = 0
        self._place = 0
        self.has_news = False

    def is_due(self) -> bool:
        """Whether this row is to be measured; to be asked once for each."""
        self._rows += 1
        return self._rows % EVERY == 0

    def next_place(self, size: int) -> int:
        """Where among *size* shapes to begin, so that all of them have their turn."""
        if size <= MOST_AT_ONCE:
            return 0
        self._place = (self._place + MOST_AT_ONCE) % size
        return self._place

    def add(self, handle: str, ns: int, rows: int = 1, *, is_delegated: bool = False) -> None:
        """The condition of the shape took *ns* for *rows* rows."""
        cost = self._by_handle.get(handle)
        if cost is None:
            cost = self._by_handle[handle] = Cost(is_delegated=is_delegated)
        cost.rows += rows
        cost.ns += ns
        self.has_news = True

    def forget(self, handle: str) -> None:
        """The shape is gone."""
        self._by_handle.pop(handle, None)

    def slow(self) -> Iterable[tuple[str, Cost]]:
        """Shapes whose conditions are slow."""
        return [(handle, cost) for handle, cost in self._by_handle.items() if cost.is_slow]

    def to_json(self, most: int = 1_000) -> dict[str, object]:
        """The *most* expensive ones; `read_costs` reads it."""
        ordered = sorted(self._by_handle.items(), key=lambda pair: pair[1].mean_ns, reverse=True)
        return {handle: asdict(cost) for handle, cost in ordered[:most]}


def read_costs(value: object) -> dict[str, Cost]:
    """What `Costs.to_json` wrote; nothing where that cannot be read."""
    try:
        return {str(handle): Cost(**cost) for handle, cost in value.items()}  # type: ignore[attr-defined]  # or the except
    except (AttributeError, TypeError):
        return {}

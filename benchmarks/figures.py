"""Figure: something that was measured, and the floor that was measured beside it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What the figure should reach; ``is_met`` is found by whoever measured it."""

    text: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    scenario: str
    name: str
    value: float
    unit: str
    floor: float | None = None
    floor_name: str = ""
    more_is_better: bool = True
    targets: tuple[Target, ...] = ()
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the floor we cost; 1 would be the floor itself."""
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.more_is_better else self.value / self.floor


class Wrong(Exception):
    """What was measured did not do what it should: the figure is worth nothing."""


def check(condition: bool, text: str) -> None:
    """Raises `Wrong` unless the result is right."""
    if not condition:
        raise Wrong(text)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def notes(*texts: str, runs: Sequence[float] = ()) -> str:
    """A note of several parts; the smallest and the greatest of *runs*, if there was more than one."""
    spread = [f"runs {number(min(runs))} to {number(max(runs))}"] if len(runs) > 1 else []
    return "; ".join([*texts, *spread])


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

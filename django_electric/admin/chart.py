"""Chart: numbers over time as the lines of a drawing; no drawing itself, which is the template's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 140
_STEPS: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Chart:
    """In a field of `WIDTH` by `HEIGHT`, whose top left corner is 0, 0."""

    lines: tuple[str, ...]
    """Points of each unbroken stretch, as SVG's polyline wants them."""
    ticks: tuple[tuple[float, str], ...]
    """Height and text of what is written at the side."""
    latest: str
    """The last value, as text."""


def chart(
    points: Sequence[tuple[float, float]],
    said: Callable[[float], str],
    longest_gap: float,
    unit: float = 1.0,
) -> Chart:
    """*points*: time and value, in order; a line breaks where no point follows within *longest_gap*.

    The scale ends at a round number of *units*.
    """
    top = unit * _top(max((value for _, value in points), default=0.0) / unit)
    ticks = tuple((HEIGHT - HEIGHT * part, said(top * part)) for part in (0.0, 0.5, 1.0))
    if not points:
        return Chart((), ticks, "")
    first, last = points[0][0], points[-1][0]
    across = WIDTH / max(1.0, last - first)
    lines = tuple(
        " ".join(f"{(at - first) * across:.1f},{HEIGHT - HEIGHT * value / top:.1f}" for at, value in stretch)
        for stretch in _stretches(points, longest_gap)
    )  # fmt: skip
    return Chart(lines, ticks, said(points[-1][1]))


def _top(value: float) -> float:
    """A round number that is not below *value*.

    >>> _top(0), _top(7), _top(1200)
    (1.0, 10.0, 2000.0)
    """
    top = 1.0
    while top < value:
        top *= 10
    return next((top * step / 10 for step in _STEPS if top * step / 10 >= max(value, 1.0)), top)


def _stretches(
    points: Iterable[tuple[float, float]], longest_gap: float
) -> list[list[tuple[float, float]]]:
    stretches: list[list[tuple[float, float]]] = []
    for point in points:
        if not stretches or point[0] - stretches[-1][-1][0] > longest_gap:
            stretches.append([])
        stretches[-1].append(point)
    return stretches

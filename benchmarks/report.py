"""The table: on the terminal, and as the page docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, number

HEAD = ("scenario", "what", "figure", "floor", "× floor", "target")


def cells(figure: Figure) -> tuple[str, ...]:
    """One row of the table."""
    floor = f"{number(figure.floor)} ({figure.floor_name})" if figure.floor else "–"
    ratio = f"{figure.ratio:.1f}" if figure.ratio else "–"
    targets = "; ".join(f"{t.text}: {'met' if t.is_met else 'MISSED'}" for t in figure.targets)
    value = f"{number(figure.value)} {figure.unit}"
    return (figure.scenario, figure.name, value, floor, ratio, targets or "–")


def line(figure: Figure) -> str:
    """A figure in one line."""
    return ", ".join(part for part in (*cells(figure), figure.note) if part and part != "–")


def text_table(figures: Sequence[Figure]) -> str:
    """Aligned columns, notes below their row."""
    rows = [HEAD, *(cells(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    notes = ["", *(figure.note for figure in figures)]
    lines = []
    for row, note in zip(rows, notes, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if note:
            lines.append(" " * (widths[0] + 2) + f"  {note}")
    return "\n".join(lines)

"""The table: on the terminal, and as the page docs/benchmarks.md."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, number

HEAD = ("scenario", "what", "figure", "floor", "× floor", "target")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on."""

    cores: int
    cpu: str
    postgres: str
    python: str

    def __str__(self) -> str:
        load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
        return (
            f"{self.cores} cores ({self.cpu}), PostgreSQL {self.postgres}, Python {self.python}, "
            f"load average at the end {load}"
        )


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
        lines.append(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
        if note:
            lines.append(" " * (widths[0] + 2) + f"  {note}")
    return "\n".join(lines)


def page(
    figures: Sequence[Figure], command: str, machine: Machine, scenarios: Mapping[str, str]
) -> str:
    """docs/benchmarks.md."""
    parts = [
        INTRODUCTION.format(
            command=command, machine=machine, date=datetime.date.today().isoformat()
        )
    ]
    parts.append(_targets(figures))
    for name, text in scenarios.items():
        title, _, rest = text.strip().partition(": ")
        parts.append(
            f"## {title.capitalize()}\n\n{rest[:1].upper()}{rest[1:].replace('``', '`')}\n"
        )
        parts.append(_markdown_table([f for f in figures if f.scenario == name]))
    return "\n".join(parts)


def _targets(figures: Sequence[Figure]) -> str:
    """What falls short, before all tables."""
    if not any(figure.targets for figure in figures):
        return QUICK
    missed = [figure for figure in figures if any(not t.is_met for t in figure.targets)]
    lines = [f"- {f.scenario}: {f.name}: {number(f.value)} {f.unit}, {_missed(f)}" for f in missed]
    return "\n".join(("## Targets that are missed", "", *(lines or ["None in this run."]), ""))


def _missed(figure: Figure) -> str:
    return ", ".join(f"target {t.text}" for t in figure.targets if not t.is_met)


def _markdown_table(figures: Sequence[Figure]) -> str:
    head = (*HEAD[1:], "note")
    lines = [_row(head), _row(("---", "--:", "--:", "--:", "---", "---"))]
    lines += [_row((*cells(figure)[1:], figure.note or "–")) for figure in figures]
    return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


QUICK = (
    "A quick run: its small sizes show that the benchmarks work, and say nothing of the targets.\n"
)

INTRODUCTION = """\
# Benchmarks

Written by `{command}`; do not edit. `make bench` prints the same table.

Measured on {date}: {machine}.

Every figure stands beside its *floor*: the least that anybody could do, measured in the same run on the same
machine. Read the ratios: they travel from one machine to another, seconds do not. `× floor` is how many times
the floor we cost. Figures are medians of several runs, restarts aside after one that does not count.
Every result is checked: if one is wrong, the run ends without a table.

PostgreSQL, worker, web process and load share the machine. PostgreSQL is a throw-away cluster with
`fsync = off` and `synchronous_commit = on`.
"""

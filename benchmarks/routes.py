"""The router alone, in this process: ``python -m benchmarks.routes [SHAPES …]``. For whoever works on it.

Rows a second through `TableRoutes.matches` for each kind of condition, how long a shape takes to be added and
removed, and what one costs in memory. No Postgres, no files.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.figures import number
from benchmarks.kinds import COLUMNS, INDEXED, SCANNED, Kind, texts
from benchmarks.processes import own_memory
from django_electric.postgres.relation import Column, Relation
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.where import WhereError, parse_where

ROWS = 20_000
OID = 500
THINGS = Relation(
    oid=OID,
    schema="public",
    name="things",
    columns=tuple(
        Column(name, 0, kind, evaluator_type=kind, not_null=True, pk_position=0 if name == "id" else None)
        for name, kind in COLUMNS.items()
    ),
)  # fmt: skip


class _Nowhere:
    last_tx = 0

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        """Forget it."""

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        """Forget it."""

    def discard(self) -> None:
        """Nothing to forget."""


def shapes_of(kind: Kind, size: int) -> list[RoutedShape]:
    """That many shapes of one kind. Raises WhereError if the language lacks it."""
    pattern = ShapeDefinition.build(THINGS)
    sink = _Nowhere()
    return [
        RoutedShape(
            str(n),
            ShapeDefinition.from_json(
                replace(pattern, where=parse_where(kind.where(n), COLUMNS).sql).to_json()
            ),
            sink,
            snapshot=PgSnapshot(1, 1),
        )
        for n in range(size)
    ]


def measure(kind: Kind, size: int, rows: int) -> str:
    """One line of the table."""
    shapes = shapes_of(kind, size)
    gc.collect()
    memory, began = own_memory(), time.perf_counter()
    router = Router()
    for shape in shapes:
        router.add(shape)
    added = time.perf_counter() - began
    gc.collect()
    memory = own_memory() - memory
    table = router.tables[OID]
    batch = [texts(row, row * 7919 % size) for row in range(rows)]
    began = time.perf_counter()
    found = sum(len(table.matches(row)) for row in batch)
    took = time.perf_counter() - began
    assert found == rows, f"{kind.name}: {found} matches of {rows} rows"
    began = time.perf_counter()
    for shape in shapes:
        router.remove(shape)
    removed = time.perf_counter() - began
    return (
        f"{kind.name:32} {size:>8,} shapes {rows / took:>12,.0f} rows/s  added in {added / size * 1e6:6.1f} us,"
        f" removed in {removed / size * 1e6:6.1f} us, {number(memory / size)} bytes each in the indexes"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure every kind with each number of shapes."""
    for size in map(int, arguments or ("1", "10000")):
        for kind in (*INDEXED, SCANNED):
            try:
                rows = ROWS if kind is not SCANNED else max(20, min(ROWS, ROWS * 50 // size))
                print(measure(kind, size, rows), flush=True)
            except WhereError as error:
                print(f"{kind.name:32} not native yet: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])

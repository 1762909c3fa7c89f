"""replication: changes a second from the WAL into the logs of ``field = const`` shapes.

The worker is paused while a backlog is written, then timed while it drains: writers do not limit it.
Each change belongs to exactly one shape, and the shapes take turns, so that a transaction of 100 rows
goes to 100 logs. The last change of the backlog goes to a table of its own; when the log of its shape
can be read, all logs hold everything. The floor, ``pg_recvlogical -f /dev/null``, drains the same WAL
just before, from a slot that was made at the same place.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import data
from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.fleet import Fleet, Marked, where_of
from benchmarks.processes import cpu_seconds, run_timed
from benchmarks.run import Run
from benchmarks.stack import Stack
from django_electric.errors import ShapeGone
from django_electric.shapes.offset import SNAPSHOT_END

SCENARIO = "replication"
FLOOR_SLOT = "bench_floor"
DRAIN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Drain:
    """One backlog, drained by us and by the floor; changes a second."""

    ours: float
    floor: float
    cpu_us: float
    """Processor time of the worker, microseconds a change."""


class Drainer:
    """Times how a backlog is drained."""

    def __init__(self, stack: Marked) -> None:
        self.stack = stack
        self._marks = 0

    def drain(self, statement: str, count: int) -> Drain:
        """Write a backlog of *count* changes with *statement*, and drain it."""
        stack = self.stack
        stack.pause_worker()
        stack.make_slot(FLOOR_SLOT)
        try:
            self._marks += 1
            stack.sql(statement, f"INSERT INTO marks VALUES ({self._marks})")
            floor = run_timed(self._floor_command(), DRAIN_SECONDS)
        finally:
            stack.drop_slot(FLOOR_SLOT)
            cpu = cpu_seconds(stack.worker_pid)
            began = time.perf_counter()
            stack.resume_worker()
        self._wait_for_mark()
        took = time.perf_counter() - began
        cpu = cpu_seconds(stack.worker_pid) - cpu
        return Drain(count / took, count / floor, cpu / count * 1e6)

    def _floor_command(self) -> list[str]:
        stack = self.stack
        end = stack.query("SELECT pg_current_wal_flush_lsn()::text")[0][0]
        return [
            str(stack.cluster.bin / "pg_recvlogical"), "-d", stack.dsn, "-S", FLOOR_SLOT, "--start",
            "-f", "/dev/null", "-o", "proto_version=1", "-o", f"publication_names={stack.publication}",
            "--no-loop", "-E", str(end),
        ]  # fmt: skip

    def _wait_for_mark(self) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        reader = self.stack.storage.reader(self.stack.mark)
        tail = f'"id":"{self._marks}"'.encode()
        seen = 0
        while True:
            size = reader.state().size
            if size != seen:
                seen = size
                if tail in b"".join(log_parts(self.stack, self.stack.mark)):
                    break
            time.sleep(0.005)
            if time.monotonic() > end:
                raise RuntimeError("the backlog is not drained\n" + self.stack.logs())
        reader.close()


class Backlog:
    """Writes backlogs to a fleet and times how they are drained."""

    def __init__(self, fleet: Fleet) -> None:
        self.inserted = 0
        self.updated = 0
        self._drainer = Drainer(fleet)

    def inserts(self, count: int, rows: int, tenants: int) -> Drain:
        """*count* new rows, *rows* in a transaction."""
        statement = data.insert_in_transactions(self.inserted + 1, count, rows, tenants)
        self.inserted += count
        return self._drainer.drain(statement, count)

    def updates(self, count: int, rows: int) -> Drain:
        """The *count* newest rows again, *rows* in a transaction."""
        self.updated += count
        statement = data.update_in_transactions(self.inserted - count + 1, count, rows)
        return self._drainer.drain(statement, count)


def log_parts(stack: Stack, handle: str) -> list[bytes]:
    """The log of a shape after its snapshot, chunk by chunk, through the package's own reader."""
    reader = stack.storage.reader(handle)
    parts = []
    try:
        offset = SNAPSHOT_END
        while (chunk := reader.chunk_after(offset)) is not None and chunk.size:
            parts.append(reader.read(chunk, 0, chunk.size))
            offset = chunk.end
    finally:
        reader.close()
    return parts


def check_logs(fleet: Fleet, backlog: Backlog) -> None:
    """Every change is in one log, once; the rows of some shapes are those of the table."""
    expected = backlog.inserted + backlog.updated
    found = 0
    for handle in fleet.handles:
        try:
            found += sum(part.count(b"\n") for part in log_parts(fleet, handle))
        except ShapeGone:
            check(False, f"the shape {handle} was rotated")
    check(found == expected, f"the logs hold {found} entries for {expected} changes")
    check_shapes(fleet, {1, len(fleet.handles) // 2, len(fleet.handles) - 1})


def check_shapes(fleet: Fleet, tenants: set[int]) -> None:
    """What a client holds of some shapes is what ``SELECT`` says."""
    with fleet.client() as client:
        for tenant in sorted(t for t in tenants if 0 <= t < len(fleet.handles)):
            chunks = [c.body for c in client.chunks(table="items", where=where_of(tenant))]
            rows = {
                int(str(v["id"])): (v["title"], v["price"])
                for v in data.materialise(chunks).values()
            }
            wanted = fleet.query(
                f"SELECT id, title, price::text FROM items WHERE {where_of(tenant)}"
            )
            same = rows == {row[0]: (row[1], row[2]) for row in wanted}
            check(same, f"the shape of tenant {tenant} differs from its SELECT")


def measure(run: Run) -> list[Figure]:
    """1, 1,000 and 10,000 shapes; transactions of 100 rows and of one; updates besides."""
    fleet = run.fleet()
    backlog = Backlog(fleet)
    figures: list[Figure] = []
    alone: dict[str, float] = {}
    for size in run.sizes:
        run.say(f"replication: {size:,} shapes")
        fleet.grow(size)
        for rows, count in ((100, run.changes), (1, run.changes // 4)):
            backlog.inserts(count // 4, rows, size)
            drains = [backlog.inserts(count, rows, size) for _ in range(run.runs)]
            kind = f"{rows}-row transactions"
            figures.append(_figure(size, kind, drains, alone, {100: 20_000, 1: 8_000}[rows]))
    drains = [backlog.updates(run.changes // 2, 100) for _ in range(run.runs)]
    figures.append(_figure(run.sizes[-1], "100-row transactions of UPDATE", drains, {}, None))
    check_logs(fleet, backlog)
    return figures


def _figure(
    size: int, kind: str, drains: Sequence[Drain], alone: dict[str, float], wanted: int | None
) -> Figure:
    ours, floor = median([d.ours for d in drains]), median([d.floor for d in drains])
    first = alone.setdefault(kind, ours)
    targets: tuple[Target, ...] = ()
    if size >= 10_000 and wanted:
        targets = (
            Target(f"≥ {wanted:,}/s", ours >= wanted),
            Target("≥ 1/4 of the floor", ours >= floor / 4),
            Target("within 20 % of 1 shape", ours >= first * 0.8),
        )
    plural = "shape" if size == 1 else "shapes"
    return Figure(
        SCENARIO,
        f"{size:,} {plural}, {kind}",
        ours,
        "changes/s",
        floor,
        "pg_recvlogical",
        targets=targets,
        note=notes(
            f"worker {median([d.cpu_us for d in drains]):.1f} us CPU a change",
            runs=[d.ours for d in drains],
        ),
    )

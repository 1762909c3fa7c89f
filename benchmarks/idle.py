"""idle: what many shapes cost while nothing happens, how fast they are made, and how fast a restart is.

A restart is timed from SIGTERM to both processes until the health check says ``active`` and a shape that a
client knew goes on from its offset under its old handle. Its floor is the start of one Python process that
imports the example project's ASGI application.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.fleet import AT_ONCE, Fleet, where_of
from benchmarks.processes import cpu_seconds, memory_mib, run_timed
from benchmarks.run import Run

SCENARIO = "idle"
MB = 1_000_000 / (1 << 20)


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart, in seconds."""

    seconds: float
    cpu: float
    """Processor time of both new processes until they served."""
    floor: float


def start_django(fleet: Fleet) -> float:
    """How long Python and Django take to start."""
    command = [sys.executable, "-c", "import example_project.asgi"]
    return run_timed(command, 60, fleet.environment)


def restart(fleet: Fleet) -> Restart:
    """From SIGTERM to the answer to a client that goes on where it was."""
    floor = start_django(fleet)
    tenant = len(fleet.handles) // 2
    with fleet.client() as client:
        *_, before = client.chunks(table="items", where=where_of(tenant))
    began = time.perf_counter()
    fleet.stop()
    fleet.start()
    with fleet.client() as client:
        after = client.get(
            table="items", where=where_of(tenant), handle=before.handle, offset=before.offset
        )
    took = time.perf_counter() - began
    cpu = cpu_seconds(fleet.worker_pid) + cpu_seconds(fleet.web_pid)
    check(after.handle == before.handle, "the shape began anew")
    check(after.offset == before.offset, "the shape moved while nothing was written")
    return Restart(took, cpu, floor)


def measure(run: Run) -> list[Figure]:
    """Memory now, restarts, memory after them."""
    fleet = run.fleet()
    size = run.sizes[-1]
    run.say(f"idle: {size:,} shapes")
    fleet.grow(size)
    time.sleep(2)
    before = memory_mib(fleet.worker_pid)
    restarts = [restart(fleet) for _ in range(run.runs)]
    after = memory_mib(fleet.worker_pid)
    known = len(fleet.storage.handles())
    check(known >= size, f"{known} logs are left of {size} shapes")
    return _figures(run, before, after, restarts)


def _figures(run: Run, before: float, after: float, restarts: list[Restart]) -> list[Figure]:
    fleet, size = run.fleet(), run.sizes[-1]
    seconds = [r.seconds for r in restarts]
    small = Target("< 250 MB", max(before, after) < 250 * MB)
    quick = Target("< 5 s", median(seconds) < 5)
    figures = [
        Figure(
            SCENARIO, f"memory of the worker, {size:,} shapes", before, "MiB", fleet.empty_mib, "no shape",
            more_is_better=False, targets=run.targets(small), note=f"{after:.0f} MiB after a restart",
        ),
        Figure(
            SCENARIO, f"restart to serving, {size:,} shapes", median(seconds), "s",
            median([r.floor for r in restarts]), "one Python and Django",
            more_is_better=False, targets=run.targets(quick),
            note=notes(f"worker and web, {median([r.cpu for r in restarts]):.1f} s CPU", runs=seconds),
        ),
    ]  # fmt: skip
    if fleet.creation_rate:
        figures.append(
            Figure(
                SCENARIO, f"new shapes, {AT_ONCE} requests at once", fleet.creation_rate, "shapes/s",
                fleet.creation_floor, "the snapshot's transaction alone",
            )
        )  # fmt: skip
    return figures

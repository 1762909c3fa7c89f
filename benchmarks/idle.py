"""idle: what many shapes cost while nothing happens, how fast they are made, and how fast a restart is.

A restart is timed from SIGTERM to both processes until the health check says ``active`` and a shape that a
client knew goes on from its offset under its old handle.
"""

from __future__ import annotations

import time

from benchmarks.figures import Figure, Target, check, median, spread
from benchmarks.fleet import AT_ONCE, Fleet, where_of
from benchmarks.processes import memory_mib
from benchmarks.run import Run

SCENARIO = "idle"
MB = 1_000_000 / (1 << 20)


def restart(fleet: Fleet) -> float:
    """Seconds from SIGTERM to the answer to a client that goes on where it was."""
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
    check(after.handle == before.handle, "the shape began anew")
    check(after.offset == before.offset, "the shape moved while nothing was written")
    return took


def measure(run: Run) -> list[Figure]:
    """Memory now, restarts, memory after them."""
    fleet = run.fleet()
    size = run.sizes[-1]
    run.say(f"idle: {size:,} shapes")
    fleet.grow(size)
    time.sleep(2)
    before = memory_mib(fleet.worker_pid)
    seconds = [restart(fleet) for _ in range(run.runs)]
    after = memory_mib(fleet.worker_pid)
    known = len(fleet.storage.handles())
    check(known >= size, f"{known} logs are left of {size} shapes")
    return _figures(fleet, size, before, after, seconds)


def _figures(
    fleet: Fleet, size: int, before: float, after: float, seconds: list[float]
) -> list[Figure]:
    is_full = size >= 10_000
    small = Target("< 250 MB", max(before, after) < 250 * MB)
    quick = Target("< 5 s", median(seconds) < 5)
    figures = [
        Figure(
            SCENARIO, f"memory of the worker, {size:,} shapes", before, "MiB", fleet.empty_mib, "no shape",
            more_is_better=False, targets=(small,) if is_full else (), note=f"{after:.0f} MiB after a restart",
        ),
        Figure(
            SCENARIO, f"restart to serving, {size:,} shapes", median(seconds), "s", more_is_better=False,
            targets=(quick,) if is_full else (), note=f"worker and web; runs {spread(seconds)}",
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

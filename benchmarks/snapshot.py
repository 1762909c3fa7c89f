"""snapshot: a table of six columns from the first request until its last row is on disk.

The floors: the plain ``COPY`` of the table to ``/dev/null`` inside the server, and ``COPY … TO STDOUT``
read and thrown away by psycopg.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Thread

from benchmarks import data
from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.processes import cpu_seconds, forget_peak, memory_mib
from benchmarks.run import Run
from benchmarks.stack import Stack

SCENARIO = "snapshot"
MOST_GROWTH_MIB = 100_000_000 / (1 << 20)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot: seconds, and what the worker took for it."""

    seconds: float
    cpu_seconds: float
    grown_mib: float
    handle: str


def copy_seconds(stack: Stack, to: str) -> float:
    """How long a plain COPY of the table takes; *to* is ``STDOUT`` or a file of the server."""
    with stack.connect() as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        if to == "STDOUT":
            with cursor.copy("COPY items TO STDOUT") as copy:
                for _ in copy:
                    pass
        else:
            cursor.execute("COPY items TO '/dev/null'")
        return time.perf_counter() - began


def take(stack: Stack) -> Snapshot:
    """Request the shape, which is not there, and wait until all its rows are."""
    pid = stack.worker_pid
    forget_peak(pid)
    before, cpu = memory_mib(pid), cpu_seconds(pid)
    began = time.perf_counter()
    handle = _request_head(stack)
    reader = stack.storage.reader(handle)
    while not reader.state().is_snapshot_complete:
        stack.check_alive()
        time.sleep(0.005)
    took = time.perf_counter() - began
    reader.close()
    return Snapshot(took, cpu_seconds(pid) - cpu, memory_mib(pid, "VmHWM") - before, handle)


def _request_head(stack: Stack) -> str:
    """The handle of a new shape, as soon as there is one; its first chunk is read by a thread."""
    known = stack.storage.handles()
    Thread(target=_read_first_chunk, args=(stack,), daemon=True).start()
    while not (new := stack.storage.handles() - known):
        time.sleep(0.002)
    return new.pop()


def _read_first_chunk(stack: Stack) -> None:
    with stack.client() as client:
        client.get(table="items", offset="-1")


def forget(stack: Stack, handle: str) -> None:
    """Delete the shape, so that the next request makes a new one."""
    with stack.client() as client:
        status = client.request("DELETE", table="items", handle=handle).status
        check(status in (200, 202), f"DELETE answered {status}")
    while handle in stack.storage.handles():
        time.sleep(0.01)


def read_all(stack: Stack, rows: int) -> float:
    """One client reads the whole shape; seconds. Raises `Wrong` if a row is missing or comes twice."""
    count = total = lines = 0
    began = time.perf_counter()
    with stack.client() as client:
        bodies = [chunk.body for chunk in client.chunks(table="items")]
    took = time.perf_counter() - began
    for body in bodies:
        ids = data.ids_in(body)
        count += len(ids)
        total += sum(ids)
        lines += body.count(b'"operation":"insert"')
    check(count == lines == rows, f"{count} ids and {lines} inserts were served of {rows} rows")
    check(total == rows * (rows + 1) // 2, "the ids that were served are not those of the table")
    return took


def measure(run: Run) -> list[Figure]:
    """Cold snapshots of one table, one after another."""
    rows = run.rows
    with run.stack() as stack:
        run.say(f"snapshot: {rows:,} rows")
        stack.sql(
            f"INSERT INTO items {data.row_source('1', str(rows), 1000)}", "VACUUM ANALYZE items"
        )
        copy_seconds(stack, "/dev/null")
        forget(stack, take(stack).handle)
        snapshots, inside, outside = [], [], []
        for _ in range(run.runs):
            inside.append(copy_seconds(stack, "/dev/null"))
            outside.append(copy_seconds(stack, "STDOUT"))
            snapshots.append(take(stack))
            if len(snapshots) < run.runs:
                forget(stack, snapshots[-1].handle)
        client_seconds = read_all(stack, rows)
    return _figures(run, snapshots, inside, outside, client_seconds)


def _figures(
    run: Run, snapshots: list[Snapshot], inside: list[float], outside: list[float], client: float
) -> list[Figure]:
    seconds = median([s.seconds for s in snapshots])
    grown = max(s.grown_mib for s in snapshots)
    floor = median(inside)
    rows = run.rows
    name = f"{rows:,} rows × 6 columns"
    targets = (Target("≤ 5 × COPY to /dev/null", seconds <= 5 * floor),)
    growth = (Target("< 100 MB", grown < MOST_GROWTH_MIB),)
    cpu = median([s.cpu_seconds for s in snapshots])
    return [
        Figure(
            SCENARIO, f"{name}, new shape to disk", seconds, "s", floor, "COPY to /dev/null",
            more_is_better=False, targets=run.targets(*targets),
            note=notes(f"worker {cpu:.1f} s CPU", runs=[s.seconds for s in snapshots]),
        ),
        Figure(
            SCENARIO, f"{name}, the same", rows / seconds, "rows/s", rows / median(outside),
            "COPY TO STDOUT, psycopg",
        ),
        Figure(
            SCENARIO, "growth of the worker meanwhile", grown, "MiB", more_is_better=False,
            targets=run.targets(*growth), note="most of all runs",
        ),
        Figure(
            SCENARIO, f"{name}, from disk to one client", client, "s", median(outside),
            "COPY TO STDOUT, psycopg", more_is_better=False, note="through Django and uvicorn, all chunks",
        ),
    ]  # fmt: skip

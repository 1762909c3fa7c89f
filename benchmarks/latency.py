"""latency: from the moment a transaction sends COMMIT until a long-polling client has its bytes.

The floor is the same moment until a bare reader of a walsender, on a slot of its own and for the same
commits, has the commit's message. Writer, reader and client are three processes. Postgres runs with
``synchronous_commit = on`` and ``fsync = off``: a real commit, without the disk.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.figures import Figure, Target, check, percentile
from benchmarks.run import Run
from benchmarks.stack import ROOT, Stack, terminate

SCENARIO = "latency"
SLOT = "bench_latency"
TENANT = 2_000_000_000
"""No shape of the fleet is for this one."""
FIRST_ID = 4_000_000_000
WARM_UP = 20
PAUSE = (0.02, 0.04)
"""Seconds between two commits: time enough for the client to wait again."""


@dataclass(slots=True)
class Samples:
    """Milliseconds, one for each commit."""

    client: list[float] = field(default_factory=list)
    walsender: list[float] = field(default_factory=list)
    commit: list[float] = field(default_factory=list)
    """How long the COMMIT itself took."""


class Watcher:
    """One of the processes of `watchers`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.watchers", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._expect("ready")

    def arrival(self, row: int) -> int:
        """When *row* came, which must be what comes next."""
        name, _, arrived = self._line().partition(" ")
        check(name == str(row), f"{name} came instead of {row}")
        return int(arrived)

    def _expect(self, text: str) -> None:
        line = self._line()
        check(line == text, f"the watcher said {line!r}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()


@contextmanager
def watchers(stack: Stack) -> Iterator[tuple[Watcher, Watcher]]:
    """The client and the bare reader, ready."""
    stack.make_slot(SLOT)
    started: list[Watcher] = []
    try:
        started.append(Watcher("poll", str(stack.port), f"tenant = {TENANT}"))
        started.append(Watcher("wal", stack.dsn, SLOT, stack.publication))
        yield started[0], started[1]
    finally:
        for watcher in started:
            terminate(watcher.process)
        stack.drop_slot(SLOT)


def sample(stack: Stack, count: int) -> Samples:
    """Commit *count* times, and a few times before that do not count."""
    samples = Samples()
    chance = random.Random(1)
    with watchers(stack) as (client, reader), stack.connect() as connection:
        for n in range(WARM_UP + count):
            time.sleep(chance.uniform(*PAUSE))
            row = FIRST_ID + n
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO items VALUES (%s, %s, 'A title', 1.5, false, now())", [row, TENANT]
            )
            sent = time.monotonic_ns()
            connection.execute("COMMIT")
            returned = time.monotonic_ns()
            if n >= WARM_UP:
                samples.client.append((client.arrival(row) - sent) / 1e6)
                samples.walsender.append((reader.arrival(row) - sent) / 1e6)
                samples.commit.append((returned - sent) / 1e6)
            else:
                client.arrival(row)
                reader.arrival(row)
    return samples


def measure(run: Run) -> list[Figure]:
    """Alone, and beside the fleet."""
    figures: list[Figure] = []
    run.say("latency: no other shape")
    with run.stack() as stack:
        figures += _figures(run, 0, sample(stack, run.samples))
    size = run.sizes[-1]
    run.say(f"latency: {size:,} other shapes")
    fleet = run.fleet()
    fleet.grow(size)
    figures += _figures(run, size, sample(fleet, run.samples))
    return figures


def _figures(run: Run, others: int, samples: Samples) -> list[Figure]:
    figures = []
    for percent in (50, 99):
        value = percentile(samples.client, percent)
        aims = (Target("p50 < 10 ms", value < 10),) if percent == 50 and others else ()
        figures.append(
            Figure(
                SCENARIO,
                f"commit to client, {others:,} other shapes, p{percent}",
                value,
                "ms",
                percentile(samples.walsender, percent),
                "walsender",
                more_is_better=False,
                targets=run.targets(*aims),
                note=f"the COMMIT itself {percentile(samples.commit, percent):.2f} ms; {len(samples.client)} commits",
            )
        )
    return figures

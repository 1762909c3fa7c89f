"""waiting: what clients that wait, and clients that read slowly, cost one web process on uvicorn.

A crowd long-polls one shape; then one row is committed. The time is that from before the commit to the last byte of
the last answer; crowd and server share the machine's cores. Memory is that of the web process with the crowd, less
that without. The floor waits for an event in a bare ASGI application on the same server.

Slow readers ask for a chunk of 10 MB and read a thousand bytes of it. Their floor is an application that sends the
bytes in one piece.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from urllib.request import urlopen

from benchmarks import data
from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.processes import memory_mib, threads
from benchmarks.run import Run
from benchmarks.serving import serving
from benchmarks.stack import ROOT, Stack, free_port, web_command

SCENARIO = "waiting"
READERS = 20
LARGE_ROWS = 40_000
"""Make a chunk of about 10 MB."""
KB = 1_000 / (1 << 20)


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a crowd cost."""

    kilobytes: float
    """Of memory for each client."""
    threads: int
    """That came with the crowd."""
    first: float
    last: float
    """Seconds until the first and the last had the news."""


@contextmanager
def crowd(kind: str, port: int, target: str, clients: int) -> Iterator[subprocess.Popen[str]]:
    """The crowd, when all have asked."""
    command = [sys.executable, "-m", "benchmarks.crowd", kind, str(port), target, str(clients)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        check(_output(process).readline().strip() == "ready", "the crowd does not stand")
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            cast(IO[str], pipe).close()


def _output(process: subprocess.Popen[str]) -> IO[str]:
    return cast(IO[str], process.stdout)


def _settled_memory(pid: int) -> float:
    """MiB, once it has stopped growing."""
    last = 0.0
    while (now := memory_mib(pid)) - last > 0.05:
        last = now
        time.sleep(0.3)
    return now


class Round:
    """One crowd on one server, and the news that it waits for."""

    def __init__(self, pid: int, port: int, target: str, text: str) -> None:
        self.pid, self.port, self.target, self.text = pid, port, target, text

    def tell(self) -> None:
        """Make the news."""
        raise NotImplementedError

    def measure(self, clients: int) -> Crowd:
        memory, before = memory_mib(self.pid), threads(self.pid)
        with crowd("wait", self.port, self.target, clients) as process:
            grown = _settled_memory(self.pid) - memory
            more = threads(self.pid) - before
            assert process.stdin is not None
            process.stdin.write(self.text + "\n")
            process.stdin.flush()
            began = time.monotonic_ns()
            self.tell()
            line = _output(process).readline().split()
        check(len(line) == 3, "the crowd was not answered")
        first, last, right = map(int, line)
        check(right == clients, f"{clients - right} of {clients} did not get the news")
        return Crowd(grown / clients / KB, more, (first - began) / 1e9, (last - began) / 1e9)


class OurRound(Round):
    """A row is committed."""

    def __init__(self, stack: Stack, number: int) -> None:
        with stack.client() as client:
            *_, now = client.chunks(table="items", where="tenant = 0")
        target = (
            f"/v1/shape?table=items&where=tenant+%3D+0&live=true&handle={now.handle}"
            f"&offset={now.offset}"
        )
        super().__init__(stack.web_pid, stack.port, target, f'"id":"{number}"')
        self._stack, self._number = stack, number

    def tell(self) -> None:
        self._stack.sql(
            f"INSERT INTO items {data.row_source(str(self._number), str(self._number), 1)}"
        )


class FloorRound(Round):
    """An event is set."""

    def tell(self) -> None:
        urlopen(f"http://127.0.0.1:{self.port}/go", timeout=10).close()


def measure(run: Run) -> list[Figure]:
    """Waiting, then slow readers."""
    with run.stack() as stack:
        run.say(f"waiting: {run.crowd:,} clients")
        body = stack.directory / "large.json"
        ours, floors = _wait(run, stack, body)
        figures = _waiting_figures(run, ours, floors)
        run.say(f"waiting: {READERS} slow readers")
        return [*figures, _slow_readers(run, stack, body)]


@contextmanager
def _floor(body: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [sys.executable, *web_command("benchmarks.crowd_app:application", port)]
    with serving("floor", command, port, BENCH_BODY=str(body)) as server:
        yield server.pid, server.port


def _wait(run: Run, stack: Stack, body: Path) -> tuple[list[Crowd], list[Crowd]]:
    ours: list[Crowd] = []
    floors: list[Crowd] = []
    for number in range(1, run.runs + 1):
        # A server of its own each time: memory that was freed is not given back, and would be used again.
        stack.stop()
        stack.start()
        OurRound(stack, 1_000_000 + number).measure(50)
        ours.append(OurRound(stack, number).measure(run.crowd))
        with _floor(body) as (pid, port):
            floors.append(FloorRound(pid, port, "/wait", "go").measure(run.crowd))
    return ours, floors


def _waiting_figures(run: Run, ours: list[Crowd], floors: list[Crowd]) -> list[Figure]:
    name = f"{run.crowd:,} clients on one shape"
    memory, last = [c.kilobytes for c in ours], [c.last for c in ours]
    more = max(c.threads for c in ours)
    small = Target("< 20 KB", median(memory) < 20)
    no_thread = Target("no thread each", more < 20)
    prompt = Target("< 1 s", median(last) < 1)
    return [
        Figure(
            SCENARIO, f"{name}, memory of the web process", median(memory), "KB a client",
            median([c.kilobytes for c in floors]), "bare ASGI", more_is_better=False,
            targets=run.targets(small, no_thread), note=notes(f"{more} threads more", runs=memory),
        ),
        Figure(
            SCENARIO, f"{name}, commit to the last answer", median(last), "s",
            median([c.last for c in floors]), "bare ASGI", more_is_better=False,
            targets=run.targets(prompt), note=notes(f"first after {median([c.first for c in ours]):.3f} s", runs=last),
        ),
    ]  # fmt: skip


def _slow_readers(run: Run, stack: Stack, body: Path) -> Figure:
    stack.sql("TRUNCATE items", f"INSERT INTO items {data.row_source('1', str(LARGE_ROWS), 10)}")
    with stack.client() as client:
        first = client.get(table="items", offset="-1")
    body.write_bytes(first.body)
    size = len(first.body) / 1e6
    ours = _pinned(stack.web_pid, stack.port, "/v1/shape?table=items&offset=-1")
    with _floor(body) as (pid, port):
        floor = _pinned(pid, port, "/large")
    small = Target("< 1 MB", ours < 1)
    return Figure(
        SCENARIO, f"a slow reader of {size:.0f} MB", ours, "MB a reader", floor, "sent in one piece",
        more_is_better=False, targets=run.targets(small), note=f"mean of {READERS} at once",
    )  # fmt: skip


def _pinned(pid: int, port: int, target: str) -> float:
    """MB of memory that one slow reader pins."""
    with crowd("sip", port, target, 1):
        before = _settled_memory(pid)
    with crowd("sip", port, target, READERS):
        return (_settled_memory(pid) - before) * (1 << 20) / 1e6 / READERS

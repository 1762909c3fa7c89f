"""serving: requests a second for a chunk of 60 KB that was asked for before, over 32 kept-open connections.

One web process, the example project as it is: Django's own middleware, uvicorn. The floor is a bare ASGI
application that sends the same bytes from the same uvicorn; nginx sends them from a file, where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks import data
from benchmarks.figures import Figure, check, median, notes
from benchmarks.processes import cpu_seconds
from benchmarks.run import Run
from benchmarks.stack import ROOT, Stack, free_port, terminate, web_command

SCENARIO = "serving"
CONNECTIONS = 32
ROWS = 232
"""Make about 60 KB of messages."""
TARGET = "/v1/shape?table=items&offset=-1"


@dataclass(frozen=True, slots=True)
class Server:
    """Something that sends the chunk."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load."""

    rate: float
    cpu_us: float
    """Processor time of the server for a request."""


def load(server: Server, seconds: float, size: int) -> Load:
    """Ask *server* for the chunk as fast as it answers."""
    arguments = (str(server.port), TARGET, str(CONNECTIONS), str(seconds), str(size))
    before = cpu_seconds(server.pid)
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    check(finished.returncode == 0, f"{server.name}: {finished.stderr}")
    requests, took = finished.stdout.split()
    used = cpu_seconds(server.pid) - before
    return Load(int(requests) / float(took), used / max(1, int(requests)) * 1e6)


@contextmanager
def serving(name: str, command: Sequence[str], port: int, **environment: str) -> Iterator[Server]:
    """A server of the same bytes."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
    )
    try:
        _await(port)
        yield Server(name, port, process.pid)
    finally:
        terminate(process)


def _await(port: int) -> None:
    for _ in range(500):
        try:
            with urlopen(f"http://127.0.0.1:{port}{TARGET}", timeout=5):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("a server for the floor does not start")


@contextmanager
def bare_asgi(body: Path) -> Iterator[Server]:
    """The floor."""
    port = free_port()
    command = [sys.executable, *web_command("benchmarks.floor_app:application", port)]
    with serving("bare ASGI", command, port, BENCH_BODY=str(body)) as server:
        yield server


@contextmanager
def nginx(program: str, body: Path) -> Iterator[Server]:
    """One worker of nginx that sends the file."""
    port = free_port()
    conf = body.with_name("nginx.conf")
    conf.write_text(
        f"daemon off; master_process off; pid {body.parent}/nginx.pid; error_log stderr;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{port};"
        f"location / {{ root {body.parent}; rewrite .* /{body.name} break; }} }} }}"
    )
    with serving("nginx", [program, "-c", str(conf)], port) as server:
        yield server


def measure(run: Run) -> list[Figure]:
    """We, the floor, and nginx, in turns."""
    with run.stack() as stack:
        run.say("serving: a chunk of 60 KB")
        stack.sql(f"INSERT INTO items {data.row_source('1', str(ROWS), 10)}")
        body = stack.directory / "body.json"
        body.write_bytes(_chunk(stack))
        ours = Server("django_electric", stack.port, stack.web_pid)
        with bare_asgi(body) as bare:
            loads = _in_turns(run, (ours, bare), body)
        program = shutil.which("nginx")
        remarks = () if program else ("nginx is not installed here: not measured",)
        figures = _figures(body, loads, *remarks)
        if program:
            with nginx(program, body) as server:
                figures.append(_beside_nginx(_in_turns(run, (ours, server), body)))
        check(_chunk(stack) == body.read_bytes(), "the chunk changed meanwhile")
    return figures


def _chunk(stack: Stack) -> bytes:
    with stack.client() as client:
        first = client.get(table="items", offset="-1")
    check(len(data.ids_in(first.body)) == ROWS, "the chunk does not hold the rows")
    return first.body


def _in_turns(run: Run, servers: Sequence[Server], body: Path) -> dict[str, list[Load]]:
    size = body.stat().st_size
    loads: dict[str, list[Load]] = {server.name: [] for server in servers}
    for server in servers:
        load(server, 1.0, size)
    for _ in range(run.runs):
        for server in servers:
            loads[server.name].append(load(server, run.seconds, size))
    return loads


def _figures(body: Path, loads: dict[str, list[Load]], *remarks: str) -> list[Figure]:
    ours, bare = loads["django_electric"], loads["bare ASGI"]
    name = f"chunk of {body.stat().st_size / 1000:.0f} KB, {CONNECTIONS} connections"
    return [
        Figure(
            SCENARIO, name, median([x.rate for x in ours]), "requests/s", median([x.rate for x in bare]),
            "bare ASGI", note=notes(*remarks, runs=[x.rate for x in ours]),
        ),
        Figure(
            SCENARIO, f"{name}, CPU of the web process", median([x.cpu_us for x in ours]), "us a request",
            median([x.cpu_us for x in bare]), "bare ASGI", more_is_better=False,
        ),
    ]  # fmt: skip


def _beside_nginx(loads: dict[str, list[Load]]) -> Figure:
    ours, other = ([x.rate for x in loads[name]] for name in ("django_electric", "nginx"))
    return Figure(
        SCENARIO,
        "the same beside nginx",
        median(ours),
        "requests/s",
        median(other),
        "nginx, a file",
    )

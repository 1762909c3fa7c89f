"""serving: requests a second for a chunk of 60 KB that was asked for before, over 32 kept-open connections.

One web process each: the example project as it is, which is wrapped in `shapes_first`, on uvicorn and on granian,
and the plain mount, where Django's middleware and views answer each request. The floor is a bare ASGI application
that sends the same bytes from the same uvicorn; nginx sends them from a file, where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks import data
from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.processes import children, cpu_seconds
from benchmarks.run import Run
from benchmarks.stack import ROOT, Stack, free_port, terminate, web_command

SCENARIO = "serving"
CONNECTIONS = 32
ROWS = 232
"""Make about 60 KB of messages."""
UVICORN, GRANIAN = "shapes_first on uvicorn", "shapes_first on granian"
PLAIN, BARE, NGINX = "the plain mount on uvicorn", "bare ASGI on uvicorn", "nginx, a file"
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
    with serving(BARE, command, port, BENCH_BODY=str(body)) as server:
        yield server


@contextmanager
def plain_mount(stack: Stack) -> Iterator[Server]:
    """Another web process of *stack*, without `shapes_first`."""
    port = free_port()
    command = [sys.executable, *web_command("benchmarks.plain_app:application", port)]
    with serving(PLAIN, command, port, **stack.environment) as server:
        yield server


@contextmanager
def granian(stack: Stack) -> Iterator[Server]:
    """Another web process of *stack*, on granian; the process that serves is a child of the one started."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
        "--no-ws", "--log-level", "warning", "example_project.asgi:application",
    ]  # fmt: skip
    with serving(GRANIAN, command, port, **stack.environment) as server:
        (child,) = children(server.pid)
        yield Server(GRANIAN, port, child)


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
    with serving(NGINX, [program, "-c", str(conf)], port) as server:
        yield server


def measure(run: Run) -> list[Figure]:
    """Everybody in turns."""
    with run.stack() as stack, ExitStack() as servers:
        run.say("serving: a chunk of 60 KB")
        stack.sql(f"INSERT INTO items {data.row_source('1', str(ROWS), 10)}")
        body = stack.directory / "body.json"
        body.write_bytes(_chunk(stack))
        all_of_them = [
            Server(UVICORN, stack.port, stack.web_pid),
            servers.enter_context(granian(stack)),
            servers.enter_context(plain_mount(stack)),
            servers.enter_context(bare_asgi(body)),
        ]
        program = shutil.which("nginx")
        if program:
            all_of_them.append(servers.enter_context(nginx(program, body)))
        loads = _in_turns(run, all_of_them, body)
        check(_chunk(stack) == body.read_bytes(), "the chunk changed meanwhile")
        return list(_figures(run, body, loads))


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


def _figures(run: Run, body: Path, loads: dict[str, list[Load]]) -> Iterator[Figure]:
    rate = {name: median([x.rate for x in some]) for name, some in loads.items()}
    spread = {name: [x.rate for x in some] for name, some in loads.items()}
    best = max((UVICORN, GRANIAN), key=lambda name: rate[name])
    name = f"chunk of {body.stat().st_size / 1000:.0f} KB, {CONNECTIONS} connections"
    quick = Target(f">= 10 x {PLAIN}", rate[best] >= 10 * rate[PLAIN])
    for server in (UVICORN, GRANIAN, PLAIN):
        targets = run.targets(quick) if server == best else ()
        yield Figure(
            SCENARIO, f"{name}: {server}", rate[server], "requests/s", rate[BARE], BARE,
            targets=targets, note=notes(runs=spread[server]),
        )  # fmt: skip
    for server in (UVICORN, PLAIN):
        yield Figure(
            SCENARIO, f"CPU of the web process: {server}", median([x.cpu_us for x in loads[server]]),
            "us a request", median([x.cpu_us for x in loads[BARE]]), BARE, more_is_better=False,
        )  # fmt: skip
    if NGINX in rate:
        quarter = Target("a quarter of nginx", rate[best] >= rate[NGINX] / 4)
        yield Figure(
            SCENARIO, f"the same beside nginx: {best}", rate[best], "requests/s", rate[NGINX], NGINX,
            targets=run.targets(quarter), note=notes(runs=spread[NGINX]),
        )  # fmt: skip

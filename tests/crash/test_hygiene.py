"""Shapes come and go: files, descriptors, threads and memory of the processes go with them."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.crash.hurried import HurriedServer
from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ill-treated"),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]

AT_ONCE = 16
"""Requests."""
KEPT = {
    "clients",
    "costs.json",
    "partitions.json",
    "published.json",
    "engine.json",
    "heartbeat.json",
    "shapes",
    "trash",
    "worker.sock",
    "writer.lock",
    "standby.lock",
}
"""What may lie in the directory of a stream."""


class Upkeep(NamedTuple):
    """What a process holds."""

    files: int
    threads: int
    memory: int
    """In kB."""


def upkeep(pid: int) -> Upkeep:
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    threads, memory = (re.search(rf"{field}:\s+(\d+)", status) for field in ("Threads", "VmRSS"))
    assert threads
    assert memory
    return Upkeep(len(list((process / "fd").iterdir())), int(threads[1]), int(memory[1]))


@pytest.fixture(scope="module")
def server(hurried_server: HurriedServer) -> HurriedServer:
    hurried_server.sql(
        "CREATE TABLE visitors (id int PRIMARY KEY, note text)",
        "INSERT INTO visitors SELECT n, 'there' FROM generate_series(1, 100) n",
    )
    return hurried_server


@pytest.fixture(autouse=True)
def empty(server: HurriedServer) -> Iterator[None]:
    """No shape is there, before and after."""
    forget_all(server)
    yield
    forget_all(server)


async def visit(server: HurriedServer, numbers: range) -> None:
    """A shape for each number, of several sorts."""
    room = asyncio.Semaphore(AT_ONCE)
    clauses = ("id = {}", "id > {}", "note LIKE '{}%'", "id % {} = 1")

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        where = clauses[number % len(clauses)].format(number)
        query = {"table": "visitors", "where": where, "offset": "-1"}
        async with room:
            answer = await client.get(f"{server.url}/v1/shape", params=query)
        assert answer.status_code == 200, answer.text

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(ask(client, number) for number in numbers))


def come_and_go(server: HurriedServer, numbers: range) -> None:
    """Shapes are made, changed and deleted."""
    asyncio.run(visit(server, numbers))
    folder = server.storage / server.stream_id
    assert len(list((folder / "shapes").iterdir())) == len(numbers)
    server.sql(
        "UPDATE visitors SET note = note || '!'",
        "UPDATE visitors SET note = 'there'",
    )
    forget_all(server)


def forget_all(server: HurriedServer) -> None:
    """Nothing is left of any shape on disk."""
    folder = server.storage / server.stream_id
    server.sql("DELETE FROM django_electric_shape")
    for name in ("shapes", "trash"):
        eventually(lambda n=name: not list((folder / n).iterdir()), f"{name} is empty", seconds=60)  # type: ignore[misc]


def pids(server: HurriedServer) -> list[int]:
    assert server.worker
    assert server.web
    return [server.worker.pid, server.web.pid]


def test_what_shapes_held_goes_with_them(server: HurriedServer) -> None:
    come_and_go(server, range(1, 61))
    before = [upkeep(pid) for pid in pids(server)]
    for start in (1_000, 2_000):
        come_and_go(server, range(start, start + 60))
    for pid, first in zip(pids(server), before, strict=True):
        eventually(lambda p=pid, f=first: upkeep(p).files <= f.files + 6, "files are closed")  # type: ignore[misc]
        assert upkeep(pid).threads <= first.threads + 4


def test_a_killed_worker_leaves_nothing_that_the_next_one_does_not_clear(
    server: HurriedServer,
) -> None:
    asyncio.run(visit(server, range(5_000, 5_040)))
    server.kill_worker()
    folder = server.storage / server.stream_id
    (folder / "trash" / "half-deleted").mkdir()
    (folder / "shapes" / "nobody-knows").mkdir()
    (folder / "shapes" / "nobody-knows" / "log.jsonl").write_text("x")
    (folder / "engine.new").write_text("half a st")
    server.sql("DELETE FROM django_electric_shape WHERE id % 2 = 0")
    server.start_worker()
    server.wait_until_active()
    handles = {row[0] for row in server.query("SELECT handle FROM django_electric_shape")}
    eventually(
        lambda: {path.name for path in (folder / "shapes").iterdir()} == handles, "its logs remain"
    )
    assert list((folder / "trash").iterdir()) == []
    assert {path.name for path in folder.iterdir()} <= KEPT


@contextmanager
def full_disk(server: HurriedServer) -> Iterator[None]:
    """The worker's files cannot grow beyond a few kB: a write ends in the middle, the next one fails."""
    worker = server.worker
    assert worker
    unlimited = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (60_000, unlimited[1]))
    try:
        yield
    finally:
        if worker.poll() is None:
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def listening(server: HurriedServer) -> Iterator[Callable[[], bytes]]:
    """All that the worker tells the web processes until it ends."""
    with socket.socket(socket.AF_UNIX) as road:
        road.settimeout(10)
        road.connect(str(server.storage / server.stream_id / "worker.sock"))
        yield lambda: b"".join(iter(lambda: road.recv(65_536), b""))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_full_disk_costs_nobody_what_is_there(
    server: HurriedServer, follow_all: Callable[[ElectricServer], Followers]
) -> None:
    followers = follow_all(server)
    server.sql("CREATE TABLE fills (id int PRIMARY KEY, note text)")
    server.sql("INSERT INTO fills SELECT n, repeat('x', 100) FROM generate_series(1, 1000) n")
    followers.make_marks()
    follower = followers.follow(table="fills", where="id > 900")
    followers.settle()
    with full_disk(server):
        query = {"table": "fills", "offset": "-1"}
        answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=60)
        assert answer.status_code == 500
        assert "File too large" in answer.text
        followers.settle()
        with followers.outage(of_worker=True), listening(server) as heard:
            server.sql("UPDATE fills SET note = note || id")
            server.sql("UPDATE fills SET note = repeat(note, 20) WHERE id > 950")
            assert server.worker
            assert server.worker.wait(30) == 1
            assert "the logs cannot be written, nothing more is confirmed" in server.log()
            served = follower.answers[200]
            eventually(
                lambda: follower.fault or follower.answers[200] > served + 2, "all is served"
            )
            told = max(int(lsn) for lsn in re.findall(rb"^lsn (\d+)$", heard(), re.MULTILINE))
            assert told <= int(follower.offset.partition("_")[0]), "that could not be written"
            server.start_worker()
            server.wait_until_active()
            followers.follow(table="fills", where="id > 0")
            followers.settle()
    assert follower.refetches == 0


@pytest.mark.soak
def test_ten_thousand_shapes_come_and_go(server: HurriedServer) -> None:
    """After the first half nothing grows any more."""
    # What a web process remembers of requests is bounded by some 4,000 of each kind.
    for start in range(10_000, 15_000, 1_000):
        come_and_go(server, range(start, start + 1_000))
    before = [upkeep(pid) for pid in pids(server)]
    for start in range(20_000, 25_000, 1_000):
        come_and_go(server, range(start, start + 1_000))
        print([upkeep(pid) for pid in pids(server)])
    for pid, first in zip(pids(server), before, strict=True):
        last = upkeep(pid)
        assert last.files <= first.files + 6
        assert last.threads <= first.threads + 4
        assert last.memory <= first.memory + (16 << 10)

"""A transaction of half a million rows passes through a worker that does not grow with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
ROWS = 500_000
MOST_GROWTH_KB = 200 << 10


def memory(pid: int, field: str) -> int:
    """In kB; ``VmHWM`` is the most that a process ever had."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_of_the_worker(
    crash_server: ElectricServer, follow_all: Callable[[ElectricServer], Followers]
) -> None:
    server, followers = crash_server, follow_all(crash_server)
    server.sql("CREATE TABLE large (id bigint PRIMARY KEY, kind int, title text, note text)")
    followers.make_marks()
    few = followers.follow(table="large", where=f"id > {ROWS - 10}")
    all_rows = {"table": "large"}
    first = httpx.get(f"{server.url}/v1/shape", params={**all_rows, "offset": "-1"}, timeout=60)
    handle = first.headers["electric-handle"]
    followers.settle()
    assert server.worker
    before = memory(server.worker.pid, "VmRSS")
    server.sql(
        "INSERT INTO large SELECT i, i % 10, 'title of row ' || i, repeat('x', 40) "
        f"FROM generate_series(1, {ROWS}) i"
    )
    eventually(lambda: few.fault or len(few.rows) == 10, "the transaction has passed", seconds=200)
    assert memory(server.worker.pid, "VmHWM") - before < MOST_GROWTH_KB
    assert count_inserts(server, {**all_rows, "handle": handle}) == ROWS
    followers.settle()


def count_inserts(server: ElectricServer, query: dict[str, str]) -> int:
    """Read a log to its end; how many entries insert a row."""
    offset, found = "0_inf", 0
    with httpx.Client(timeout=120) as client:
        while True:
            answer = client.get(f"{server.url}/v1/shape", params={**query, "offset": offset})
            assert answer.status_code == 200, answer.text[:200]
            found += answer.content.count(b'"operation":"insert"')
            offset = answer.headers["electric-offset"]
            if "electric-up-to-date" in answer.headers:
                return found

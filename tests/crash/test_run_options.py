"""``--once`` and ``--until-lsn`` end with code 0 when what they were asked for is in the logs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.followers import Followers
from tests.support.server import ROOT, ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]


@contextmanager
def without_worker(server: ElectricServer) -> Iterator[None]:
    assert server.stop_worker() == 0
    try:
        yield
    finally:
        server.start_worker()
        server.wait_until_active()


def run(server: ElectricServer, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "run_electric_replication", *options]
    return subprocess.run(
        command, cwd=ROOT, env=server.env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("option", ["--once", "--until-lsn"])
def test_it_ends(crash_server: ElectricServer, follow_all: FollowAll, option: str) -> None:
    server, followers = crash_server, follow_all(crash_server)
    table = f"ends_{option.strip('-').replace('-', '_')}"
    server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY)", f"INSERT INTO {table} VALUES (0)")
    followers.make_marks()
    follower = followers.follow(table=table)
    followers.settle()
    with without_worker(server):
        for number in range(2):
            server.sql(
                # Otherwise the commit is seen before it is written, and the LSN lies before it.
                "SET synchronous_commit = on",
                f"INSERT INTO {table} SELECT generate_series({number * 100 + 1}, {number * 100 + 50})",
            )
            lsn = str(server.query("SELECT pg_current_wal_lsn()")[0][0])
            done = run(server, option, *([lsn] if option == "--until-lsn" else []))
            assert done.returncode == 0, done.stdout + done.stderr
            wanted = 1 + 50 * (number + 1)
            eventually(lambda n=wanted: follower.fault or len(follower.rows) == n, "all is there")  # type: ignore[misc]
        again = run(server, option, *([lsn] if option == "--until-lsn" else []))
        assert again.returncode == 0, again.stdout + again.stderr
    followers.settle()


def test_lsn_that_is_none(crash_server: ElectricServer) -> None:
    done = run(crash_server, "--until-lsn", "banana")
    assert done.returncode == 2
    assert "--until-lsn" in done.stderr

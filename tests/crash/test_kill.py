"""kill -9 of the worker, at any moment: nothing is lost, nothing comes twice, handles stay."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]
KILLS = 8
BRISK = 500
"""Transactions of a session, before it slows down."""


@contextmanager
def writing(server: ElectricServer, tables: list[str], sessions: int = 2) -> Iterator[list[int]]:
    """Sessions that write small and large transactions; counts them."""
    stop = threading.Event()
    count = [0] * sessions
    errors: list[Exception] = []

    def write(number: int) -> None:
        chance = random.Random(number)
        try:
            with psycopg.connect(server.dsn) as connection:
                while not stop.is_set():
                    with connection.transaction():
                        for table in tables:
                            n = 400 if chance.random() < 0.1 else chance.randint(1, 4)
                            first = chance.randint(0, 2000) * 2 + number
                            keys = f"SELECT {first} + 2 * generate_series(0, {n})"
                            connection.execute(
                                f"INSERT INTO {table} SELECT id, {chance.randint(0, 3)}, 'new' FROM ({keys}) k (id) "  # type: ignore[call-overload]
                                f"ON CONFLICT (id) DO UPDATE SET kind = excluded.kind + 1, note = '{chance.random()}'"
                            )
                            connection.execute(  # type: ignore[call-overload]
                                f"DELETE FROM {table} WHERE id % 2 = {number} AND id % 7 = {chance.randint(0, 6)} AND id < {first}"
                            )
                    count[number] += 1
                    # What is written while a slow machine starts workers has to be followed afterwards.
                    stop.wait(0.01 if count[number] < BRISK else 0.2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        yield count
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
        assert not errors, errors


def test_kills_at_random_moments(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """Also while the worker starts, replays, or takes the first rows of a new shape."""
    server, followers = crash_server, follow_all(crash_server)
    server.sql(
        *(f"CREATE TABLE killed_{n} (id bigint PRIMARY KEY, kind int, note text)" for n in (1, 2))
    )
    followers.make_marks()
    for table in ("killed_1", "killed_2"):
        for where in (
            "kind = 1",
            "kind = 2 OR id < 50",
            "id > 1000",
            "kind IN (0, 3)",
            "note <> 'new'",
        ):
            followers.follow(table=table, where=where)
        followers.follow(table=table, replica="full")
    steady = list(followers.all)
    eventually(
        lambda: all(f.is_up_to_date or f.fault for f in steady), "the shapes are there", seconds=60
    )
    eventually(
        lambda: not server.query("SELECT 1 FROM django_electric_shape WHERE status <> 'active'"),
        "the shapes are on disk",
    )
    handles = {follower: follower.handle for follower in steady}
    chance = random.Random(8)
    with writing(server, ["killed_1", "killed_2"]) as count, followers.outage(of_worker=True):
        for number in range(KILLS):
            # A moment chosen by chance: this is not a wait for anything.
            threading.Event().wait(chance.choice((0.05, 0.3, 1, 2)))
            if number % 2:
                # One that may be in the middle of its first rows; it may have to begin anew.
                followers.follow(may_refetch=True, table="killed_1", where=f"id > {number}")
            server.kill_worker()
            server.start_worker()
            if number % 3 == 0:
                server.wait_until_active()
            followers.check()
        server.wait_until_active()
        before = sum(count)
        eventually(lambda: sum(count) > before + 10, "sessions write on")
        # One by one: while somebody writes there may be no moment for all.
        for follower in followers.all:
            eventually(
                lambda f=follower: f.is_up_to_date or f.fault,  # type: ignore[misc]
                f"{follower!r} goes on",
                seconds=60,
            )
    followers.settle()
    assert {follower: follower.handle for follower in steady} == handles
    assert all(follower.refetches == 0 for follower in steady)
    fresh = [followers.follow(**follower.params) for follower in steady]
    followers.settle(fresh)
    assert [f.handle for f in fresh] == list(handles.values())


def shape_folder(server: ElectricServer, handle: str) -> Path:
    return server.storage / server.stream_id / "shapes" / handle


def test_torn_files(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """Bytes that were written and never published are cut off; what was on disk and is gone is told."""
    server, followers = crash_server, follow_all(crash_server)
    server.sql("CREATE TABLE torn (id int PRIMARY KEY, note text)")
    followers.make_marks()
    garbage = followers.follow(table="torn")
    half_record = followers.follow(table="torn", where="id > 0")
    both = followers.follow(table="torn", where="id > 1")
    lost = followers.follow(may_refetch=True, table="torn", where="id > 2")
    followers.settle()
    server.sql(*(f"INSERT INTO torn VALUES ({n}, repeat('x', 50))" for n in range(20)))
    followers.settle()
    handles = [f.handle for f in (garbage, half_record, both, lost)]
    confirmed = (
        "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    )
    written = server.query("SELECT pg_current_wal_lsn()::text")[0][0]
    eventually(
        lambda: server.query(confirmed, [written, f"electric_slot_{server.stream_id}"])[0][0],
        "all of it is confirmed: Postgres will not send it again",
    )
    assert server.stop_worker() == 0
    try:
        with (shape_folder(server, garbage.handle) / "log.jsonl").open("ab") as file:
            file.write(b',{"key":"half an entr')
        with (shape_folder(server, half_record.handle) / "log.index").open("ab") as file:
            file.write(b"\x00\x01\x02\x03\x04")
        with (shape_folder(server, both.handle) / "log.jsonl").open("ab") as file:
            file.write(b',{"key":"whole","value":{},"headers":{"operation":"insert"}}\n' * 3)
        with (shape_folder(server, both.handle) / "log.index").open("ab") as file:
            file.write(os.urandom(31))
        followers.stop(lost)  # who reads bytes that are gone gets an error, not rows
        data = shape_folder(server, lost.handle) / "log.jsonl"
        os.truncate(data, data.stat().st_size // 2)
    finally:
        server.start_worker()
    server.wait_until_active()
    server.sql("UPDATE torn SET note = 'after' WHERE id < 10", "DELETE FROM torn WHERE id = 15")
    again = followers.follow(**lost.params)
    followers.settle()
    assert [f.handle for f in (garbage, half_record, both)] == handles[:3]
    assert again.handle != handles[3]


def test_second_worker_takes_over(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    server, followers = crash_server, follow_all(crash_server)
    server.sql("CREATE TABLE two_workers (id int PRIMARY KEY)")
    followers.make_marks()
    follower = followers.follow(table="two_workers")
    followers.settle()
    handle = follower.handle
    log = server.directory / "second.log"
    second = server.start("second", "manage.py", "run_electric_replication")
    try:
        eventually(lambda: "standing by" in log.read_text(), "the second worker stands by")
        server.sql("INSERT INTO two_workers VALUES (1)")
        followers.settle()
        assert httpx.get(f"{server.url}/v1/health", timeout=30).json() == {"status": "active"}
        server.kill_worker()
        server.sql("INSERT INTO two_workers VALUES (2)")
        eventually(lambda: follower.fault or len(follower.rows) == 2, "it takes over", seconds=20)
        server.wait_until_active()
        followers.settle()
        assert follower.handle == handle
        # The other way round, and in an orderly way.
        server.start_worker()
        waits = server.log().count("standing by")
        eventually(lambda: server.log().count("standing by") > waits, "the first one stands by")
    finally:
        stop(second)
        if server.worker is None or server.worker.poll() is not None:
            server.start_worker()
        server.wait_until_active()
    server.sql("INSERT INTO two_workers VALUES (3)")
    followers.settle()
    assert follower.handle == handle


def test_health_while_nobody_writes(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """Existing shapes are served without a worker; a new one is refused, and told when to come again."""
    server = crash_server
    server.sql("CREATE TABLE alone (id int PRIMARY KEY)", "INSERT INTO alone VALUES (1)")
    followers = follow_all(server)
    follower = followers.follow(table="alone")
    eventually(lambda: follower.fault or follower.is_up_to_date, "the shape is there")
    assert server.stop_worker() == 0
    try:
        server.wait_for_health("starting")
        answer = httpx.get(
            f"{server.url}/v1/shape", params={"table": "alone", "offset": "-1"}, timeout=30
        )
        assert answer.status_code == 200
        assert answer.headers["electric-handle"] == follower.handle
        refused = httpx.get(
            f"{server.url}/v1/shape",
            params={"table": "alone", "where": "id = 1", "offset": "-1"},
            timeout=30,
        )
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["cache-control"] == "no-store"
    finally:
        server.start_worker()
    server.wait_until_active()
    followers.check()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    finally:
        process.kill()
        process.wait()

"""Postgres has no connection to spare, throws the slot away, loses patience, or loses the publication."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from example_project.embedded_postgres import Cluster
from tests.crash.hurried import HurriedServer
from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ill-treated")]
FollowAll = Callable[[ElectricServer], Followers]


@pytest.fixture
def server(hurried_server: HurriedServer) -> HurriedServer:
    return hurried_server


@contextmanager
def configured(server: ElectricServer, **settings: str) -> Iterator[None]:
    """Settings of the whole cluster that take effect when they are read."""
    for name, value in settings.items():
        server.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    server.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        for name in settings:
            server.sql(f"ALTER SYSTEM RESET {name}")
        server.sql("SELECT pg_reload_conf()")


def rotated(*followers: Follower) -> Callable[[], object]:
    """They were sent back to the start, and have everything again."""
    return lambda: all(f.fault or (f.refetches and f.is_up_to_date) for f in followers)


# -- connections -----------------------------------------------------------------------------------


class Crowd:
    """Connections to the cluster that do nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self._dsn = cluster.dsn()
        self._connections: list[psycopg.Connection[object]] = []

    def grow(self) -> None:
        """Until not one more is to be had."""
        while True:
            try:
                self._connections.append(psycopg.connect(self._dsn))  # type: ignore[arg-type]
            except psycopg.OperationalError:
                return

    def shrink(self, count: int) -> None:
        for connection in self._connections[:count]:
            connection.close()
        del self._connections[:count]


@contextmanager
def crowd(cluster: Cluster) -> Iterator[Crowd]:
    crowd = Crowd(cluster)
    try:
        crowd.grow()
        yield crowd
    finally:
        crowd.shrink(1_000)


def test_too_many_clients(server: HurriedServer, follow_all: FollowAll) -> None:
    """The worker keeps trying; with a little room it streams, and with more it takes snapshots again."""
    followers = follow_all(server)
    server.sql("CREATE TABLE crowded (id int PRIMARY KEY)")
    followers.make_marks()
    follower = followers.follow(table="crowded")
    followers.settle()
    assert server.stop_worker() == 0
    since = len(server.log())
    with followers.outage(of_worker=True):
        with crowd(server.cluster) as others:
            server.start_worker()
            server.says("no replication: .*too many clients", since=since)
            assert server.worker
            assert server.worker.poll() is None
            server.wait_for_health("starting")
            others.shrink(1)
            server.says("streaming from", since=since)
            server.says("cannot be (reached|looked at).*too many clients", since=since)
        server.wait_until_active()
        followers.follow(table="crowded", where="id > 5")
        server.sql("INSERT INTO crowded SELECT generate_series(1, 10)")
        eventually(lambda: follower.fault or len(follower.rows) == 10, "the worker streams")
        eventually(lambda: all(f.fault or f.is_up_to_date for f in followers.all), "all go on")
    followers.settle()
    assert follower.refetches == 0


def test_no_connection_for_a_snapshot(server: HurriedServer, follow_all: FollowAll) -> None:
    followers = follow_all(server)
    server.sql("CREATE TABLE unsnapped (id int PRIMARY KEY)", "INSERT INTO unsnapped VALUES (1)")
    followers.make_marks()
    eventually(lambda: idle_snapshot_connections(server) == 0, "they are closed")
    query = {"table": "unsnapped", "offset": "-1"}
    with crowd(server.cluster):
        answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
    assert (answer.status_code, answer.json()) == (
        503,
        {"message": "Database connection not available"},
    )
    assert answer.headers["retry-after"] == "10"
    answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
    assert answer.status_code == 200
    followers.settle()


def idle_snapshot_connections(server: ElectricServer) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND query = 'ROLLBACK'"
    )
    return int(str(server.query(query, [f"electric_slot_{server.stream_id}"])[0][0]))


def test_who_does_nothing_holds_few_connections(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """The worker three, for the stream, the catalogue and the tables; a web process four at most, for look-ups."""
    followers = follow_all(server)
    server.sql("CREATE TABLE quiet (id int PRIMARY KEY)")
    followers.make_marks()
    many = [followers.follow(table="quiet", where=f"id > {n}") for n in range(20)]
    eventually(lambda: all(f.fault or f.is_up_to_date for f in many), "twenty clients wait")
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"
    )
    eventually(lambda: server.query(count) <= [(3 + 4,)], "snapshots' connections are closed")
    server.sql("INSERT INTO quiet VALUES (100)")
    eventually(lambda: all(f.fault or f.rows for f in many), "they wait for news", seconds=5)
    followers.follow(table="quiet", where="id > 200")
    followers.settle()


# -- the slot ----------------------------------------------------------------------------------------


def test_a_slot_that_is_too_far_behind_is_thrown_away_and_made_anew(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """By the worker that was too slow, while it runs."""
    followers = follow_all(server)
    server.sql(
        "CREATE TABLE behind (id int PRIMARY KEY)",
        "CREATE TABLE unpublished (id int)",
        "INSERT INTO behind VALUES (1)",
    )
    followers.make_marks().may_refetch = True
    shapes = [
        followers.follow(may_refetch=True, table="behind"),
        followers.follow(may_refetch=True, table="behind", where="id > 1"),
    ]
    followers.settle()
    handles = {follower.handle for follower in shapes}
    assert server.worker
    pid, since = server.worker.pid, len(server.log())
    lost = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
    with configured(server, max_slot_wal_keep_size="16MB"):
        os.kill(pid, signal.SIGSTOP)
        try:
            server.sql("INSERT INTO behind VALUES (2)")
            for number in range(4):
                # Nothing is sent of it: a walsender whose client takes nothing could not even be ended.
                server.sql(f"INSERT INTO unpublished VALUES ({number})", "SELECT pg_switch_wal()")
            server.sql("SET statement_timeout = '20s'; CHECKPOINT")
            eventually(lambda: server.query(lost, [server.slot]) == [("lost",)], "it is lost")
        finally:
            os.kill(pid, signal.SIGCONT)
        with followers.outage(of_worker=True):
            server.says("every shape is rotated and the slot made anew", since=since)
            server.wait_until_active()
            eventually(rotated(*shapes), "all are new")
        followers.settle()
    assert server.worker.poll() is None
    assert not {follower.handle for follower in shapes} & handles
    server.sql("DELETE FROM behind WHERE id = 1")
    followers.settle()


# -- patience ----------------------------------------------------------------------------------------


def hold_the_disk(server: HurriedServer, followers: Followers, seconds: float) -> None:
    """Somebody writes, and what he writes cannot be published for so long."""
    stream = "SELECT pid FROM pg_stat_replication WHERE application_name = %s"
    before = server.query(stream, [server.slot])
    since = len(server.log())
    assert len(before) == 1
    with server.held_disk(), server.connect() as connection:
        connection.execute("INSERT INTO patient SELECT generate_series(1, 100)")
        connection.execute("SELECT pg_sleep(%s)", [seconds])
        assert not followers.all[-1].rows
    followers.settle()
    assert server.query(stream, [server.slot]) == before, server.log()[since:]
    assert "no replication" not in server.log()[since:]


@pytest.mark.parametrize(
    ("timeout", "held"), [("1s", 3), pytest.param("5s", 12, marks=pytest.mark.soak)]
)
def test_a_disk_that_does_not_answer_costs_no_connection(
    server: HurriedServer, follow_all: FollowAll, timeout: str, held: int
) -> None:
    """The server hears of the worker all the time, though the worker's main thread hangs."""
    followers = follow_all(server)
    server.sql("DROP TABLE IF EXISTS patient", "CREATE TABLE patient (id int PRIMARY KEY)")
    followers.make_marks()
    followers.follow(may_refetch=True, table="patient")
    followers.settle()
    with configured(server, wal_sender_timeout=timeout):
        assert server.stop_worker() == 0
        server.start_worker()
        with followers.outage(of_worker=True):
            server.wait_until_active()
            followers.settle()
        hold_the_disk(server, followers, held)
    assert server.stop_worker() == 0
    server.start_worker()
    server.wait_until_active()


def test_a_server_that_is_lost_without_a_word_is_noticed(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """As behind a network that swallows everything. A server that has nothing to say is not."""
    followers = follow_all(server)
    server.sql("CREATE TABLE swallowed (id int PRIMARY KEY)")
    followers.make_marks()
    follower = followers.follow(table="swallowed")
    followers.settle()
    stream = "SELECT pid FROM pg_stat_replication WHERE application_name = %s"
    ((pid,),) = server.query(stream, [server.slot])
    since = len(server.log())
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGSTOP)
    try:
        server.says("no replication: nothing has been heard of the server for 3 s", since=since)
        server.sql("INSERT INTO swallowed VALUES (1)")
        server.says("another worker is active; standing by", since=since)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: follower.fault or follower.rows, "it streams again")
    server.wait_until_active()
    followers.settle()
    assert server.log()[since:].count("nothing has been heard") == 1


# -- set-up ------------------------------------------------------------------------------------------


def test_a_publication_that_is_dropped_while_the_worker_runs(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """From Postgres 18 on the stream goes on, and says nothing of what is written."""
    followers = follow_all(server)
    server.sql("CREATE TABLE unheard (id int PRIMARY KEY)", "INSERT INTO unheard VALUES (1)")
    followers.make_marks().may_refetch = True
    follower = followers.follow(may_refetch=True, table="unheard")
    followers.settle()
    since = len(server.log())
    server.sql(
        f"DROP PUBLICATION electric_publication_{server.stream_id}",
        "INSERT INTO unheard VALUES (2)",
    )
    with followers.outage(of_worker=True):
        eventually(rotated(follower), "it is noticed", seconds=20)
        server.wait_until_active()
        server.says("slot made anew|streaming from", since=since)
    server.sql("INSERT INTO unheard VALUES (3)")
    followers.settle()
    assert follower.rows


@pytest.mark.parametrize(
    ("away", "back", "says"),
    [
        (
            "RENAME TO away",
            "ALTER TABLE away RENAME TO django_electric_shape",
            "there is no table django_electric_shape: run manage.py migrate",
        ),
        (
            "RENAME snapshot TO away",
            "ALTER TABLE django_electric_shape RENAME away TO snapshot",
            "no replication: column .*snapshot.* does not exist",
        ),
    ],
)
def test_a_worker_that_is_started_before_the_migrations_waits_for_them(
    server: HurriedServer, follow_all: FollowAll, away: str, back: str, says: str
) -> None:
    """Neither does it give up, nor does it take shapes that it cannot read for shapes that are gone."""
    followers = follow_all(server)
    follower = followers.make_marks()
    followers.settle()
    assert server.stop_worker() == 0
    since = len(server.log())
    with followers.outage(of_worker=True):
        server.sql(f"ALTER TABLE django_electric_shape {away}")
        try:
            server.start_worker()
            server.says(says, since=since)
        finally:
            server.sql(back)
        server.says("streaming from", since=since)
        server.wait_until_active()
    assert "Traceback" not in server.log()[since:]
    followers.settle()
    assert follower.refetches == 0

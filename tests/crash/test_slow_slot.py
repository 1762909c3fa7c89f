"""Postgres takes its time to make the slot: while a transaction is open, and when nobody writes after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from tests.crash.conftest import ENVIRONMENT
from tests.crash.hurried import HurriedServer
from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ill-treated")]
FollowAll = Callable[[ElectricServer], Followers]

NOT_READY = (
    "Timeout waiting for replication client to be ready. Check that you don't have pending transactions in the"
    " database. Electric has to wait for all pending transactions to commit or rollback before it can create"
    " the replication slot."
)


@pytest.fixture(scope="module")
def server(hurried_server: HurriedServer) -> HurriedServer:
    hurried_server.sql("CREATE TABLE held_up (id int PRIMARY KEY)")
    return hurried_server


class OtherHost(HurriedServer):
    """A worker and a web process of the same stream that share no disk with the first."""

    def __init__(self, first: HurriedServer) -> None:
        super().__init__(first.cluster, ENVIRONMENT)
        for name in ("DATABASE_URL", "ELECTRIC_REPLICATION_STREAM_ID"):
            self.env[name] = first.env[name]

    def __enter__(self) -> OtherHost:
        self.start_worker()
        self.start_web()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop_web()
        self.stop_worker()


@contextmanager
def open_transaction(server: ElectricServer, row: int) -> Iterator[psycopg.Connection[object]]:
    """One that holds up whoever makes a slot."""
    with psycopg.connect(server.dsn, application_name="slowcoach") as connection:
        connection.execute("INSERT INTO held_up VALUES (%s)", [row])
        yield connection  # type: ignore[misc]


def lose_the_slot(server: HurriedServer) -> int:
    """Stop the worker and drop its slot; the length of its log."""
    assert server.stop_worker() == 0
    server.query("SELECT pg_drop_replication_slot(%s)", [server.slot])
    return len(server.log())


def health(server: ElectricServer) -> tuple[int, object]:
    answer = httpx.get(f"{server.url}/v1/health", timeout=5)
    return answer.status_code, answer.json()["status"]


def pids_of_makers(server: ElectricServer) -> set[object]:
    """Backends that are about to make a slot."""
    query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%' AND state = 'active'"
    return {row[0] for row in server.query(query)}


def test_an_open_transaction_is_named_and_waited_for(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """Another host stands by meanwhile, and takes over later whatever is open then: the slot is there."""
    followers = follow_all(server)
    followers.make_marks().may_refetch = True
    follower = followers.follow(may_refetch=True, table="held_up")
    followers.settle()
    since = lose_the_slot(server)
    with followers.outage(of_worker=True), open_transaction(server, 1) as holder:
        server.start_worker()
        server.says(
            f"transaction ends: process {holder.info.backend_pid} \\(slowcoach, idle in transaction,"
            " for \\d+ s\\): INSERT INTO held_up",
            since=since,
        )
        assert health(server) == (202, "starting")
        with OtherHost(server) as other, ThreadPoolExecutor() as pool:
            refused = pool.submit(refusal, server)
            other.wait_for_health("waiting")
            assert refused.result() == NOT_READY
            holder.commit()
            server.wait_until_active()
            assert health(other) == (202, "waiting")
            eventually(lambda: follower.fault or follower.refetches, "nobody knows what was missed")
            followers.settle()

            holder.execute("INSERT INTO held_up VALUES (2)")
            server.kill_worker()
            other.wait_until_active()
            holder.commit()
        server.start_worker()
        server.wait_until_active()
        eventually(lambda: follower.fault or follower.refetches > 1, "the other host had the logs")
    followers.settle()


def refusal(server: ElectricServer) -> object:
    """What a request hears whose shape only a worker could fill."""
    query = {"table": "held_up", "where": "id > 7", "offset": "-1"}
    answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "5"
    return answer.json()["message"]


def test_after_the_transaction_nobody_needs_to_write(server: HurriedServer) -> None:
    since = lose_the_slot(server)
    with open_transaction(server, 10) as holder:
        server.start_worker()
        server.says("transaction ends: process", since=since)
        holder.rollback()
    server.says("streaming from", since=since, seconds=10)


def test_a_prepared_transaction_is_named_and_its_rows_arrive(
    server: HurriedServer, follow_all: FollowAll
) -> None:
    """It belongs to no process that could be asked to end it."""
    followers = follow_all(server)
    followers.make_marks().may_refetch = True
    follower = followers.follow(may_refetch=True, table="held_up", where="id >= 40")
    followers.settle()
    since = lose_the_slot(server)
    prepare = "BEGIN; INSERT INTO held_up VALUES ({0}); PREPARE TRANSACTION 'later {0}'"
    server.sql(prepare.format(40))
    with followers.outage(of_worker=True):
        server.start_worker()
        server.says("transaction ends: the prepared transaction 'later 40'", since=since)
        server.sql("COMMIT PREPARED 'later 40'")
        server.wait_until_active()
        eventually(lambda: follower.fault or follower.refetches, "the slot is new")
        followers.settle()
    server.sql(prepare.format(41), prepare.format(42))
    followers.settle()
    server.sql("ROLLBACK PREPARED 'later 41'", "COMMIT PREPARED 'later 42'")
    followers.settle()
    assert [row[0] for row in follower.content] == ["40", "42"]


def test_a_killed_worker_does_not_hold_up_the_next_one(server: HurriedServer) -> None:
    """Its backend waits for a lock, and would hear of the end of its client when the transaction ends."""
    since = lose_the_slot(server)
    with open_transaction(server, 20) as holder:
        server.start_worker()
        eventually(lambda: pids_of_makers(server), "the slot is asked for")
        stuck = pids_of_makers(server)
        server.kill_worker()
        assert pids_of_makers(server) == stuck
        server.start_worker()
        eventually(lambda: pids_of_makers(server) - stuck, "the next one asks")
        assert not pids_of_makers(server) & stuck
        holder.rollback()
    server.says("streaming from", since=since, seconds=10)


def test_a_worker_that_waits_for_its_slot_can_be_stopped(server: HurriedServer) -> None:
    lose_the_slot(server)
    with open_transaction(server, 30) as holder:
        server.start_worker()
        eventually(lambda: pids_of_makers(server), "the slot is asked for")
        assert server.stop_worker() == 0
        holder.rollback()
    server.start_worker()
    server.wait_until_active()

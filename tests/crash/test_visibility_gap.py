"""Postgres streams a commit before it is visible (PROTOCOL section 16.3, point 15).

The gap is held open by a synchronous standby that does not exist: a session that commits with
``synchronous_commit = on`` waits for it, and until it is let go no snapshot sees what it wrote. The
cluster's own default is ``off``, so nobody else waits. Electric loses these rows for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from example_project.embedded_postgres import Cluster
from tests.crash.conftest import ENVIRONMENT
from tests.crash.hurried import HurriedServer
from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]

LARGE = 25_000
"""More changes than the worker keeps of recent transactions."""


class Gap:
    """Commits that are streamed and stay invisible until the gap closes."""

    def __init__(self, server: ElectricServer) -> None:
        self._server = server
        self._threads: list[threading.Thread] = []

    def commit(self, *statements: str) -> None:
        """Run a transaction in a session that will hang in its commit."""
        thread = threading.Thread(target=self._commit, args=(statements,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _commit(self, statements: tuple[str, ...]) -> None:
        with psycopg.connect(self._server.dsn) as connection:
            connection.execute("SET synchronous_commit = on")
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]
            connection.commit()

    def is_open(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def configure(cluster: Cluster, standby: str) -> None:
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")  # type: ignore[call-overload]
        connection.execute("SELECT pg_reload_conf()")
        wanted = standby.replace('"', "")

    def is_set() -> bool:
        with psycopg.connect(cluster.dsn(), autocommit=True) as fresh:
            row = fresh.execute("SHOW synchronous_standby_names").fetchone()
            return row is not None and str(row[0]).replace('"', "") == wanted

    eventually(is_set, "the setting is read")


@contextmanager
def gap(cluster: Cluster, server: ElectricServer) -> Iterator[Gap]:
    configure(cluster, "nobody")
    held = Gap(server)
    try:
        yield held
    finally:
        configure(cluster, "")
        held.join()


def holds(follower: object, key: str) -> Callable[[], object]:
    return lambda: follower.fault or any(row["id"] == key for row in list(follower.rows.values()))  # type: ignore[attr-defined]


def test_new_shape_gets_what_it_does_not_see(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll
) -> None:
    server, followers = own_cluster_server, follow_all(own_cluster_server)
    server.sql(
        "CREATE TABLE gap (id int PRIMARY KEY, note text)",
        "INSERT INTO gap VALUES (1, 'early'), (2, 'early'), (3, 'early')",
    )
    followers.make_marks()
    old = followers.follow(table="gap")
    eventually(holds(old, "3"), "the first shape is there")
    with gap(own_cluster, server) as held:
        held.commit("INSERT INTO gap VALUES (10, 'late')", "DELETE FROM gap WHERE id = 1")
        held.commit(
            "UPDATE gap SET note = 'late', id = 20 WHERE id = 2",
            "INSERT INTO gap VALUES (11, 'no')",
        )
        eventually(holds(old, "10"), "the stream brings the first transaction")
        eventually(holds(old, "20"), "the stream brings the second transaction")
        assert server.query("SELECT id FROM gap ORDER BY id") == [(1,), (2,), (3,)]
        new = [
            followers.follow(table="gap", replica="full"),
            followers.follow(table="gap", where="note = 'late' OR id = 1"),
            followers.follow(table="gap", columns="id", where="id > 2"),
        ]
        for follower in new:
            eventually(holds(follower, "10"), f"{follower!r} has the row while SQL does not see it")
            followers.check()
            wanted = {"10", "20", *(() if "note" in str(follower.params) else ("3", "11"))}
            eventually(
                lambda f=follower, w=wanted: f.fault or {row["id"] for row in f.rows.values()} == w,  # type: ignore[misc]
                f"{follower!r} has {wanted}",
            )
        eventually(
            lambda: not server.query("SELECT FROM django_electric_shape WHERE status <> 'active'"),
            "all are known to be on disk: those that are not begin anew after a crash",
        )
        server.kill_worker()
        server.start_worker()
        server.wait_until_active()
        fresh = followers.follow(table="gap", where="id >= 10")
        eventually(holds(fresh, "20"), "a shape after a restart of the worker has the row, too")
        assert server.query("SELECT id FROM gap ORDER BY id") == [(1,), (2,), (3,)]
        assert held.is_open()
    server.sql("UPDATE gap SET note = 'after'")
    followers.settle()


def test_new_table_in_the_gap(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll
) -> None:
    """The first shape of a table, while what was written before it is still invisible."""
    server, followers = own_cluster_server, follow_all(own_cluster_server)
    server.sql("CREATE TABLE gap_fresh (id int PRIMARY KEY)", "INSERT INTO gap_fresh VALUES (1)")
    followers.make_marks()
    with gap(own_cluster, server) as held:
        held.commit("INSERT INTO gap_fresh VALUES (2)")
        eventually(
            lambda: server.query(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
            ),
            "the commit waits for the standby",
        )
        with followers.outage(of_worker=True):  # the lock may time out while the commit waits
            follower = followers.follow(table="gap_fresh")
            eventually(
                lambda: follower.fault or follower.answers[503] or follower.rows, "it is answered"
            )
            configure(own_cluster, "")
            eventually(
                lambda: follower.fault or (follower.is_up_to_date and len(follower.rows) == 2),
                "both rows are there",
            )
    followers.settle()


def test_transaction_too_large_to_keep(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll
) -> None:
    """A new shape waits until its snapshot sees what the worker has not kept."""
    server, followers = own_cluster_server, follow_all(own_cluster_server)
    server.sql("CREATE TABLE gap_large (id int PRIMARY KEY)", "INSERT INTO gap_large VALUES (0)")
    followers.make_marks()
    old = followers.follow(table="gap_large", where="id < 100")
    eventually(holds(old, "0"), "the first shape is there")
    with gap(own_cluster, server) as held:
        held.commit(f"INSERT INTO gap_large SELECT generate_series(1, {LARGE})")
        eventually(holds(old, "99"), "the stream brings the transaction")
        new = followers.follow(table="gap_large")
        small = followers.follow(table="gap_large", where="id > 24990")
        eventually(
            lambda: (
                server.query("SELECT 1 FROM django_electric_shape WHERE status <> 'active'")
                or new.fault
                or new.answers[200]
            ),
            "the shape is registered",
        )
        # Nothing may be served that lacks the rows; the other shapes go on meanwhile.
        mark = followers.mark()
        eventually(lambda: old.fault or old.seen_lsn >= mark, "the first shape goes on")
        assert not new.rows
        assert new.answers[200] == small.answers[200] == 0
        assert held.is_open()
    eventually(lambda: new.fault or len(new.rows) == LARGE + 1, "the new shape has all rows")
    followers.settle()


def test_the_worker_may_be_the_synchronous_standby(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll
) -> None:
    """Commits that wait for the worker itself are let go: it confirms what it has synced."""
    server, followers = own_cluster_server, follow_all(own_cluster_server)
    server.sql("CREATE TABLE waits_for_us (id int PRIMARY KEY)")
    followers.make_marks()
    follower = followers.follow(table="waits_for_us")
    eventually(lambda: follower.fault or follower.is_up_to_date, "the shape is there")
    configure(own_cluster, f'"electric_slot_{server.stream_id}"')
    try:
        with server.connect() as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("SET statement_timeout = '20s'")
            for number in range(3):
                connection.execute("INSERT INTO waits_for_us VALUES (%s)", [number])
        late = followers.follow(table="waits_for_us", where="id > 0")
        eventually(lambda: late.fault or len(late.rows) == 2, "a new shape has the rows")
    finally:
        configure(own_cluster, "")
    followers.settle()


@pytest.fixture
def hurried(own_cluster: Cluster) -> Iterator[HurriedServer]:
    with HurriedServer(own_cluster, ENVIRONMENT) as server:
        yield server


def test_first_rows_are_not_complete_before_the_log_has_what_they_do_not_see(
    own_cluster: Cluster, hurried: HurriedServer, follow_all: FollowAll
) -> None:
    """However long it takes to write it: readers have been told of later positions."""
    server, followers = hurried, follow_all(hurried)
    server.sql("CREATE TABLE slow (id int PRIMARY KEY)", "INSERT INTO slow VALUES (1)")
    followers.make_marks()
    old = followers.follow(table="slow")
    eventually(holds(old, "1"), "the first shape is there")
    with gap(own_cluster, server) as held:
        held.commit("INSERT INTO slow VALUES (2)")
        eventually(holds(old, "2"), "the stream brings the transaction")
        with server.held_disk():
            new = followers.follow(table="slow", where="id > 0")
            eventually(lambda: _first_rows_written(server) == 2, "its first rows are written")
            # In this time somebody would find them complete, and the log empty.
            threading.Event().wait(1)
            assert not new.is_up_to_date
        eventually(holds(new, "2"), "it has the row while SQL does not see it")
        assert held.is_open()
    followers.settle()


def _first_rows_written(server: ElectricServer) -> int:
    """How many shapes of the table have their first rows on the disk, up to the message that ends them."""
    logs = (server.storage / server.stream_id / "shapes").glob("*/snapshot.jsonl")
    return sum(b"snapshot-end" in text and b'"slow"' in text for text in map(Path.read_bytes, logs))

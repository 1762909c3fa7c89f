"""Nothing is lost when a table is published, nor when its shapes are rotated, under writes.

PROTOCOL section 16.3, point 14: Electric drops a table from the publication with its last shape and
adds it again for the next, and what is written in between never comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]


@pytest.mark.parametrize(
    "first", ["INSERT INTO {t} VALUES (1, 'open')", "LOCK TABLE {t} IN ROW EXCLUSIVE MODE"]
)
def test_writer_that_began_before(
    crash_server: ElectricServer, follow_all: FollowAll, first: str
) -> None:
    """A transaction is open on a table before it is published, and commits after a shape was asked for."""
    server, followers = crash_server, follow_all(crash_server)
    table = f"began_before_{'insert' if 'INSERT' in first else 'lock'}"
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, note text)",
        f"INSERT INTO {table} VALUES (0, 'there')",
    )
    followers.make_marks()
    with psycopg.connect(server.dsn) as writer:
        writer.execute(first.format(t=table))  # type: ignore[call-overload]
        follower = followers.follow(table=table)
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        eventually(lambda: server.query(waits, [table]), "publishing waits for the writer")
        assert not follower.rows
        writer.execute(f"INSERT INTO {table} VALUES (2, 'late')")  # type: ignore[call-overload]
        writer.commit()
        writer.execute(f"INSERT INTO {table} VALUES (3, 'later')")  # type: ignore[call-overload]
        writer.commit()
    followers.settle()
    server.sql(f"UPDATE {table} SET note = 'after'")
    followers.settle()


def test_writer_that_does_not_end(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """Then the request ends with 503, as Electric's does, and a later one gets everything."""
    server, followers = crash_server, follow_all(crash_server)
    server.sql("CREATE TABLE never_ends (id int PRIMARY KEY)")
    followers.make_marks()
    with psycopg.connect(server.dsn) as writer:
        writer.execute("INSERT INTO never_ends VALUES (1)")
        answer = httpx.get(
            f"{server.url}/v1/shape", params={"table": "never_ends", "offset": "-1"}, timeout=30
        )
        assert answer.status_code == 503
        assert answer.json() == {"message": "Snapshot timed out while waiting for a table lock"}
        assert int(answer.headers["retry-after"]) > 0
        writer.commit()
    followers.follow(table="never_ends")
    followers.settle()


class Writers:
    """Sessions that insert, update and delete in one table until they are stopped."""

    def __init__(self, server: ElectricServer, table: str, sessions: int) -> None:
        self._server = server
        self._table = table
        self._stop = threading.Event()
        self.errors: list[Exception] = []
        self.transactions = 0
        self._threads = [
            threading.Thread(target=self._write, args=(n, sessions), daemon=True)
            for n in range(sessions)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not self.errors, self.errors

    def _write(self, number: int, step: int) -> None:
        try:
            with psycopg.connect(self._server.dsn) as connection:
                key = number
                while not self._stop.is_set():
                    key += step
                    with connection.transaction():
                        self._transaction(connection, key, key - 40 * step)
                    self.transactions += 1
                    self._stop.wait(0.005)
        except Exception as error:
            self.errors.append(error)

    def _transaction(
        self, connection: psycopg.Connection[tuple[object, ...]], key: int, old: int
    ) -> None:
        table = self._table
        connection.execute(f"INSERT INTO {table} (id, kind) VALUES ({key}, {key} % 5)")  # type: ignore[call-overload]
        connection.execute(f"UPDATE {table} SET kind = kind + 1 WHERE id = {key - 7 * 4}")  # type: ignore[call-overload]
        connection.execute(f"DELETE FROM {table} WHERE id = {old}")  # type: ignore[call-overload]


@contextmanager
def writing(server: ElectricServer, table: str, sessions: int = 3) -> Iterator[Writers]:
    writers = Writers(server, table, sessions)
    writers.start()
    try:
        yield writers
    finally:
        writers.stop()


@pytest.mark.parametrize("cause", ["truncate", "alter", "delete"])
def test_rotation_under_writes(
    crash_server: ElectricServer, follow_all: FollowAll, cause: str
) -> None:
    """Every shape of a table goes again and again, and comes again at once, while sessions write."""
    server, followers = crash_server, follow_all(crash_server)
    table = f"rotates_{cause}"
    server.sql(f"CREATE TABLE {table} (id bigint PRIMARY KEY, kind int, more int)")
    followers.make_marks()
    for where in (
        "",
        "kind = 1",
        "kind = 2 OR id < 50",
        "id > 100",
        "kind IS NOT NULL",
        "kind IN (0, 3)",
    ):
        followers.follow(may_refetch=True, table=table, **({"where": where} if where else {}))
    shapes = followers.all[1:]
    with writing(server, table) as writers:
        for number in range(3 if cause == "delete" else 5):
            eventually(
                lambda: all(f.is_up_to_date for f in shapes) or any(f.fault for f in shapes),
                "the shapes are there",
                seconds=60,
            )
            handles = {follower: follower.handle for follower in shapes}
            rotate(server, table, cause, number, handles.values())
            eventually(
                lambda h=handles: all(f.fault or f.handle != old for f, old in h.items()),  # type: ignore[misc]
                "every shape is another one",
                seconds=60,
            )
            followers.check()
            before = writers.transactions
            eventually(lambda b=before: writers.transactions > b + 20 or writers.errors)  # type: ignore[misc]
    followers.settle()
    assert writers.transactions > 60


def rotate(server: ElectricServer, table: str, cause: str, number: int, handles: object) -> None:
    if cause == "truncate":
        server.sql(f"TRUNCATE {table}")
    elif cause == "alter":
        server.sql(f"ALTER TABLE {table} ADD COLUMN c{number} int DEFAULT {number}")
    else:
        for handle in handles:  # type: ignore[attr-defined]
            answer = httpx.delete(f"{server.url}/v1/shape", params={"handle": handle}, timeout=30)
            assert answer.status_code == 202, answer.text


def test_out_of_the_publication_while_nobody_looked(
    crash_server: ElectricServer, follow_all: FollowAll
) -> None:
    """What was written meanwhile is not in the stream: all of the table's clients begin again."""
    server, followers = crash_server, follow_all(crash_server)
    publication = f"electric_publication_{server.stream_id}"
    server.sql("CREATE TABLE was_out (id int PRIMARY KEY)", "INSERT INTO was_out VALUES (1)")
    followers.make_marks().may_refetch = True
    follower = followers.follow(may_refetch=True, table="was_out")
    followers.settle()
    noted = server.storage / server.stream_id / "published.json"
    oid = str(server.query("SELECT 'was_out'::regclass::oid")[0][0])
    eventually(lambda: noted.exists() and oid in noted.read_text(), "the worker has looked")
    rows = server.query("SELECT prrelid::regclass::text FROM pg_publication_rel")
    with followers.outage(of_worker=True):
        server.stop_worker()
        server.sql(
            f"DROP PUBLICATION {publication}",
            "INSERT INTO was_out VALUES (2)",
            f"CREATE PUBLICATION {publication} FOR TABLE {', '.join(str(row[0]) for row in rows)}",
            "INSERT INTO was_out VALUES (3)",
        )
        server.start_worker()
        server.wait_until_active()
    followers.until_equal(follower)
    assert follower.refetches

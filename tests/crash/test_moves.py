"""Shapes with subqueries when processes die, connections break, and what moves in is a lot."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from example_project.embedded_postgres import Cluster
from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FollowAll = Callable[[ElectricServer], Followers]
CLAUSES = (
    "p IN (SELECT id FROM {parent} WHERE yes)",
    "p NOT IN (SELECT id FROM {parent} WHERE yes)",
    "p IN (SELECT id FROM {parent} WHERE yes) OR n > 7",
    "p IN (SELECT id FROM {parent} WHERE grand IN (SELECT id FROM {grand} WHERE yes)) AND n > 2",
)


class Family:
    """Children of parents of grandparents, and followers of what depends on them and of what does not."""

    def __init__(self, server: ElectricServer, followers: Followers) -> None:
        self.server, self.followers = server, followers
        suffix = os.urandom(4).hex()
        self.names = {name: f"{name}_{suffix}" for name in ("grand", "parent", "child")}
        self.run(
            "CREATE TABLE {grand} (id int PRIMARY KEY, yes bool NOT NULL)",
            "CREATE TABLE {parent} (id int PRIMARY KEY, grand int, yes bool NOT NULL)",
            "CREATE TABLE {child} (id int PRIMARY KEY, p int, n int NOT NULL)",
            "INSERT INTO {grand} SELECT g, g % 2 = 0 FROM generate_series(1, 4) g",
            "INSERT INTO {parent} SELECT g, 1 + g % 4, g % 2 = 0 FROM generate_series(1, 20) g",
            "INSERT INTO {child} SELECT g, 1 + g % 20, g % 10 FROM generate_series(1, 400) g",
        )
        followers.make_marks()
        self.plain = [
            followers.follow(table=self.names["child"]),
            followers.follow(table=self.names["child"], where="n > 4"),
            followers.follow(table=self.names["parent"], where="yes"),
        ]
        self.moving: list[Follower] = []

    def filled(self, text: str) -> str:
        return text.format(**self.names)

    def run(self, *statements: str) -> None:
        self.server.sql(*map(self.filled, statements))

    def follow(self, *clauses: str, may_refetch: bool) -> None:
        self.moving += [
            self.followers.follow(
                may_refetch=may_refetch, table=self.names["child"], where=self.filled(clause)
            )
            for clause in clauses
        ]
        self.followers.settle()

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """Nobody can read the children: a move that wants to, waits."""
        with self.server.connect() as connection, connection.transaction():
            connection.execute(self.filled("LOCK TABLE {child} IN ACCESS EXCLUSIVE MODE"))  # type: ignore[call-overload]
            yield

    def waiting(self) -> list[int]:
        """The backends of the moves that wait."""
        found = self.server.query(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%%' AND query LIKE %s",
            [f"%{self.names['child']}%"],
        )
        return [int(str(pid)) for (pid,) in found]

    def until_waiting(self, count: int = 1) -> list[int]:
        return eventually(
            lambda: pids if len(pids := self.waiting()) >= count else None, "moves wait"
        )

    def break_stream(self) -> None:
        """The replication connection; the worker stays."""
        slot = f"electric_slot_{self.server.stream_id}"
        active = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s AND active"
        ((before,),) = self.server.query(active, [slot])
        self.server.query("SELECT pg_terminate_backend(%s)", [before])
        eventually(
            lambda: [row for row in self.server.query(active, [slot]) if row[0] != before],
            "the worker streams again",
        )

    @contextmanager
    def writing(self, seed: int) -> Iterator[list[int]]:
        """A session that turns parents and moves children all the time; counts its transactions."""
        stop, chance, count = threading.Event(), random.Random(seed), [0]
        errors: list[Exception] = []

        def statement() -> str:
            key = chance.randint(1, 20)
            return self.filled(
                chance.choice(
                    (
                        f"UPDATE {{parent}} SET yes = NOT yes WHERE id = {key}",
                        f"UPDATE {{parent}} SET yes = NOT yes WHERE id % 5 = {key % 5}",
                        f"UPDATE {{grand}} SET yes = NOT yes WHERE id = {1 + key % 4}",
                        f"UPDATE {{parent}} SET grand = {1 + key % 4} WHERE id = {key}",
                        f"UPDATE {{child}} SET p = {key}, n = n + 1 WHERE id % 20 = {chance.randint(0, 19)}",
                        f"UPDATE {{child}} SET n = {key % 10} WHERE id % 40 = {chance.randint(0, 39)}",
                        f"DELETE FROM {{child}} WHERE id % 50 = {key}",
                        f"INSERT INTO {{child}} SELECT g, {key}, g % 10 FROM generate_series({key}, 400, 25) g"
                        " ON CONFLICT DO NOTHING",
                    )
                )
            )

        def write() -> None:
            try:
                with self.server.connect() as connection:
                    while not stop.is_set():
                        with connection.transaction():
                            for _ in range(chance.choice((1, 1, 3))):
                                connection.execute(statement())  # type: ignore[call-overload]
                        count[0] += 1
                        stop.wait(0.02)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield count
        finally:
            stop.set()
            thread.join(60)
            assert not errors, errors

    def check_others(self, handles: dict[Follower, str]) -> None:
        """Those that have no subqueries have not noticed anything."""
        assert {f: f.handle for f in self.plain} == handles
        assert [f.refetches for f in self.plain] == [0] * len(self.plain)


@pytest.fixture
def family(crash_server: ElectricServer, follow_all: FollowAll) -> Family:
    return Family(crash_server, follow_all(crash_server))


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_a_worker_that_starts_again_begins_them_anew_and_only_them(
    family: Family, way: str
) -> None:
    """What was told of the subqueries was in its memory: each client hears 409, once."""
    server, followers = family.server, family.followers
    family.follow(*CLAUSES, may_refetch=True)
    handles = {f: f.handle for f in family.plain}
    before = [f.handle for f in family.moving]
    with family.writing(1) as count:
        eventually(lambda: count[0] > 20, "sessions write")
        if way == "killed":
            server.kill_worker()
        else:
            assert server.stop_worker() == 0
        written = count[0]
        eventually(lambda: count[0] > written + 10, "it goes on without a worker")
        with followers.outage(of_worker=True):
            server.start_worker()
            server.wait_until_active()
            eventually(
                lambda: all(f.fault or (f.refetches and f.is_up_to_date) for f in family.moving),
                "they begin anew",
                seconds=60,
            )
            written = count[0]
            eventually(lambda: count[0] > written + 30, "moves go on")
    followers.settle()
    assert [f.refetches for f in family.moving] == [1] * len(CLAUSES)
    assert not {f.handle for f in family.moving} & set(before)
    family.check_others(handles)


def test_the_stream_breaks_while_rows_move_in(family: Family) -> None:
    """The worker lives, and so does what it knows: nothing begins anew, nothing comes twice."""
    clauses = [clause for clause in CLAUSES if "NOT" not in clause]
    family.follow(*clauses, may_refetch=False)
    handles = {f: f.handle for f in family.plain}
    with family.unreadable():
        family.run("UPDATE {parent} SET yes = NOT yes WHERE id < 8")
        family.until_waiting()
        family.break_stream()
        family.run(
            "UPDATE {parent} SET yes = NOT yes WHERE id BETWEEN 4 AND 12",
            "UPDATE {grand} SET yes = NOT yes WHERE id < 3",
        )
        family.break_stream()
    family.followers.settle()
    with family.writing(2) as count:
        for _ in range(4):
            before = count[0]
            eventually(lambda b=before: count[0] > b + 15, "sessions write")  # type: ignore[misc]
            family.break_stream()
    family.followers.settle()
    assert [f.refetches for f in family.moving] == [0] * len(clauses)
    family.check_others(handles)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_restarts_while_rows_move_in(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll, mode: str
) -> None:
    """A move that was being read is lost with its connection: that shape begins anew."""
    family = Family(own_cluster_server, follow_all(own_cluster_server))
    family.follow(*CLAUSES, may_refetch=True)
    handles = {f: f.handle for f in family.plain}
    with family.writing(3) as count:
        eventually(lambda: count[0] > 20, "sessions write")
    with family.followers.outage(of_worker=True):  # nor can a new shape be begun without Postgres
        lock = family.unreadable()
        lock.__enter__()  # it ends with Postgres
        family.run("UPDATE {parent} SET yes = NOT yes WHERE id < 8")
        family.until_waiting()
        own_cluster.stop(mode)
        own_cluster.start()
        family.server.wait_until_active()
        with family.writing(4) as count:
            eventually(lambda: count[0] > 20, "sessions write")
        family.followers.settle()
    assert all(f.refetches <= 1 for f in family.moving), family.moving
    family.check_others(handles)


def test_a_move_whose_rows_cannot_be_read_rotates_its_shape_alone(family: Family) -> None:
    family.follow(CLAUSES[0], may_refetch=True)
    (unlucky,) = family.moving
    family.follow(
        "p IN (SELECT grand FROM {parent}) AND n > 1", "n IN (SELECT id FROM {grand})",
        may_refetch=False,
    )  # fmt: skip
    handles = {f: f.handle for f in [*family.plain, *family.moving[1:]]}
    since = len(family.server.log())
    with family.unreadable():
        family.run("UPDATE {parent} SET yes = true WHERE id < 8")
        (pid,) = family.until_waiting()
        family.server.query("SELECT pg_terminate_backend(%s)", [pid])
        eventually(lambda: "its rows could not be read" in family.server.log()[since:], "it says")
    eventually(lambda: unlucky.fault or unlucky.refetches, "it begins anew")
    family.run("UPDATE {parent} SET yes = NOT yes WHERE id < 12")
    family.followers.settle()
    assert unlucky.refetches == 1
    assert {f: f.handle for f in handles} == handles
    rotated = [line for line in family.server.log()[since:].splitlines() if "rotated" in line]
    assert len(rotated) == 1, rotated
    assert "its rows could not be read: " in rotated[0]


def test_many_rows_move_in_by_one_update(family: Family) -> None:
    """200,000 rows come and go, twice; what is read at once is no more than 64 MB."""
    family.run(
        "CREATE TABLE {child}_many (id int PRIMARY KEY, p int)",
        "INSERT INTO {child}_many SELECT g, CASE WHEN g > 20 THEN 100 ELSE 101 END FROM generate_series(1, 200000) g",
        "INSERT INTO {parent} VALUES (100, 1, false), (101, 1, true)",
    )
    table = family.filled("{child}_many")
    follower = family.followers.follow(table=table, where=family.filled(CLAUSES[0]))
    family.followers.settle()
    assert len(follower.rows) == 20
    for _ in range(2):
        family.run(
            "UPDATE {parent} SET yes = true WHERE id = 100",
            "UPDATE {child}_many SET p = 100 WHERE id = 7",
            "DELETE FROM {child}_many WHERE id = 8",
        )
        family.followers.settle()
        assert len(follower.rows) > 199_000
        family.run("UPDATE {parent} SET yes = false WHERE id = 100")
        family.followers.settle()
        assert 10 < len(follower.rows) < 20
    assert follower.refetches == 0


def test_more_than_is_read_at_once_rotates_the_shape_and_says_so(family: Family) -> None:
    family.run(
        "CREATE TABLE {child}_wide (id int PRIMARY KEY, p int, text text)",
        "INSERT INTO {child}_wide SELECT g, 100, repeat('x', 4000) FROM generate_series(1, 17000) g",
        "INSERT INTO {parent} VALUES (100, 1, false)",
    )
    table = family.filled("{child}_wide")
    follower = family.followers.follow(
        may_refetch=True, table=table, where=family.filled(CLAUSES[0])
    )
    family.followers.settle()
    since = len(family.server.log())
    handles = {f: f.handle for f in family.plain}
    family.run("UPDATE {parent} SET yes = true WHERE id = 100")
    eventually(lambda: follower.fault or follower.refetches, "it begins anew")
    family.followers.settle()
    assert len(follower.rows) == 17_000
    assert follower.refetches == 1
    said = family.server.log()[since:]
    (line,) = [one for one in said.splitlines() if "too many" in one]
    assert "WARNING" in line or "rotated" in line, line
    assert "Traceback" not in said
    family.check_others(handles)

"""Mover: the rows of moves, read together; one that cannot be read costs the others nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.replication.events import Event, Inbox, MoveFailed, MovesRead
from django_electric.replication.mover import MoveJob, Mover
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import MoveRequest
from tests.shapes.test_moves import define
from tests.shapes.world import ListSink
from tests.support.waiting import eventually

Connection = psycopg.Connection[tuple[object, ...]]


class World:
    def __init__(self, dsn: str) -> None:
        self.inbox = Inbox()
        self.mover = Mover(dsn, 1, self.inbox)
        self.shapes = [
            MovingShape(f"h{n}", define("p IN (SELECT id FROM parent)"), ListSink())
            for n in range(3)
        ]
        self.seen: list[Event] = []

    def submit(self, *queries: str, must_see: frozenset[int] = frozenset()) -> None:
        """At once, so that they are read together."""
        jobs = [
            MoveJob(MoveRequest(shape, query), must_see)
            for shape, query in zip(self.shapes, queries, strict=False)
        ]
        for job in jobs:
            self.mover._jobs.put(job)
        self.mover._threads = 1
        threading.Thread(target=self.mover._run, daemon=True).start()

    def events(self, count: int) -> list[Event]:
        def are_here() -> bool:
            self.seen += self.inbox.take()
            return len(self.seen) >= count

        eventually(are_here, f"{count} events")
        return self.seen


@pytest.fixture
def world(
    connection: Connection, settings_of: Callable[..., ElectricSettings], dsn: str
) -> Iterator[World]:
    world = World(dsn)
    yield world
    world.mover.stop()
    world.inbox.close()


def copy(select: str) -> str:
    return f"COPY ({select}) TO STDOUT"


def test_moves_that_wait_are_read_by_one_snapshot(world: World) -> None:
    world.submit(*(copy(f"SELECT {n}") for n in range(3)))
    (event,) = world.events(1)
    assert isinstance(event, MovesRead)
    assert sorted(read.rows[0] for read in event.reads) == [b"0\n", b"1\n", b"2\n"]
    assert {read.shape for read in event.reads} == set(world.shapes)


def test_one_that_cannot_be_read_costs_the_others_nothing(world: World) -> None:
    world.submit(copy("SELECT 1"), copy("SELECT 1 / 0"), copy("SELECT 2"))
    events = world.events(3)
    (failed,) = [event for event in events if isinstance(event, MoveFailed)]
    assert failed.shape is world.shapes[1]
    assert "division by zero" in failed.reason
    read = [read.shape for event in events if isinstance(event, MovesRead) for read in event.reads]
    assert set(read) == {world.shapes[0], world.shapes[2]}


def test_too_many_rows_are_not_kept_in_memory(world: World) -> None:
    world.submit(copy("SELECT repeat('x', 1000) FROM generate_series(1, 70000)"))
    (event,) = world.events(1)
    assert isinstance(event, MoveFailed)
    assert "too many" in event.reason


def test_the_snapshot_sees_what_it_must(world: World, connection: Connection, dsn: str) -> None:
    """What the stream has brought may not be visible yet."""
    connection.execute("CREATE TABLE t (id int)")
    with psycopg.connect(dsn) as other:
        other.execute("INSERT INTO t VALUES (1)")
        row = other.execute("SELECT pg_current_xact_id()::text::int8").fetchone()
        assert row
        world.submit(copy("SELECT count(*) FROM t"), must_see=frozenset({int(str(row[0]))}))
        other.commit()
    (event,) = world.events(1)
    assert isinstance(event, MovesRead)
    assert event.reads[0].rows == [b"1\n"]


def test_without_a_connection_a_move_fails(world: World) -> None:
    world.mover._conninfo = "host=127.0.0.1 port=1 connect_timeout=1"
    world.submit(copy("SELECT 1"))
    (event,) = world.events(1)
    assert isinstance(event, MoveFailed)
    assert "connection" in event.reason

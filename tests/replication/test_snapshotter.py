"""Snapshotter: first rows, in the order that loses none."""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from django_electric.catalogue import find_relation
from django_electric.conf import ElectricSettings
from django_electric.errors import SnapshotFailed, StorageError
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import readers
from django_electric.replication import snapshotter as module
from django_electric.replication.events import (
    ChunkWritten,
    Event,
    Inbox,
    SnapshotComplete,
    SnapshotEnded,
    VisibilityKnown,
)
from django_electric.replication.markers import Markers
from django_electric.replication.readers import Watchdog, failure_of
from django_electric.replication.snapshotter import SnapshotJob, Snapshotter, snapshot_end
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.offset import BEFORE_ALL, LogOffset
from django_electric.storage import MemoryStorage
from django_electric.where import parse_where
from tests.replication.database import reading

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def settings(
    connection: Connection, settings_of: Callable[..., ElectricSettings]
) -> Iterator[ElectricSettings]:
    """With a table ``t`` of 100 rows that is published, so that no marker has to be waited for."""
    settings = settings_of(shape_chunk_bytes_threshold=1000)
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    connection.execute("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 100) n")
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR TABLE t")
    yield settings
    connection.execute(f"DROP PUBLICATION {settings.publication_name}; DROP TABLE IF EXISTS t")


class World:
    def __init__(
        self, dsn: str, settings: ElectricSettings, inbox: Inbox, connection: Connection
    ) -> None:
        self.inbox = inbox
        self.connection = connection
        self.storage = MemoryStorage()
        self.markers = Markers()
        self.snapshotter = Snapshotter(dsn, settings, inbox, self.markers)

    def definition(self, where: str | None = None, **options: Any) -> ShapeDefinition:
        relation = find_relation(self.connection.cursor(), "public", "t")
        assert relation is not None
        types = {c.name: c.evaluator_type for c in relation.columns}
        parsed = None if where is None else parse_where(where, types)
        return ShapeDefinition.build(relation, where=parsed, **options)

    def fill(
        self, definition: ShapeDefinition, handle: str = "h", must_see: frozenset[int] = frozenset()
    ) -> None:
        writer = self.storage.writer(handle)
        self.snapshotter.submit(SnapshotJob(handle, definition, writer.snapshot(), must_see))

    def events(self, last: type = SnapshotComplete) -> list[Event]:
        """What is told, up to an event of type *last*."""
        found: list[Event] = []
        deadline = time.monotonic() + 10
        while not any(isinstance(event, last) for event in found):
            assert time.monotonic() < deadline, found
            select.select([self.inbox], [], [], 0.1)
            found += self.inbox.take()
        for event in found:
            if isinstance(event, SnapshotComplete):
                assert not self.storage.reader(event.handle).state().is_snapshot_complete
                event.writer.finish()
        return found

    def failure(self, definition: ShapeDefinition) -> SnapshotFailed:
        self.fill(definition)
        event = self.events(SnapshotEnded)[-1]
        assert isinstance(event, SnapshotEnded)
        assert event.handle == "h"
        return event.error

    def messages(self, handle: str = "h") -> list[dict[str, Any]]:
        return self.storage.reader(handle).messages()  # type: ignore[return-value]  # decoded JSON


@pytest.fixture
def world(dsn: str, settings: ElectricSettings, inbox: Inbox, connection: Connection) -> World:
    return World(dsn, settings, inbox, connection)


# -- what is written -----------------------------------------------------------------------------------


def test_the_rows_are_followed_by_the_snapshot_that_they_are_of(world: World) -> None:
    world.fill(world.definition())
    events = world.events()
    *rows, end = world.messages()
    assert {row["value"]["id"] for row in rows} == {str(n) for n in range(1, 101)}
    complete = events[-1]
    assert isinstance(complete, SnapshotComplete)
    assert complete.rows == 100
    snapshot = complete.snapshot
    assert end["headers"] == {
        "control": "snapshot-end",
        "xmin": str(snapshot.xmin),
        "xmax": str(snapshot.xmax),
        "xip_list": [str(xid) for xid in sorted(snapshot.xip)],
    }
    assert snapshot.wal_lsn is not None


def test_visibility_is_told_before_the_first_chunk_and_completion_last(world: World) -> None:
    world.fill(world.definition())
    events = world.events()
    kinds = [type(event) for event in events]
    assert kinds[0] is VisibilityKnown
    assert kinds[-1] is SnapshotComplete
    assert set(kinds[1:-1]) == {ChunkWritten}
    assert events[0].snapshot == events[-1].snapshot  # type: ignore[union-attr]  # by the asserts above


def test_chunks_close_with_the_row_that_reaches_the_threshold(world: World) -> None:
    """Each row counts its JSON and one (PROTOCOL section 3.5)."""
    world.fill(world.definition())
    world.events()
    reader = world.storage.reader("h")
    offset, sizes = BEFORE_ALL, []
    while (chunk := reader.chunk_after(offset)) is not None and chunk.part == "snapshot":
        rows = reader.read(chunk, 0, chunk.size).splitlines()
        sizes.append([len(row) for row in rows])
        offset = chunk.end
    assert offset == LogOffset(0, len(sizes) - 1)
    for rows in sizes[:-1]:
        assert sum(rows) >= 1000 > sum(rows[:-1])


def test_a_last_row_that_closes_its_chunk_leaves_the_end_to_the_next(
    world: World, connection: Connection
) -> None:
    connection.execute("DELETE FROM t; INSERT INTO t VALUES (1, repeat('x', 2000))")
    world.fill(world.definition())
    world.events()
    first, second = world.storage.logs["h"].snapshot
    assert b'"control"' not in first
    assert second.startswith(b',{"headers":{"control":"snapshot-end"')


def test_an_empty_shape_has_one_chunk_with_its_end(world: World) -> None:
    world.fill(world.definition("id < 0"))
    world.events()
    (only,) = world.storage.logs["h"].snapshot
    assert json.loads(only[1:])["headers"]["control"] == "snapshot-end"


def test_only_rows_that_the_condition_is_true_of_are_taken(world: World) -> None:
    world.fill(world.definition("id <= 3"))
    world.events()
    assert [m["value"]["id"] for m in world.messages()[:-1]] == ["1", "2", "3"]


def test_a_shape_of_changes_only_gets_no_rows_but_a_snapshot(world: World) -> None:
    world.fill(world.definition(log_mode="changes_only"))
    complete = world.events()[-1]
    assert isinstance(complete, SnapshotComplete)
    assert complete.rows == 0
    (end,) = world.messages()
    assert end["headers"]["xmax"] == str(complete.snapshot.xmax)


def test_many_shapes_share_the_threads_that_there_are(world: World) -> None:
    for n in range(10):
        world.fill(world.definition(f"id = {n}"), f"h{n}")
    complete: list[Event] = []
    while len(complete) < 10:
        complete += [e for e in world.events() if isinstance(e, SnapshotComplete)]
    assert world.snapshotter._threads == 2
    assert [len(world.messages(f"h{n}")) for n in range(10)] == [1] + [2] * 9


def test_a_lot_of_rows_arrives_whole(world: World, connection: Connection) -> None:
    connection.execute("INSERT INTO t SELECT n, repeat('y', 100) FROM generate_series(101, 6000) n")
    relation = world.definition()
    world.fill(relation)
    complete = world.events()[-1]
    assert isinstance(complete, SnapshotComplete)
    assert complete.rows == 6000
    assert {int(m["value"]["id"]) for m in world.messages()[:-1]} == set(range(1, 6001))


# -- publishing first ------------------------------------------------------------------------------------


def test_a_table_that_was_not_published_waits_for_the_stream_to_pass_its_marker(
    world: World,
    connection: Connection,
    settings: ElectricSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.execute(f"ALTER PUBLICATION {settings.publication_name} DROP TABLE t")
    expected: list[bytes] = []
    asked = threading.Event()
    expect = world.markers.expect

    def watch(token: bytes) -> threading.Event:
        expected.append(token)
        asked.set()
        return expect(token)

    monkeypatch.setattr(world.markers, "expect", watch)
    world.fill(world.definition())
    assert asked.wait(10)
    assert list(world.inbox.take()) == []
    assert world.messages() == []
    world.markers.passed(expected[0])
    world.events()
    assert len(world.messages()) == 101
    assert world.markers._waiting == {}


def test_a_stream_that_does_not_pass_the_marker_is_not_waited_for_for_ever(
    world: World,
    connection: Connection,
    settings: ElectricSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STREAM_TIMEOUT", 0.01)
    connection.execute(f"ALTER PUBLICATION {settings.publication_name} DROP TABLE t")
    error = world.failure(world.definition())
    assert "took too long to start" in error.message
    assert error.status == 503


# -- visibility ------------------------------------------------------------------------------------------


def test_a_transaction_that_has_to_be_seen_is_waited_for(
    world: World, connection: Connection, other: Connection
) -> None:
    with other.transaction():
        other.execute("INSERT INTO t VALUES (1000, 'late')")
        row = other.execute("SELECT pg_current_xact_id()::text::int8 % (1::int8 << 32)").fetchone()
        assert row is not None
        world.fill(world.definition("id = 1000"), must_see=frozenset([int(str(row[0]))]))
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            assert list(world.inbox.take()) == []
            time.sleep(0.01)
    world.events()
    assert len(world.messages()) == 2


def test_a_transaction_that_never_becomes_visible_is_not_waited_for_for_ever(
    world: World, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "VISIBILITY_TIMEOUT", 0.05)
    world.fill(world.definition(), must_see=frozenset([1 << 30]))
    event = world.events(SnapshotEnded)[-1]
    assert isinstance(event, SnapshotEnded)
    assert "took too long to start" in event.error.message


# -- what can go wrong -----------------------------------------------------------------------------------


def test_a_table_that_is_gone_sends_the_client_back_to_the_start(
    world: World, connection: Connection
) -> None:
    definition = world.definition()
    connection.execute("DROP TABLE t")
    assert world.failure(definition).status == 409


def test_a_column_that_is_gone_does_so_too(world: World, connection: Connection) -> None:
    definition = world.definition()
    connection.execute("ALTER TABLE t DROP COLUMN v")
    assert world.failure(definition).status == 409


def test_a_thread_goes_on_after_a_failure(world: World, connection: Connection) -> None:
    definition = world.definition()
    connection.execute("ALTER TABLE t RENAME COLUMN v TO w")
    assert world.failure(definition).status == 409
    connection.execute("ALTER TABLE t RENAME COLUMN w TO v")
    world.fill(definition, "again")
    world.events()
    assert len(world.messages("again")) == 101


def test_a_connection_that_broke_while_nobody_used_it_is_made_again(
    world: World, dsn: str, settings: ElectricSettings, inbox: Inbox, connection: Connection
) -> None:
    world.snapshotter = Snapshotter(
        dsn, replace(settings, snapshot_connections=1), inbox, world.markers
    )
    world.fill(world.definition(), "first")
    world.events()
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    world.fill(world.definition(), "again")
    world.events()
    assert len(world.messages("again")) == 101


def test_a_database_that_cannot_be_reached_is_a_503(
    world: World, dsn: str, settings: ElectricSettings, inbox: Inbox
) -> None:
    definition = world.definition()
    world.snapshotter = Snapshotter(
        make_conninfo(dsn, host="/nowhere"), settings, inbox, world.markers
    )
    error = world.failure(definition)
    assert error.message == "Database connection not available"
    assert error.status == 503


@pytest.mark.parametrize(
    "broken",
    [
        OSError("no space left on device"),
        StorageError("broken"),
        ValueError("a mistake"),
        KeyError("another"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_of_any_kind_fails_the_shape_and_not_the_thread(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    def fail(*_: object) -> NoReturn:
        raise broken

    with monkeypatch.context() as patch:
        patch.setattr(module, "copy_statement", fail)
        error = world.failure(world.definition())
    assert error.status == 500
    for n in range(3):
        world.fill(world.definition("id = 1"), f"after-{n}")
    done: list[Event] = []
    while len(done) < 3:
        done += [e for e in world.events() if isinstance(e, SnapshotComplete)]


@pytest.mark.parametrize(
    ("state", "text", "status", "message"),
    [
        ("42P01", "relation does not exist", 409, "relation does not exist"),
        ("42703", "column does not exist", 409, "column does not exist"),
        ("42883", "function does not exist", 409, "function does not exist"),
        ("42501", "permission denied for table t", 503, "Unable to create initial snapshot: permission denied for table t"),
        ("57014", "canceling statement due to user request", 503, "canceling statement due to user request"),
        ("57014", "canceling statement due to statement timeout", 500,
         "Unexpected error while creating snapshot: canceling statement due to statement timeout"),
        ("53300", "too many clients", 503, "too many clients"),
        ("57P01", "terminating connection", 503, "terminating connection"),
        ("08006", "connection failure", 503, "connection failure"),
        ("22012", "division by zero", 500, "Unexpected error while creating snapshot: division by zero"),
        (None, "the connection is lost", 503, "the connection is lost"),
    ],
)  # fmt: skip
def test_an_error_of_postgres_becomes_the_answer_of_the_specification(
    state: str | None, text: str, status: int, message: str
) -> None:
    error = psycopg.errors.lookup(state)(text) if state else psycopg.OperationalError(text)
    failure = failure_of(error)
    assert (failure.status, failure.message) == (status, message)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("22012", 400),  # division by zero
        ("22P02", 400),  # no number
        ("2201B", 400),  # no regular expression
        ("23514", 400),  # not in a domain
        ("0A000", 400),  # no LIKE for this collation
        ("42883", 400),  # no equality for this type
        ("42P22", 400),  # no collation to compare by
        ("54000", 400),  # a text too long
        ("P0001", 400),  # RAISE
        ("42P01", 409),
        ("42703", 409),
        ("42501", 503),
        ("53300", 503),
        ("57014", 503),
        ("XX000", 500),
    ],
)
def test_what_a_condition_makes_of_the_rows_is_its_own_fault(state: str, status: int) -> None:
    error = psycopg.errors.lookup(state)("what Postgres says")
    failure = failure_of(error, has_condition=True)
    assert failure.status == status
    if status == 400:
        assert failure.message == "what Postgres says"


def test_a_condition_that_does_not_fit_any_more_is_not_at_fault(
    world: World, connection: Connection
) -> None:
    """Its clients ask again, and hear then what is wrong with it now."""
    definition = world.definition("v = 'row 7'")
    without = world.definition()
    connection.execute("ALTER TABLE t ALTER v TYPE int USING length(v)")
    assert world.failure(definition).status == 409
    connection.execute("ALTER TABLE t ADD w bool")
    definition = world.definition("id = 1")
    connection.execute("ALTER TABLE t ALTER w TYPE text")
    failure = world.failure(definition)
    assert (failure.status, failure.message) == (
        409, "argument of CASE/WHEN must be type boolean, not type text",
    )  # fmt: skip
    world.fill(without)
    assert isinstance(world.events()[-1], SnapshotComplete)


def test_nor_is_one_in_a_subquery(
    world: World, connection: Connection, settings: ElectricSettings
) -> None:
    connection.execute("CREATE TABLE u (id int PRIMARY KEY, v text)")
    connection.execute("ALTER TABLE u REPLICA IDENTITY FULL")
    connection.execute(f"ALTER PUBLICATION {settings.publication_name} ADD TABLE u")
    definition = reading(connection, "t", "id IN (SELECT id FROM u WHERE v = 'row 7')")
    connection.execute("ALTER TABLE u ALTER v TYPE int USING length(v)")
    assert world.failure(definition).status == 409
    connection.execute("DROP TABLE u")


def test_a_value_too_large_for_any_value_is_the_fault_of_the_condition() -> None:
    error = psycopg.errors.InternalError_("invalid memory alloc request size 1200000004")
    assert failure_of(error, has_condition=True).status == 400
    assert failure_of(error).status == 500


def test_the_end_of_a_snapshot_is_a_message_of_the_specification() -> None:
    end = snapshot_end(PgSnapshot(10, 20, frozenset([14, 12]), 500))
    assert end == (
        b',{"headers":{"control":"snapshot-end","xmin":"10","xmax":"20","xip_list":["12","14"]}}\n'
    )


# -- slow queries ----------------------------------------------------------------------------------------


def test_a_query_whose_first_row_does_not_come_is_cancelled(connection: Connection) -> None:
    watchdog = Watchdog(0.1)
    with (
        pytest.raises(SnapshotFailed, match="took too long to return data"),
        watchdog.watching(connection),
    ):
        connection.execute("SELECT pg_sleep(30)")
    with watchdog.watching(connection):
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_after_the_first_row_a_query_may_take_its_time(connection: Connection) -> None:
    watchdog = Watchdog(0.1)
    with watchdog.watching(connection):
        watchdog.first_row_came(connection)
        connection.execute("SELECT pg_sleep(0.4)")


def test_a_query_that_somebody_else_cancelled_is_no_slow_query(
    connection: Connection, other: Connection
) -> None:
    watchdog = Watchdog(30)
    timer = threading.Timer(
        0.2, lambda: other.execute("SELECT pg_cancel_backend(%s)", [connection.info.backend_pid])
    )
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled), watchdog.watching(connection):
        connection.execute("SELECT pg_sleep(30)")
    timer.join()


def test_the_publication_is_looked_at_before_anything_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(module, "publish_table", lambda *_: calls.append("publish") or None)
    copy = module.copy_statement
    monkeypatch.setattr(module, "copy_statement", lambda *of: calls.append("copy") or copy(*of))
    world.fill(world.definition())
    world.events()
    assert calls == ["publish", "copy"]


def test_threads_that_are_let_go_end_after_what_they_are_doing(world: World) -> None:
    for n in range(4):
        world.fill(world.definition("id = 1"), f"h{n}")
    world.snapshotter.stop()
    complete: list[Event] = []
    while len(complete) < 4:
        complete += [e for e in world.events() if isinstance(e, SnapshotComplete)]
    deadline = time.monotonic() + 10
    while not world.snapshotter._jobs.empty():  # each thread takes the word that it may end
        assert time.monotonic() < deadline
        time.sleep(0.01)

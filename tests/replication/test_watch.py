"""TableWatch: what is seen of tables and partitions beside the stream (PROTOCOL sections 10.3 and 10.7)."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.replication import publication, tables
from django_electric.replication import watch as module
from django_electric.replication.events import (
    Event,
    Inbox,
    LayoutsSeen,
    LeafCounted,
    LeavesSeen,
    PublicationGone,
    TableFault,
    ThreadFailed,
)
from django_electric.replication.markers import Markers
from django_electric.replication.partitions import Link
from django_electric.replication.row_filters import RowFilters
from django_electric.replication.watch import TableWatch
from django_electric.shapes.definition import ShapeDefinition
from tests.replication.database import Connection, definition_of, identities, oid_of
from tests.support.waiting import eventually

ROOT = (
    "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
    "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)"
)
MORE = "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)"


class World:
    """A watch, and what it reports."""

    def __init__(self, dsn: str, settings: ElectricSettings, *tables: int) -> None:
        """*tables*: those that had shapes when a worker last ran."""
        settings.root.mkdir(parents=True, exist_ok=True)
        self.inbox = Inbox()
        self.markers = Markers()
        self.watch = TableWatch(dsn, settings, self.inbox, self.markers, RowFilters(settings))
        self.watch.start(tables)
        self.heard: list[Event] = []
        self.layouts: list[Event] = []

    def next(self, kind: type[Event]) -> Any:
        """The next event, which is of this *kind*."""
        while not self.heard:
            assert select.select([self.inbox], [], [], 10)[0], f"no {kind.__name__}"
            self._hear()
        event = self.heard.pop(0)
        assert isinstance(event, kind), event
        return event

    def leaves(self) -> set[int]:
        return {link.leaf for link in self.next(LeavesSeen).links}

    def rest(self) -> list[Event]:
        """What is reported until everything asked for so far has been done, and a look was taken."""
        self.watch.look_soon()
        eventually(lambda: not self.watch._is_asked.is_set())
        self.watch.stop()
        self._hear()
        heard, self.heard = self.heard, []
        return heard

    def _hear(self) -> None:
        """Layouts apart: they are reported with every look."""
        for event in self.inbox.take():
            (self.layouts if isinstance(event, LayoutsSeen) else self.heard).append(event)

    def close(self) -> None:
        self.watch.stop()
        self.inbox.close()


@pytest.fixture
def make_world(dsn: str, settings: ElectricSettings) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(*tables: int, **options: Any) -> World:
        made.append(World(dsn, replace(settings, poll_interval=20, **options), *tables))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def root(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> ShapeDefinition:
    """``t`` with one partition ``t1``, published."""
    definition = make_table(ROOT)
    publication.ensure_publication(connection, settings)
    tables.publish_table(connection, settings, definition)
    return definition


# -- leaves ----------------------------------------------------------------------------------------------


def test_the_leaves_of_a_root_are_reported_when_they_are_others_than_before(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    world = make_world()
    world.watch.begin(root)
    first = oid_of(connection, "t1")
    assert world.leaves() == {first}
    connection.execute(MORE)
    second = oid_of(connection, "t2")
    assert world.leaves() == {first, second}
    connection.execute("ALTER TABLE t DETACH PARTITION t1")
    assert world.leaves() == {second}
    connection.execute("DROP TABLE t2, t1")
    assert world.leaves() == set()


def test_who_begins_and_who_asks_hears_of_them_even_if_they_are_the_same(
    make_world: Callable[..., World], root: ShapeDefinition
) -> None:
    world = make_world()
    world.watch.begin(root)
    first = world.leaves()
    world.watch.look_soon()
    assert world.leaves() == first
    world.watch.begin(root)
    assert world.leaves() == first


def test_a_table_without_shapes_is_not_looked_at(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    world = make_world()
    world.watch.begin(root)
    world.leaves()
    world.watch.end(root.relation_oid)
    eventually(lambda: not world.watch._tables)
    connection.execute(MORE)
    assert world.rest() == []
    assert identities(connection, "t2") == ["d"]


def test_a_new_leaf_gets_whole_old_rows(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    world = make_world()
    world.watch.begin(root)
    connection.execute(MORE)
    eventually(lambda: identities(connection, "t2") == ["f"])


def test_a_leaf_that_is_locked_is_tried_again(
    make_world: Callable[..., World],
    root: ShapeDefinition,
    connection: Connection,
    other: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its other users wait no longer than a moment."""
    monkeypatch.setattr(tables, "PATIENCE_MS", 10)
    connection.execute(MORE)
    world = make_world()
    with other.transaction():
        other.execute("INSERT INTO t2 VALUES (11)")
        world.watch.begin(root)
        assert len(world.leaves()) == 2
        connection.execute("INSERT INTO t2 VALUES (12)")
        assert identities(connection, "t2") == ["d"]
    eventually(lambda: identities(connection, "t2") == ["f"])


def test_in_manual_mode_no_leaf_is_altered(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    world = make_world(manual_table_publishing=True)
    connection.execute(MORE)
    world.watch.begin(root)
    assert len(world.leaves()) == 2
    world.rest()
    assert identities(connection, "t2") == ["d"]


# -- counting --------------------------------------------------------------------------------------------


def test_a_count_is_reported_when_the_stream_has_passed_it(
    make_world: Callable[..., World],
    root: ShapeDefinition,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.execute("INSERT INTO t VALUES (1), (2), (3)")
    world, tokens = make_world(), []
    send = module.send_marker
    monkeypatch.setattr(module, "send_marker", lambda c: tokens.append(send(c)) or tokens[-1])
    link = Link(oid_of(connection, "t1"), "7")
    world.watch.count(root.relation_oid, link)
    eventually(lambda: tokens)
    assert list(world.inbox.take()) == []
    world.markers.passed(tokens[0])
    event = world.next(LeafCounted)
    assert (event.root, event.link, event.count.rows) == (root.relation_oid, link, 3)
    assert world.markers._waiting == {}


def test_what_cannot_be_counted_is_reported_as_such(
    make_world: Callable[..., World],
    root: ShapeDefinition,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Markers, "expect", lambda *_: _Passed())
    world = make_world()
    gone = Link(oid_of(connection, "t1"), "7")
    connection.execute("DROP TABLE t1")
    world.watch.count(root.relation_oid, gone)
    assert world.next(LeafCounted).count is None

    def refused(*_: object) -> None:
        raise psycopg.errors.InsufficientPrivilege

    monkeypatch.setattr(module, "count_rows", refused)
    world.watch.count(root.relation_oid, gone)
    assert world.next(LeafCounted).count is None


class _Passed:
    def is_set(self) -> bool:
        return True


# -- tables ----------------------------------------------------------------------------------------------


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tables are looked at with every look."""
    monkeypatch.setattr(module, "TABLES_SECONDS", 0.0)


@pytest.fixture
def plain(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> ShapeDefinition:
    """An ordinary table ``t``, published."""
    definition = make_table()
    publication.ensure_publication(connection, settings)
    tables.publish_table(connection, settings, definition)
    return definition


FAULTS = {
    "dropped": ("DROP TABLE t", "its table was dropped"),
    "renamed": ("ALTER TABLE t RENAME TO u", "its table was renamed"),
    "moved": (
        "CREATE SCHEMA away; ALTER TABLE t SET SCHEMA away; DROP SCHEMA away CASCADE",
        "its table was dropped",
    ),
    "not streamed": (
        "ALTER PUBLICATION {p} DROP TABLE t",
        "its table is not in the publication any more",
    ),
    "streamed in part": (
        "ALTER PUBLICATION {p} SET (publish = 'insert, delete')",
        "its publication leaves out some operations",
    ),
}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_cannot_be_followed_any_more_is_reported(
    make_world: Callable[..., World],
    plain: ShapeDefinition,
    settings: ElectricSettings,
    connection: Connection,
    fault: str,
) -> None:
    statement, reason = FAULTS[fault]
    world = make_world()
    connection.execute(statement.format(p=settings.publication_name))
    world.watch.begin(plain)
    assert world.next(TableFault) == TableFault(plain.relation_oid, reason)


@pytest.mark.usefixtures("often")
def test_a_publication_that_is_gone_is_reported(
    make_world: Callable[..., World],
    plain: ShapeDefinition,
    settings: ElectricSettings,
    connection: Connection,
) -> None:
    world = make_world()
    connection.execute(f"DROP PUBLICATION {settings.publication_name}")
    world.watch.begin(plain)
    assert world.next(PublicationGone)


def test_it_is_looked_for_at_once_when_something_is_wrong(make_world: Callable[..., World]) -> None:
    """Even if no table has a shape any more."""
    world = make_world()
    world.watch.check_soon()
    assert world.next(PublicationGone)


@pytest.mark.usefixtures("often")
def test_a_table_that_can_be_followed_is_not(
    make_world: Callable[..., World], plain: ShapeDefinition
) -> None:
    world = make_world()
    world.watch.begin(plain)
    assert world.rest() == []


@pytest.mark.usefixtures("often")
def test_a_table_that_was_out_of_the_publication_for_a_while_is_a_fault_even_after_a_pause(
    make_world: Callable[..., World],
    plain: ShapeDefinition,
    settings: ElectricSettings,
    connection: Connection,
) -> None:
    """What was written in between is not in the stream."""
    oid, name = plain.relation_oid, settings.publication_name
    first = make_world()
    first.watch.begin(plain)
    assert first.rest() == []
    connection.execute(f"ALTER PUBLICATION {name} DROP TABLE t; ALTER PUBLICATION {name} ADD TABLE t")  # type: ignore[arg-type]  # fmt: skip
    second = make_world(oid)
    second.watch.begin(plain)
    reason = "its table was taken out of the publication and put in again"
    assert second.next(TableFault) == TableFault(oid, reason)
    assert second.rest() == []
    # A worker under which the table had no shapes has nothing to compare with.
    connection.execute(f"ALTER PUBLICATION {name} DROP TABLE t; ALTER PUBLICATION {name} ADD TABLE t")  # type: ignore[arg-type]  # fmt: skip
    third = make_world()
    third.watch.begin(plain)
    assert third.rest() == []


@pytest.mark.usefixtures("often")
def test_a_row_filter_that_comes_or_goes_is_no_absence(
    make_world: Callable[..., World],
    plain: ShapeDefinition,
    settings: ElectricSettings,
    connection: Connection,
) -> None:
    """In one transaction, as the worker does it."""
    if connection.info.server_version < 150000:
        pytest.skip("needs PostgreSQL 15")
    name = settings.publication_name
    for where in "", " WHERE (id > 0)", "":
        connection.execute(f"ALTER PUBLICATION {name} DROP TABLE t; ALTER PUBLICATION {name} ADD TABLE t{where}")  # type: ignore[arg-type]  # fmt: skip
        # The first look of each goes on where the last one of the one before ended.
        world = make_world(plain.relation_oid)
        world.watch.begin(plain)
        assert world.rest() == []


@pytest.mark.usefixtures("often")
def test_whole_old_rows_are_restored(
    make_world: Callable[..., World], plain: ShapeDefinition, connection: Connection
) -> None:
    world = make_world()
    world.watch.begin(plain)
    connection.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    eventually(lambda: identities(connection, "t") == ["f"])
    assert world.rest() == []


@pytest.mark.usefixtures("often")
def test_whole_old_rows_that_may_not_be_restored_are_a_fault(
    make_world: Callable[..., World], plain: ShapeDefinition, connection: Connection
) -> None:
    world = make_world(manual_table_publishing=True)
    connection.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    world.watch.begin(plain)
    assert world.next(TableFault).reason == "its table has lost REPLICA IDENTITY FULL"


@pytest.mark.usefixtures("often")
def test_a_role_that_may_not_restore_them_is_not_asked_twice(
    make_world: Callable[..., World],
    plain: ShapeDefinition,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def refused(_: Connection, oid: int, __: int) -> None:
        asked.append(oid)
        raise psycopg.errors.InsufficientPrivilege

    monkeypatch.setattr(tables, "set_full_identity", refused)
    connection.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    world = make_world()
    world.watch.begin(plain)
    for _ in range(3):
        assert world.next(TableFault).oid == plain.relation_oid
    assert asked == [plain.relation_oid]


@pytest.mark.usefixtures("often")
def test_how_tables_are_laid_out_is_reported(
    make_world: Callable[..., World], plain: ShapeDefinition, connection: Connection
) -> None:
    """As a definition knows it: what it was made with is what is seen."""
    connection.execute("ALTER TABLE t ADD COLUMN c varchar(7) COLLATE \"C\", ADD COLUMN g int GENERATED ALWAYS AS (id) VIRTUAL" if connection.info.server_version >= 180000 else 'ALTER TABLE t ADD COLUMN c varchar(7) COLLATE "C"')  # fmt: skip
    world, definition = make_world(), definition_of(connection, "t")
    world.watch.begin(definition)
    world.rest()
    (layout,) = world.layouts[-1].layouts  # type: ignore[union-attr]  # it is one of these
    assert (layout.oid, layout.schema, layout.name) == (plain.relation_oid, "public", "t")
    assert layout.primary_key == definition.primary_key == ("id",)
    assert [tuple(c) for c in layout.columns] == [
        (c.name, c.type_oid, c.type_modifier, c.sql_type) for c in definition.relation_columns
    ]
    assert [c.name for c in layout.columns] == ["id", "v", "c"]


# -- the thread ------------------------------------------------------------------------------------------


def test_a_connection_that_broke_is_made_again(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    world = make_world()
    world.watch.begin(root)
    world.leaves()
    eventually(lambda: world.watch._connection is not None)
    assert world.watch._connection is not None
    pid = world.watch._connection.info.backend_pid
    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    connection.execute(MORE)
    assert len(world.leaves()) == 2


def test_a_mistake_of_ours_ends_the_worker(
    make_world: Callable[..., World], root: ShapeDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ZeroDivisionError()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "links_of", fail)
    world = make_world()
    world.watch.begin(root)
    assert world.next(ThreadFailed) == ThreadFailed(error)


def test_two_roots_are_looked_at_together(
    make_world: Callable[..., World], root: ShapeDefinition, connection: Connection
) -> None:
    connection.execute("CREATE TABLE u (id int) PARTITION BY LIST (id)")
    world = make_world()
    world.watch.begin(root)
    world.watch.begin(definition_of(connection, "u"))
    seen = {}
    while len(seen) < 2:
        event = world.next(LeavesSeen)
        seen[event.root] = {link.leaf for link in event.links}
    assert seen == {
        root.relation_oid: {oid_of(connection, "t1")},
        oid_of(connection, "u"): set(),
    }

"""Row filters in the publication: set late, taken off in time, and never made without a shape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest
from psycopg.types.json import Jsonb

from django_electric.catalogue import find_relation
from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.pgoutput import Delete, Insert, Update, decode
from django_electric.replication import publication, row_filters, tables
from django_electric.replication.row_filters import RowFilters
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import parse_where
from tests.replication.database import Connection, oid_of, one, reading
from tests.support.waiting import eventually

TABLE = "CREATE TABLE t (id int PRIMARY KEY, n int, v text)"
CATALOGUE = Shape._meta.db_table


@pytest.fixture(autouse=True)
def _new_enough(connection: Connection) -> None:
    if connection.info.server_version < 150000:
        pytest.skip("row filters came with PostgreSQL 15")


class World:
    """A table, a publication, a catalogue, and what a worker knows of filters."""

    def __init__(self, connection: Connection, settings: ElectricSettings, table: str) -> None:
        self.connection, self.settings = connection, settings
        connection.execute(DISPLAY_SETTINGS)
        self.filters = RowFilters(settings)
        connection.execute(
            f'CREATE TABLE {CATALOGUE} (stream_id text, relation_oid int8, "where" text, definition jsonb)'  # type: ignore[call-overload]
        )
        connection.execute(table)  # type: ignore[call-overload]
        publication.ensure_publication(connection, settings)

    def shape(self, clause: str = "", table: str = "t") -> ShapeDefinition:
        relation = find_relation(self.connection.cursor(), "public", table)
        assert relation is not None
        where = (
            parse_where(clause, {c.name: c.evaluator_type for c in relation.columns})
            if clause
            else None
        )
        return ShapeDefinition.build(relation, where=where)

    def register(self, clause: str = "", table: str = "t") -> ShapeDefinition:
        return self.keep(self.shape(clause, table))

    def keep(self, definition: ShapeDefinition) -> ShapeDefinition:
        """In the catalogue."""
        self.connection.execute(
            f"INSERT INTO {CATALOGUE} VALUES (%s, %s, %s, %s)",  # type: ignore[arg-type]
            [
                self.settings.replication_stream_id,
                definition.relation_oid,
                definition.where or "",
                Jsonb(definition.to_json()),
            ],
        )
        return definition

    def publish(
        self, definition: ShapeDefinition, connection: Connection | None = None
    ) -> bytes | None:
        return tables.publish_table(
            connection or self.connection, self.settings, definition, self.filters.admits
        )

    def start(self, *clauses: str) -> None:
        for clause in clauses:
            self.publish(self.register(clause))

    def look(self, looks: int = 2, table: str = "t") -> str:
        """What is let through after so many looks."""
        oid = oid_of(self.connection, table)
        for _ in range(looks):
            self.filters.look(self.connection, oid, self.printed(oid))
        return self.printed(oid)

    def printed(self, oid: int) -> str:
        return tables.table_states(self.connection, self.settings, [oid])[oid].row_filter

    def gone(self, clause: str) -> None:
        self.connection.execute(
            f'DELETE FROM {CATALOGUE} WHERE "where" = %s', [self.shape(clause).where]
        )  # type: ignore[arg-type]


@pytest.fixture
def make_world(
    connection: Connection, settings: ElectricSettings
) -> Iterator[Callable[..., World]]:
    def make(table: str = TABLE, **options: Any) -> World:
        return World(connection, replace(settings, publication_row_filter="auto", **options), table)

    yield make
    connection.execute(f"DROP TABLE IF EXISTS {CATALOGUE}, t, u CASCADE")  # type: ignore[call-overload]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


# -- set -------------------------------------------------------------------------------------------------


def test_what_is_wanted_twice_is_set_and_lets_through_what_any_shape_wants(world: World) -> None:
    world.start("n = 1", "v LIKE 'a%'")
    assert world.look(1) == ""
    assert world.look(1) == "((n = 1) OR (v ~~ 'a%'::text))"
    assert world.look() == "((n = 1) OR (v ~~ 'a%'::text))"


def test_it_becomes_narrower_when_a_shape_has_gone(world: World) -> None:
    world.start("n = 1", "n = 2")
    assert world.look() == "((n = 1) OR (n = 2))"
    world.gone("n = 2")
    assert world.look(1) == "((n = 1) OR (n = 2))"
    assert world.look(1) == "(n = 1)"


def test_what_changes_between_two_looks_is_not_set(world: World) -> None:
    world.start("n = 1")
    world.look(1)
    world.start("n = 2")
    assert world.look(1) == ""
    assert world.look(1) == "((n = 1) OR (n = 2))"


@pytest.mark.parametrize("clause", ["", "n + 1 = 2", "10 / n = 1"])
def test_one_shape_that_is_not_plain_is_enough_for_none(world: World, clause: str) -> None:
    world.start("n = 1", clause)
    assert world.look() == ""


@pytest.mark.parametrize("clause", ["id IN (SELECT id FROM t WHERE n = 1)", "id NOT IN (SELECT id FROM u WHERE n IN (SELECT n FROM t))"])  # fmt: skip
def test_a_table_that_a_subquery_reads_is_not_filtered(world: World, clause: str) -> None:
    world.connection.execute("CREATE TABLE u (id int PRIMARY KEY, n int)")
    world.start("n = 1")
    world.keep(reading(world.connection, "u", clause))
    assert world.look() == ""


def test_the_table_of_a_shape_with_subqueries_is_not_filtered(world: World) -> None:
    world.start("n = 1")
    world.keep(reading(world.connection, "t", "n IN (SELECT id FROM t)"))
    assert world.look() == ""


def test_a_subquery_takes_off_a_filter_that_does_not_know_it(world: World) -> None:
    world.connection.execute("CREATE TABLE u (id int PRIMARY KEY)")
    world.start("n = 1", "n = 2")
    world.look()
    definition = world.keep(
        reading(world.connection, "u", "id IN (SELECT id FROM t WHERE n IN (2, 3))")
    )
    assert [world.publish(one) is None for one in definition.walk()] == [False, False]
    assert world.look() == ""


def test_shapes_of_other_streams_do_not_count(world: World) -> None:
    world.start("n = 1")
    world.register("n = 2")
    world.connection.execute(
        f"UPDATE {CATALOGUE} SET stream_id = 'other' WHERE \"where\" LIKE '%2'"
    )  # type: ignore[call-overload]
    assert world.look() == "(n = 1)"


def test_too_many_shapes_are_not_filtered_though_their_conditions_are_few(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start("n = 1")
    monkeypatch.setattr(row_filters, "MOST_SHAPES", 3)
    for _ in range(2):
        world.register("n = 1")
    assert world.look() == "(n = 1)"
    world.register("n = 1")
    world.gone("n = 2")
    assert row_filters.RowFilters(world.settings)._wheres(
        world.connection, oid_of(world.connection, "t")
    ) == [None]


UNFIT = {
    "partitioned": "CREATE TABLE t (id int, n int) PARTITION BY RANGE (id); CREATE TABLE u PARTITION OF t DEFAULT",
    "inherited": f"{TABLE}; CREATE TABLE u () INHERITS (t)",
    "generated": "CREATE TABLE t (id int PRIMARY KEY, n int, m int GENERATED ALWAYS AS (n + 1) STORED)",
}


@pytest.mark.parametrize("kind", UNFIT)
def test_special_tables_are_not_filtered(make_world: Callable[..., World], kind: str) -> None:
    world = make_world(UNFIT[kind])
    world.start("n = 1")
    assert world.look() == ""


def test_a_partition_is_not_filtered(make_world: Callable[..., World]) -> None:
    world = make_world(UNFIT["partitioned"])
    world.publish(world.register("n = 1", "u"))
    assert world.look(table="u") == ""


def test_what_postgres_does_not_take_is_not_tried_again(make_world: Callable[..., World]) -> None:
    world = make_world("CREATE DOMAIN d AS int; CREATE TABLE t (id int PRIMARY KEY, n d)")
    world.start("n = 1")
    assert world.look() == ""
    assert world.filters._refused
    world.connection.execute("DROP TABLE t; DROP DOMAIN d")


def test_a_table_that_is_locked_is_tried_again(
    world: World, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PATIENCE_MS", 10)
    world.start("n = 1")
    with other.transaction():
        other.execute("INSERT INTO t VALUES (1)")
        assert world.look() == ""
    assert world.look() == "(n = 1)"


# -- taken off -------------------------------------------------------------------------------------------


def test_a_shape_that_the_filter_knows_leaves_it_and_another_takes_it_off(world: World) -> None:
    world.start("n = 1")
    world.look()
    assert world.publish(world.register("n = 1")) is None
    assert world.look(0) == "(n = 1)"
    assert world.publish(world.register("n = 2")) is not None
    assert world.look(0) == ""
    assert world.publish(world.register("n = 3")) is None
    assert world.look() == "((n = 1) OR (n = 2) OR (n = 3))"


def test_a_filter_of_another_worker_is_taken_off(world: World) -> None:
    world.start("n = 1")
    world.look()
    world.filters = RowFilters(world.settings)
    assert world.publish(world.shape("n = 1")) is not None
    assert world.look(0) == ""


def test_a_filter_that_somebody_changed_is_taken_off(world: World) -> None:
    world.start("n = 1")
    world.look()
    tables.let_through(world.connection, world.settings, "t", "n = 1 AND id > 5")
    assert world.publish(world.shape("n = 1")) is not None


def test_it_is_taken_off_where_filters_are_off_but_not_where_people_publish_by_hand(
    world: World,
) -> None:
    world.start("n = 1")
    world.look()
    manual = replace(world.settings, manual_table_publishing=True)
    assert tables.publish_table(world.connection, manual, world.shape("n = 2")) is None
    off = replace(world.settings, publication_row_filter="off")
    assert tables.publish_table(world.connection, off, world.shape("n = 1")) is not None
    assert world.look(0) == ""


def test_a_filter_below_a_root_is_taken_off(make_world: Callable[..., World]) -> None:
    world = make_world(TABLE)
    world.start("n = 1")
    world.look()
    world.connection.execute("CREATE TABLE u (LIKE t) PARTITION BY LIST (n)")
    world.connection.execute("ALTER TABLE u ATTACH PARTITION t DEFAULT")
    assert world.publish(world.register(table="u")) is not None
    assert world.look(0) == ""


def test_one_on_a_table_that_became_a_partition_can_be_taken_off_alone(world: World) -> None:
    world.start("n = 1")
    world.look()
    oid = oid_of(world.connection, "t")
    assert tables.unfilter(world.connection, world.settings, oid)
    assert world.look(0) == ""
    assert not tables.unfilter(world.connection, world.settings, oid)


# -- at once ---------------------------------------------------------------------------------------------


def test_a_shape_that_comes_while_a_filter_is_set_waits_and_takes_it_off(
    dsn: str, world: World, other: Connection
) -> None:
    """Without the lock it would see no filter, and the filter would know nothing of it."""
    world.start("n = 1")
    world.look(1)
    oid, tokens = oid_of(world.connection, "t"), cast("list[bytes | None]", [])
    with psycopg.connect(dsn, autocommit=True) as publishing:
        thread = threading.Thread(
            target=lambda: tokens.append(world.publish(world.shape("n = 2"), publishing))
        )
        with other.transaction():
            world.filters._set_filter(other, oid, '("n" = 1)')
            world.register("n = 2")
            thread.start()
            blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            eventually(lambda: one(world.connection, blocked, publishing.info.backend_pid))
        thread.join(10)
    assert tokens[0] is not None
    assert world.look(0) == ""


def test_a_shape_that_came_before_the_locks_were_had_is_not_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start("n = 1")
    world.look(1)
    lock = tables.lock_table

    def late(*arguments: Any) -> None:
        lock(*arguments)
        world.register("n = 2")

    monkeypatch.setattr(tables, "lock_table", late)
    assert world.look(1) == ""
    monkeypatch.undo()
    assert world.look() == "((n = 1) OR (n = 2))"


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_whatever_the_isolation_of_the_database_is(world: World, isolation: str) -> None:
    """What is read under the lock must be what is there then."""
    world.connection.execute(f"SET default_transaction_isolation = '{isolation}'")  # type: ignore[call-overload]
    world.start("n = 1")
    seen: list[str] = []
    with world.connection.transaction():
        tables.lock_publishing(world.connection, world.settings, 1, 100)
        seen += one(world.connection, "SHOW transaction_isolation").split(",")
    assert seen == ["read committed"]
    assert world.look() == "(n = 1)"


# -- the stream ------------------------------------------------------------------------------------------


def test_updates_across_the_filter_arrive_as_inserts_and_deletes(world: World) -> None:
    """And values too large for their row are whole in them."""
    connection = world.connection
    connection.execute("SET synchronous_commit = on")
    world.start("n = 1")
    connection.execute(
        "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [world.settings.slot_name]
    )
    large = "SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i"
    connection.execute(f"INSERT INTO t SELECT 1, 2, ({large})")  # type: ignore[call-overload]
    world.look()
    for n in (1, 1, 2, 3):
        connection.execute(f"UPDATE t SET n = {n}")  # type: ignore[call-overload]
    connection.execute("DELETE FROM t")
    connection.execute("INSERT INTO t VALUES (2, 2), (3, 1), (4, NULL)")
    rows = connection.execute(
        "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1',"
        " 'publication_names', %s, 'messages', 'true')",
        [world.settings.slot_name, world.settings.publication_name],
    )
    changes = [
        message
        for message in (decode(bytes(cast(bytes, row[0]))) for row in rows)
        if isinstance(message, Insert | Update | Delete)
    ]
    connection.execute("SELECT pg_drop_replication_slot(%s)", [world.settings.slot_name])
    assert [type(change) for change in changes] == [Insert, Insert, Update, Delete, Insert]
    _, into, _, away, last = changes
    assert isinstance(into, Insert)
    assert isinstance(away, Delete)
    assert isinstance(last, Insert)
    assert len(into.new[2] or "") == len((away.old or ("", "", ""))[2] or "") == 9600
    assert last.new[:2] == ("3", "1")

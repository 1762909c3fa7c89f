"""The statements of migrations that publish a table, and those that take it back, against Postgres."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.postgres import publishing
from django_electric.replication import tables
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.layouts import SCHEMA_PREFIX
from tests.replication.database import Connection, identities, one, published

Make = Callable[..., ShapeDefinition]


def publish(connection: Connection, settings: ElectricSettings, table: str = '"t"') -> None:
    connection.execute(publishing.publish(settings.publication_name, table))  # type: ignore[arg-type]


def unpublish(connection: Connection, settings: ElectricSettings) -> None:
    connection.execute(publishing.unpublish(settings.publication_name, '"t"', SCHEMA_PREFIX))  # type: ignore[arg-type]


def test_a_table_is_published_with_whole_old_rows_and_the_worker_has_nothing_left_to_do(
    connection: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    definition = make_table()
    publish(connection, settings)
    assert (published(connection, settings), identities(connection, "t")) == ({"t"}, ["f"])
    assert tables.publish_table(connection, settings, definition) is None


def test_a_publication_that_is_missing_is_made_with_generated_columns(
    connection: Connection, settings: ElectricSettings
) -> None:
    for _ in range(2):
        connection.execute(publishing.create_publication(settings.publication_name))  # type: ignore[arg-type]
    if connection.info.server_version >= 180000:
        query = "SELECT pubgencols FROM pg_publication WHERE pubname = %s"
        assert one(connection, query, settings.publication_name) in ("s", b"s")


def test_what_is_published_already_is_not_locked(
    connection: Connection, other: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    make_table()
    publish(connection, settings)
    with other.transaction():
        other.execute("LOCK TABLE t IN EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = 200")
        publish(connection, settings)
        connection.execute("RESET lock_timeout")


def test_a_table_is_published_when_all_who_wrote_before_have_ended(
    connection: Connection, other: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    """Otherwise their rows would neither be seen by a snapshot nor be in the stream."""
    make_table("CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL")
    connection.execute("SET lock_timeout = 50")
    with other.transaction():
        other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            publish(connection, settings)
    publish(connection, settings)
    connection.execute("RESET lock_timeout")
    assert published(connection, settings) == {"t"}


def test_partitions_get_whole_old_rows_and_give_them_back(
    connection: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE t11 PARTITION OF t1 DEFAULT"
    )
    publish(connection, settings)
    assert identities(connection, "t", "t1", "t11") == ["f", "f", "f"]
    publish(connection, settings, '"t11"')
    assert one(connection, "SELECT count(*) FROM pg_publication_rel WHERE prrelid = 't11'::regclass") == 0  # fmt: skip
    unpublish(connection, settings)
    assert identities(connection, "t", "t1", "t11") == ["d", "d", "d"]
    assert published(connection, settings) == set()


def test_a_table_that_is_not_published_can_be_taken_back_all_the_same(
    connection: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    make_table()
    unpublish(connection, settings)
    publish(connection, settings)
    unpublish(connection, settings)
    unpublish(connection, settings)
    assert (published(connection, settings), identities(connection, "t")) == (set(), ["d"])


def test_whole_old_rows_stay_while_another_publication_has_the_table(
    connection: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    make_table()
    connection.execute("CREATE PUBLICATION another FOR TABLE t")
    publish(connection, settings)
    unpublish(connection, settings)
    assert identities(connection, "t") == ["f"]
    connection.execute("DROP PUBLICATION another")


def test_a_publication_of_all_tables_is_left_as_it_is(
    connection: Connection, settings: ElectricSettings, make_table: Make
) -> None:
    make_table()
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR ALL TABLES")  # type: ignore[arg-type]
    publish(connection, settings)
    assert identities(connection, "t") == ["f"]


def test_names_are_only_names(connection: Connection, settings: ElectricSettings) -> None:
    """Whatever a table is called."""
    connection.execute("""CREATE TABLE "it's $electric$ a ""table""%s" (id int)""")  # type: ignore[arg-type]
    publish(connection, settings, """"it's $electric$ a ""table""%s\"""")
    assert published(connection, settings) == {"""it's $electric$ a "table"%s"""}
    connection.execute("""DROP TABLE "it's $electric$ a ""table""%s\"""")  # type: ignore[arg-type]

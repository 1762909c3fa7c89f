"""Event triggers: whoever changes a table, its new layout is in the stream, with the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.postgres import event_triggers
from django_electric.postgres.pgoutput import LogicalMessage, decode
from django_electric.shapes.layouts import SCHEMA_PREFIX, SchemaChange, parse_schema_change
from tests.replication.database import Connection, oid_of, one

Told = Callable[[], list[SchemaChange]]


@pytest.fixture
def told(connection: Connection, settings: ElectricSettings) -> Iterator[Told]:
    """``told()``: what has been told since the last call. The triggers are installed."""
    slot = settings.slot_name
    # A slot brings what is written.
    connection.execute("SET synchronous_commit = on")
    connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    connection.execute(f"CREATE PUBLICATION {settings.publication_name}")  # type: ignore[arg-type]  # our own
    connection.execute(event_triggers.install(SCHEMA_PREFIX))  # type: ignore[arg-type]  # our own

    def take() -> list[SchemaChange]:
        rows = connection.execute(
            "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL,"
            " 'proto_version', '1', 'publication_names', %s, 'messages', 'true')",
            [slot, settings.publication_name],
        )
        messages = [decode(bytes(data)) for (data,) in rows]  # type: ignore[arg-type]  # bytea
        return [
            parse_schema_change(m.content)
            for m in messages
            if isinstance(m, LogicalMessage) and m.prefix == SCHEMA_PREFIX
        ]

    yield take
    connection.execute(event_triggers.remove())  # type: ignore[arg-type]  # our own
    connection.execute("DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS away, far CASCADE")


def test_what_is_done_to_a_table_is_told_with_its_layout(
    connection: Connection, told: Told
) -> None:
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    told()
    connection.execute("ALTER TABLE t ADD COLUMN w bigint, DROP COLUMN v")
    ((table,), dropped, unpublished) = told()[-1]
    assert (table.oid, table.schema, table.name) == (oid_of(connection, "t"), "public", "t")
    assert [(c.name, c.sql_type) for c in table.columns] == [("id", "integer"), ("w", "bigint")]
    assert (table.primary_key, dropped, unpublished) == (("id",), (), ())
    connection.execute("ALTER TABLE t RENAME TO u")
    assert [table.name for table in told()[-1].tables] == ["u"]
    connection.execute("ALTER TABLE u RENAME TO t")


def test_a_table_that_is_made_or_dropped_is_told_whatever_takes_it_along(
    connection: Connection, told: Told
) -> None:
    connection.execute("CREATE SCHEMA away; CREATE TABLE away.t AS SELECT 1 AS id")
    oid = oid_of(connection, "away.t")
    assert [table.oid for change in told() for table in change.tables] == [oid]
    connection.execute("ALTER SCHEMA away RENAME TO far")
    assert [table.schema for change in told() for table in change.tables] == ["far"]
    connection.execute("DROP SCHEMA far CASCADE")
    assert [change.dropped for change in told()] == [(oid,)]


def test_what_is_rolled_back_or_temporary_or_no_table_is_not_told(
    connection: Connection, told: Told
) -> None:
    connection.execute("CREATE TABLE t (id int)")
    told()
    with connection.transaction(force_rollback=True):
        connection.execute("ALTER TABLE t ADD COLUMN more int")
    connection.execute("CREATE INDEX ON t (id); CREATE VIEW w AS SELECT 1; DROP VIEW w")
    connection.execute("CREATE TEMP TABLE passing (id int)")
    told()
    connection.execute("DROP TABLE passing")
    assert told() == []


def test_a_statement_never_fails_by_them(connection: Connection, told: Told) -> None:
    """Here for want of the right to send messages."""
    connection.execute("DROP ROLE IF EXISTS owner_of_t; CREATE ROLE owner_of_t")
    connection.execute("GRANT CREATE ON SCHEMA public TO owner_of_t")
    emit = "pg_logical_emit_message(boolean, text, bytea{})".format(
        ", boolean" if connection.info.server_version >= 170000 else ""
    )
    connection.execute(f"REVOKE EXECUTE ON FUNCTION {emit} FROM PUBLIC")  # type: ignore[arg-type]
    try:
        connection.execute("SET ROLE owner_of_t; CREATE TABLE t (id int); DROP TABLE t")
        connection.execute("RESET ROLE")
        assert told() == []
    finally:
        connection.execute("RESET ROLE")
        connection.execute(f"GRANT EXECUTE ON FUNCTION {emit} TO PUBLIC")  # type: ignore[arg-type]
        connection.execute("DROP OWNED BY owner_of_t; DROP ROLE owner_of_t")


def test_they_can_be_made_twice_and_dropped_twice(connection: Connection, told: Told) -> None:
    connection.execute(event_triggers.install(SCHEMA_PREFIX))  # type: ignore[arg-type]  # our own
    count = "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'django_electric%%'"
    assert one(connection, count) == 2
    for _ in range(2):
        connection.execute(event_triggers.remove())  # type: ignore[arg-type]  # our own
    assert one(connection, count) == 0


def test_who_is_no_superuser_is_refused(stranger: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute(event_triggers.install(SCHEMA_PREFIX))  # type: ignore[arg-type]  # our own

"""Tables made ready to be streamed: PROTOCOL sections 7.5 and 10.3."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.errors import SnapshotFailed
from django_electric.postgres.pgoutput import Begin, Insert, LogicalMessage, decode
from django_electric.replication import publication, tables
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.transactions import MESSAGE_PREFIX
from tests.replication.database import Connection, definition_of, identities, one, published


def test_a_table_is_published_with_whole_old_rows_and_the_second_time_there_is_nothing_to_do(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    token = tables.publish_table(connection, settings, definition)
    assert token is not None
    assert len(token) == 16
    assert published(connection, settings) == {"t"}
    assert identities(connection, "t") == ["f"]
    assert tables.publish_table(connection, settings, definition) is None


def test_what_is_missing_is_added_and_nothing_else(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert tables.publish_table(connection, settings, definition) is not None
    connection.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    assert tables.publish_table(connection, settings, definition) is not None
    assert (published(connection, settings), identities(connection, "t")) == ({"t"}, ["f"])


def test_every_partition_gets_whole_old_rows_however_deep(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE t11 PARTITION OF t1 FOR VALUES FROM (0) TO (5);"
        "CREATE TABLE t2 PARTITION OF t DEFAULT"
    )
    publication.ensure_publication(connection, settings)
    assert tables.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t", "t1", "t11", "t2") == ["f"] * 4
    assert tables.publish_table(connection, settings, definition) is None
    connection.execute("CREATE TABLE t12 PARTITION OF t1 FOR VALUES FROM (5) TO (10)")
    assert tables.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t12") == ["f"]


def test_a_partition_is_published_by_its_root(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT"
    )
    publication.ensure_publication(connection, settings)
    tables.publish_table(connection, settings, definition)
    leaf = definition_of(connection, "t1")
    assert tables.publish_table(connection, settings, leaf) is None


def test_a_publication_of_all_tables_needs_nothing_but_whole_old_rows(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR ALL TABLES")
    assert tables.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t") == ["f"]
    assert tables.publish_table(connection, settings, definition) is None


# -- what can go wrong -----------------------------------------------------------------------------------


def test_a_table_that_is_gone_sends_the_client_back_to_the_start(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    connection.execute("DROP TABLE t")
    with pytest.raises(SnapshotFailed, match="no longer exists") as error:
        tables.publish_table(connection, settings, definition)
    assert error.value.status == 409


def test_a_table_that_goes_while_it_is_published_does_so_too(
    connection: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    states = tables.table_states(connection, settings, [definition.relation_oid])
    monkeypatch.setattr(tables, "table_states", lambda *_: states)
    connection.execute("DROP TABLE t")
    with pytest.raises(SnapshotFailed) as error:
        tables.publish_table(connection, settings, definition)
    assert error.value.status == 409


def refusal(connection: Connection, settings: ElectricSettings, definition: ShapeDefinition) -> str:
    """What the clients who wait for rows are told, with a 503 (PROTOCOL section 7.5)."""
    with pytest.raises(SnapshotFailed) as error:
        tables.publish_table(connection, settings, definition)
    assert error.value.status == 503
    return error.value.message


def test_in_manual_mode_nothing_is_altered_and_the_message_says_what_is_missing(
    connection: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
) -> None:
    settings = replace(settings, manual_table_publishing=True)
    definition = make_table()
    name = settings.publication_name
    connection.execute(f"CREATE PUBLICATION {name}")
    assert refusal(connection, settings, definition) == (
        f'Database table "public.t" is missing from the publication "{name}" and the '
        "ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
    )
    connection.execute(f"ALTER PUBLICATION {name} ADD TABLE t")
    assert refusal(connection, settings, definition) == (
        'Database table "public.t" does not have its replica identity set to FULL'
    )
    assert (published(connection, settings), identities(connection, "t")) == ({"t"}, ["d"])
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert tables.publish_table(connection, settings, definition) is None


def test_in_manual_mode_every_partition_needs_whole_old_rows(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    settings = replace(settings, manual_table_publishing=True)
    definition = make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT"
    )
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR TABLE t")
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert "does not have its replica identity" in refusal(connection, settings, definition)
    connection.execute("ALTER TABLE t1 REPLICA IDENTITY FULL")
    assert tables.publish_table(connection, settings, definition) is None


@pytest.mark.parametrize("kept", ["insert, update, delete", "insert", "truncate"])
def test_a_publication_that_leaves_something_out_is_named(
    connection: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
    kept: str,
) -> None:
    definition = make_table()
    name = settings.publication_name
    connection.execute(f"CREATE PUBLICATION {name} FOR TABLE t WITH (publish = '{kept}')")
    assert refusal(connection, settings, definition) == (
        f'Publication "{name}" does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE'
    )


def test_a_role_that_may_not_alter_the_publication_is_told_so(
    stranger: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    stranger.execute("RESET ROLE")
    definition = make_table()
    publication.ensure_publication(stranger, settings)
    stranger.execute("SET ROLE stranger")
    assert refusal(stranger, settings, definition) == (
        f'Database table "public.t" is missing from the publication "{settings.publication_name}" and '
        "Electric lacks privileges to add it"
    )
    stranger.execute("RESET ROLE")


def test_a_role_that_does_not_own_the_table_is_told_so(
    stranger: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    stranger.execute("RESET ROLE")
    definition = make_table()
    publication.ensure_publication(stranger, settings)
    stranger.execute(f"ALTER PUBLICATION {settings.publication_name} OWNER TO stranger")
    stranger.execute("SET ROLE stranger")
    message = refusal(stranger, settings, definition)
    stranger.execute("RESET ROLE")
    assert message == "Unable to create initial snapshot: must be owner of table t"
    stranger.execute(f"ALTER PUBLICATION {settings.publication_name} ADD TABLE t")
    stranger.execute("SET ROLE stranger")
    message = refusal(stranger, settings, definition)
    stranger.execute(f"RESET ROLE; DROP PUBLICATION {settings.publication_name}")
    assert message == 'Database table "public.t" does not have its replica identity set to FULL'


GENERATED = (
    "CREATE TABLE t (id int PRIMARY KEY, v int, double int GENERATED ALWAYS AS (v * 2) STORED)"
)


def test_generated_columns_that_the_publication_does_not_carry_are_refused_by_name(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    if connection.info.server_version < 180000:
        pytest.skip("needs PostgreSQL 18")
    definition = make_table(GENERATED)
    name = settings.publication_name
    connection.execute(f"CREATE PUBLICATION {name}")
    assert refusal(connection, settings, definition) == (
        f'Publication "{name}" does not publish generated columns. This is a feature introduced in PostgreSQL 18'
        " and requires setting the publication parameter 'publish_generated_columns' to 'stored'. Alternatively,"
        " you can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query"
        " param."
    )
    chosen = replace(definition, columns=("id", "v"), has_explicit_columns=True)
    assert "PostgreSQL would refuse every UPDATE" in refusal(connection, settings, chosen)
    assert (published(connection, settings), identities(connection, "t")) == (set(), ["d"])
    connection.execute(f"ALTER PUBLICATION {name} SET (publish_generated_columns = stored)")
    assert tables.publish_table(connection, settings, definition) is not None
    connection.execute("INSERT INTO t VALUES (1, 2); UPDATE t SET v = 3")
    assert one(connection, "SELECT double FROM t") == 6


def test_a_publication_that_was_dropped_is_named(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    with pytest.raises(SnapshotFailed, match=f'"{settings.publication_name}" not found'):
        tables.publish_table(connection, settings, definition)
    assert identities(connection, "t") == ["d"], "all or nothing"


def test_a_lock_that_is_not_to_be_had_is_not_waited_for_for_ever(
    connection: Connection,
    other: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    assert tables.LOCK_TIMEOUT_MS == 5_000
    monkeypatch.setattr(tables, "LOCK_TIMEOUT_MS", 50)
    with other.transaction():
        other.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        with pytest.raises(SnapshotFailed, match="waiting for a table lock"):
            tables.publish_table(connection, settings, definition)
    assert tables.publish_table(connection, settings, definition) is not None


# -- beside writers ----------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_waiting_for_a_lock(connection: Connection, pid: int) -> bool:
    return bool(one(connection, "SELECT cardinality(pg_blocking_pids(%s)) > 0", pid))


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_writer_that_was_not_published_has_ended_before_the_table_is(
    dsn: str,
    connection: Connection,
    other: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
    identity: str,
) -> None:
    """Else its rows would be neither in the snapshot nor in the stream."""
    definition = make_table()
    connection.execute(f"ALTER TABLE t REPLICA IDENTITY {identity}")
    publication.ensure_publication(connection, settings)
    tokens: list[bytes | None] = []
    with psycopg.connect(dsn, autocommit=True) as publishing:
        thread = threading.Thread(
            target=lambda: tokens.append(tables.publish_table(publishing, settings, definition))
        )
        with other.transaction():
            other.execute("INSERT INTO t VALUES (1)")
            thread.start()
            wait_until(lambda: is_waiting_for_a_lock(connection, publishing.info.backend_pid))
            other.execute("INSERT INTO t VALUES (2)")
        thread.join(10)
        assert tokens[0] is not None
        assert one(publishing, "SELECT count(*) FROM t") == 2


def test_from_the_marker_on_every_change_is_in_the_stream(
    dsn: str,
    connection: Connection,
    other: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
) -> None:
    """A writer never stops; what it wrote is in the snapshot taken after the marker, or in the stream, or both."""
    definition = make_table()
    publication.ensure_publication(connection, settings)
    connection.execute("SET synchronous_commit = on")
    connection.execute(
        "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [settings.slot_name]
    )
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            n = len(written)
            other.execute("INSERT INTO t VALUES (%s)", [n])
            written.append(n)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_until(lambda: len(written) > 20)
        token = tables.publish_table(connection, settings, definition)
        with psycopg.connect(dsn) as taking:
            taking.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            snapshot = {row[0] for row in taking.execute("SELECT id FROM t")}
        seen = len(written)
        wait_until(lambda: len(written) > seen + 20)
    finally:
        stop.set()
        thread.join(10)
    connection.execute("SELECT pg_logical_emit_message(true, 'end', '')")
    rows = connection.execute(
        "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1', "
        "'publication_names', %s, 'messages', 'true')",
        [settings.slot_name, settings.publication_name],
    )
    messages = [decode(bytes(cast(bytes, row[0]))) for row in rows]
    connection.execute("SELECT pg_drop_replication_slot(%s)", [settings.slot_name])
    marker = LogicalMessage(True, MESSAGE_PREFIX, token or b"")
    assert marker in messages
    streamed = {int(m.new[0] or "") for m in messages if isinstance(m, Insert)}
    assert snapshot | streamed == set(written)
    assert isinstance(messages[0], Begin)

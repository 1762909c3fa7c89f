"""Slot and publication: PROTOCOL sections 10.2 and 10.3."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest import mock

import psycopg
import pytest

from django_electric.catalogue import find_relation
from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError, SnapshotFailed
from django_electric.postgres.pgoutput import Begin, Insert, LogicalMessage, decode
from django_electric.replication import publication
from django_electric.replication.connection import ReplicationConnection
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.transactions import MESSAGE_PREFIX

Connection = psycopg.Connection[tuple[object, ...]]
SettingsOf = Callable[..., ElectricSettings]


@pytest.fixture
def settings(connection: Connection, settings_of: SettingsOf) -> Iterator[ElectricSettings]:
    settings = settings_of()
    yield settings
    connection.execute(f"DROP PUBLICATION IF EXISTS {settings.publication_name}")


@pytest.fixture
def make_table(connection: Connection) -> Iterator[Callable[[str], ShapeDefinition]]:
    """``make_table(sql)``: makes table ``t``; a shape on it."""

    def make(statements: str = "CREATE TABLE t (id int PRIMARY KEY, v text)") -> ShapeDefinition:
        connection.execute(statements)
        return definition_of(connection, "t")

    yield make
    connection.execute("DROP TABLE IF EXISTS t, u CASCADE")


def definition_of(connection: Connection, name: str) -> ShapeDefinition:
    relation = find_relation(connection.cursor(), "public", name)
    assert relation is not None
    return ShapeDefinition.build(relation)


def one(connection: Connection, query: str, *params: object) -> Any:
    row = connection.execute(query, params).fetchone()
    assert row is not None
    return row[0]


def published(connection: Connection, settings: ElectricSettings) -> set[str]:
    rows = connection.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s",
        [settings.publication_name],
    )
    return {str(row[0]) for row in rows}


def identities(connection: Connection, *names: str) -> list[str]:
    return [
        one(connection, "SELECT relreplident FROM pg_class WHERE relname = %s", n) for n in names
    ]


# -- requirements ----------------------------------------------------------------------------------


def test_a_server_that_replicates_logically_is_accepted(connection: Connection) -> None:
    publication.check_wal_level(connection)


def fake_server(wal_level: str, version: int) -> Connection:
    server = mock.Mock()
    server.execute.return_value.fetchone.return_value = (wal_level,)
    server.info.server_version = version
    return cast(Connection, server)


def test_another_wal_level_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ConfigurationError, match=r"wal_level is replica.*ALTER SYSTEM SET wal_level"
    ):
        publication.check_wal_level(fake_server("replica", 150000))


def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL 13 is too old"):
        publication.check_wal_level(fake_server("logical", 130012))
    publication.check_wal_level(fake_server("logical", 140000))


# -- publication -----------------------------------------------------------------------------------


def test_the_publication_is_made_once(connection: Connection, settings: ElectricSettings) -> None:
    assert publication.ensure_publication(connection, settings)
    assert not publication.ensure_publication(connection, settings)
    assert published(connection, settings) == set()
    row = connection.execute(
        "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication WHERE pubname = %s",
        [settings.publication_name],
    ).fetchone()
    assert row == (True, True, True, True, False)


def test_from_postgres_18_on_stored_generated_columns_are_published(
    connection: Connection, settings: ElectricSettings
) -> None:
    if connection.info.server_version < 180000:
        pytest.skip("needs PostgreSQL 18")
    publication.ensure_publication(connection, settings)
    query = "SELECT pubgencols FROM pg_publication WHERE pubname = %s"
    assert one(connection, query, settings.publication_name) in ("s", b"s")


def test_a_publication_that_leaves_something_out_is_refused(
    connection: Connection, settings: ElectricSettings
) -> None:
    connection.execute(
        f"CREATE PUBLICATION {settings.publication_name} WITH (publish = 'insert, update')"
    )
    with pytest.raises(ConfigurationError, match="does not publish all required operations"):
        publication.ensure_publication(connection, settings)


def test_in_manual_mode_a_missing_publication_is_not_made(
    connection: Connection, settings_of: SettingsOf
) -> None:
    settings = settings_of(manual_table_publishing=True)
    with pytest.raises(ConfigurationError, match=r"not found.*Run CREATE PUBLICATION"):
        publication.ensure_publication(connection, settings)
    connection.execute(f"CREATE PUBLICATION {settings.publication_name}")
    assert not publication.ensure_publication(connection, settings)
    connection.execute(f"DROP PUBLICATION {settings.publication_name}")


@pytest.fixture
def stranger(connection: Connection) -> Iterator[Connection]:
    """A role that may nothing, on a connection of its own session user."""
    connection.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger")
    connection.execute("GRANT USAGE ON SCHEMA public TO stranger")
    connection.execute("SET ROLE stranger")
    yield connection
    connection.execute("RESET ROLE; DROP OWNED BY stranger; DROP ROLE stranger")


def test_a_role_that_may_not_make_a_publication_is_told_what_to_run(
    stranger: Connection, settings: ElectricSettings
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"may not create a publication.*CREATE PUBLICATION"
    ):
        publication.ensure_publication(stranger, settings)
    stranger.execute("RESET ROLE")


def test_another_worker_may_be_quicker_to_make_the_publication(
    connection: Connection, settings: ElectricSettings
) -> None:
    racing = mock.Mock(wraps=connection)
    racing.info.server_version = connection.info.server_version
    racing.execute.side_effect = [
        mock.Mock(**{"fetchone.return_value": None}),
        psycopg.errors.DuplicateObject(),
    ]
    assert not publication.ensure_publication(racing, settings)


def test_before_postgres_18_nothing_is_said_of_generated_columns(settings_of: SettingsOf) -> None:
    server = fake_server("logical", 170000)
    server.execute.return_value.fetchone.return_value = None  # type: ignore[attr-defined]  # a mock
    assert publication.ensure_publication(server, settings_of())
    assert "publish_generated_columns" not in str(server.execute.call_args)  # type: ignore[attr-defined]  # a mock


# -- slot --------------------------------------------------------------------------------------------


def test_the_slot_is_made_found_again_and_renewed(dsn: str, settings: ElectricSettings) -> None:
    with ReplicationConnection(dsn) as replication:
        made = publication.ensure_slot(replication, settings, renew=False)
        assert made.is_new
        found = publication.ensure_slot(replication, settings, renew=False)
        assert not found.is_new
        assert found.confirmed <= made.confirmed
        assert found.system == made.system
        assert made.system.endswith("/" + dsn.partition("dbname=")[2].split()[0].strip("'"))
        renewed = publication.ensure_slot(replication, settings, renew=True)
        assert renewed.is_new
        assert renewed.confirmed >= made.confirmed
        publication.drop_slot(replication, settings.slot_name)
        publication.drop_slot(replication, settings.slot_name)
        query = (
            f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{settings.slot_name}'"
        )
        assert replication.query(query) == [("0",)]


# -- tables --------------------------------------------------------------------------------------------


def test_a_table_is_published_with_whole_old_rows_and_the_second_time_there_is_nothing_to_do(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    token = publication.publish_table(connection, settings, definition)
    assert token is not None
    assert len(token) == 16
    assert published(connection, settings) == {"t"}
    assert identities(connection, "t") == ["f"]
    assert publication.publish_table(connection, settings, definition) is None


def test_what_is_missing_is_added_and_nothing_else(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert publication.publish_table(connection, settings, definition) is not None
    connection.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    assert publication.publish_table(connection, settings, definition) is not None
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
    assert publication.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t", "t1", "t11", "t2") == ["f"] * 4
    assert publication.publish_table(connection, settings, definition) is None
    connection.execute("CREATE TABLE t12 PARTITION OF t1 FOR VALUES FROM (5) TO (10)")
    assert publication.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t12") == ["f"]


def test_a_partition_is_published_by_its_root(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT"
    )
    publication.ensure_publication(connection, settings)
    publication.publish_table(connection, settings, definition)
    leaf = definition_of(connection, "t1")
    assert publication.publish_table(connection, settings, leaf) is None


def test_a_publication_of_all_tables_needs_nothing_but_whole_old_rows(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR ALL TABLES")
    assert publication.publish_table(connection, settings, definition) is not None
    assert identities(connection, "t") == ["f"]
    assert publication.publish_table(connection, settings, definition) is None


def test_partitions_and_roots_find_each_other(
    connection: Connection, make_table: Callable[..., ShapeDefinition]
) -> None:
    root = make_table(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE t11 PARTITION OF t1 DEFAULT; CREATE TABLE t2 PARTITION OF t DEFAULT; CREATE TABLE u (id int)"
    ).relation_oid
    t1, t11, t2, u = (definition_of(connection, n).relation_oid for n in ("t1", "t11", "t2", "u"))
    assert set(publication.partitions_of(connection, root)) == {t11, t2}
    assert set(publication.partitions_of(connection, t1)) == {t11}
    assert publication.partitions_of(connection, u) == ()
    assert set(publication.roots_of(connection, t11)) == {t1, root}
    assert publication.roots_of(connection, root) == ()
    assert publication.roots_of(connection, u) == ()


# -- what can go wrong -----------------------------------------------------------------------------------


def test_a_table_that_is_gone_sends_the_client_back_to_the_start(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    connection.execute("DROP TABLE t")
    with pytest.raises(SnapshotFailed, match="no longer exists") as error:
        publication.publish_table(connection, settings, definition)
    assert error.value.status == 409


def test_a_table_that_goes_while_it_is_published_does_so_too(
    connection: Connection,
    settings: ElectricSettings,
    make_table: Callable[..., ShapeDefinition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = make_table()
    publication.ensure_publication(connection, settings)
    state = publication._TableState(is_published=False, has_full_identity=False)
    monkeypatch.setattr(publication, "_table_state", lambda *_: state)
    connection.execute("DROP TABLE t")
    with pytest.raises(SnapshotFailed) as error:
        publication.publish_table(connection, settings, definition)
    assert error.value.status == 409


def test_in_manual_mode_nothing_is_altered_and_the_message_says_what_is_missing(
    connection: Connection, settings_of: SettingsOf, make_table: Callable[..., ShapeDefinition]
) -> None:
    settings = settings_of(manual_table_publishing=True)
    definition = make_table()
    connection.execute(f"CREATE PUBLICATION {settings.publication_name}")
    with pytest.raises(SnapshotFailed) as error:
        publication.publish_table(connection, settings, definition)
    assert error.value.message == (
        f'Database table "public.t" is missing from the publication "{settings.publication_name}" and the '
        "ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
    )
    connection.execute(f"ALTER PUBLICATION {settings.publication_name} ADD TABLE t")
    with pytest.raises(SnapshotFailed) as error:
        publication.publish_table(connection, settings, definition)
    assert (
        error.value.message
        == 'Database table "public.t" does not have its replica identity set to FULL'
    )
    assert error.value.status == 503
    connection.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    assert publication.publish_table(connection, settings, definition) is None
    connection.execute(f"DROP PUBLICATION {settings.publication_name}")


def test_a_role_that_does_not_own_the_table_is_told_so(
    stranger: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    stranger.execute("RESET ROLE")
    definition = make_table()
    publication.ensure_publication(stranger, settings)
    stranger.execute("SET ROLE stranger")
    with pytest.raises(SnapshotFailed, match="must be owner of table t"):
        publication.publish_table(stranger, settings, definition)
    stranger.execute("RESET ROLE")


def test_a_publication_that_was_dropped_is_named(
    connection: Connection, settings: ElectricSettings, make_table: Callable[..., ShapeDefinition]
) -> None:
    definition = make_table()
    with pytest.raises(SnapshotFailed, match=f'"{settings.publication_name}" not found'):
        publication.publish_table(connection, settings, definition)
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
    monkeypatch.setattr(publication, "LOCK_TIMEOUT_MS", 50)
    with other.transaction():
        other.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        with pytest.raises(SnapshotFailed, match="waiting for a table lock"):
            publication.publish_table(connection, settings, definition)
    assert publication.publish_table(connection, settings, definition) is not None


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
            target=lambda: tokens.append(
                publication.publish_table(publishing, settings, definition)
            )
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
        token = publication.publish_table(connection, settings, definition)
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

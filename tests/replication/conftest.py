"""A database of its own for each test that wants one, and settings that name it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from django_electric.conf import AdmissionLimits, ElectricSettings
from django_electric.shapes.definition import ShapeDefinition
from example_project.embedded_postgres import Cluster
from tests.replication.database import Connection, definition_of


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., ElectricSettings]:
    """``settings_of(key=value)``: settings, with a stream that nobody else has."""
    plain = ElectricSettings(
        alias="default",
        storage_dir=tmp_path,
        replication_stream_id=f"t_{uuid.uuid4().hex[:12]}",
        secret=None,
        secret_previous=None,
        insecure=True,
        enable_integration_testing=False,
        long_poll_timeout=20_000,
        shape_chunk_bytes_threshold=10_485_760,
        max_concurrent_requests=AdmissionLimits(),
        manual_table_publishing=False,
        cache_max_age=60,
        cache_stale_age=300,
        grant_ttl=5_000,
        gatekeeper_keys=(),
        token_ttl=300_000,
        authorize=None,
        poll_interval=50,
        wakeup="socket",
        channel_layer="default",
        snapshot_connections=2,
        publication_row_filter="off",
    )
    return lambda **options: replace(plain, **options)


@pytest.fixture(scope="module")
def dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """An empty database for the tests of one file."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    postgres_cluster.create_database(name)
    yield postgres_cluster.dsn(name)
    with psycopg.connect(postgres_cluster.dsn("app"), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            "WHERE database = %s AND active_pid IS NOT NULL",
            [name],
        )
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
            [name],
        )
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """In autocommit mode."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(dsn: str) -> Iterator[Connection]:
    """A second one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings(
    connection: Connection, settings_of: Callable[..., ElectricSettings]
) -> Iterator[ElectricSettings]:
    """Of a stream whose publication goes with the test."""
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


@pytest.fixture
def stranger(connection: Connection) -> Iterator[Connection]:
    """A role that may nothing, on a connection of its own session user."""
    connection.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger")
    connection.execute("GRANT USAGE ON SCHEMA public TO stranger")
    connection.execute("SET ROLE stranger")
    yield connection
    connection.execute("RESET ROLE; DROP OWNED BY stranger; DROP ROLE stranger")

"""Slot and publication: PROTOCOL section 10.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from unittest import mock

import psycopg
import pytest

from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError
from django_electric.replication import publication
from django_electric.replication.connection import ReplicationConnection
from tests.replication.database import Connection, one, published

SettingsOf = Callable[..., ElectricSettings]


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

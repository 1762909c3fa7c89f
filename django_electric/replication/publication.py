"""Slot and publication: create and check (PROTOCOL section 10.2). What is in it is `tables`' concern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from django_electric.conf import ElectricSettings
from django_electric.drift import OPERATIONS
from django_electric.errors import ConfigurationError
from django_electric.postgres.lsn import Lsn
from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.replication.connection import ReplicationConnection

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class SlotState:
    """Where the stream begins."""

    system: str
    """System identifier, timeline and database: logs of another one are worth nothing."""
    confirmed: int
    is_new: bool


def check_wal_level(connection: Connection) -> None:
    """Raises ConfigurationError unless ``wal_level`` is ``logical``."""
    level = _one(connection, "SHOW wal_level")
    if level != "logical":
        raise ConfigurationError(
            f"wal_level is {level}; django_electric requires wal_level >= logical. Run "
            "ALTER SYSTEM SET wal_level = 'logical'; and restart PostgreSQL."
        )
    version = connection.info.server_version
    if version < 140000:
        raise ConfigurationError(
            f"PostgreSQL {version // 10000} is too old; 14 or newer is needed."
        )


def ensure_publication(connection: Connection, settings: ElectricSettings) -> bool:
    """Make the publication if it is missing and may be made; whether it was made."""
    name = settings.publication_name
    found = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = %s",
        [name],
    ).fetchone()
    if found:
        if not found[0]:
            raise ConfigurationError(
                f'Publication "{name}" does not publish all required operations: {OPERATIONS}. Run '
                f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate');"
            )
        return False
    if settings.manual_table_publishing:
        raise ConfigurationError(
            f'Publication "{name}" not found in the database and ELECTRIC_MANUAL_TABLE_PUBLISHING is set. '
            f"Run CREATE PUBLICATION {name};"
        )
    options = (
        " WITH (publish_generated_columns = stored)"
        if connection.info.server_version >= 180000
        else ""
    )
    try:
        connection.execute(statement(f"CREATE PUBLICATION {quote_identifier(name)}{options}"))
    except psycopg.errors.DuplicateObject:
        return False
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"The database role may not create a publication ({message_of(error)}). Run, as the owner of the "
            f"database: CREATE PUBLICATION {name};"
        ) from error
    return True


def ensure_slot(
    replication: ReplicationConnection, settings: ElectricSettings, *, renew: bool
) -> SlotState:
    """Find or make the slot; *renew* drops one that is there. Waits for running transactions if it is made."""
    system, timeline, _, database = replication.query("IDENTIFY_SYSTEM")[0]
    identity = f"{system}/{timeline}/{database}"
    name = settings.slot_name
    if renew:
        drop_slot(replication, name)
    rows = replication.query(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots "  # noqa: S608  # quoted
        f"WHERE slot_name = {quote_literal(name)} AND database = current_database()"
    )
    if rows and rows[0][0]:
        return SlotState(identity, int(Lsn.parse(rows[0][0])), is_new=False)
    made = replication.query(
        f"CREATE_REPLICATION_SLOT {quote_identifier(name)} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
    )
    return SlotState(identity, int(Lsn.parse(made[0][1] or "0/0")), is_new=True)


def drop_slot(replication: ReplicationConnection, name: str) -> None:
    """Drop the slot if it is there."""
    literal = quote_literal(name)
    found = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = {literal}"  # noqa: S608  # quoted
    if replication.query(found):
        replication.query(f"DROP_REPLICATION_SLOT {quote_identifier(name)} WAIT")


def _one(connection: Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def statement(text: str) -> sql.SQL:
    """A statement made of quoted names; nothing of a client is in it."""
    return sql.SQL(text)


def message_of(error: psycopg.Error) -> str:
    """What Postgres said, without details and context."""
    return error.diag.message_primary or str(error).strip()

"""Slot and publication: create, check, add a table (PROTOCOL sections 10.2 and 10.3).

A table is never dropped from the publication here: Electric's way of dropping it with its last shape
loses the rows that are written before it is added again (PROTOCOL section 16.3, point 14).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError, SnapshotFailed
from django_electric.postgres.lsn import Lsn
from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.replication.connection import ReplicationConnection
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.transactions import MESSAGE_PREFIX

LOCK_TIMEOUT_MS = 5_000
_OPERATIONS = "INSERT, UPDATE, DELETE, TRUNCATE"

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
                f'Publication "{name}" does not publish all required operations: {_OPERATIONS}. Run '
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
        connection.execute(_sql(f"CREATE PUBLICATION {quote_identifier(name)}{options}"))
    except psycopg.errors.DuplicateObject:
        return False
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"The database role may not create a publication ({_message(error)}). Run, as the owner of the "
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


@dataclass(frozen=True, slots=True)
class _TableState:
    is_published: bool
    has_full_identity: bool


def _table_state(
    connection: Connection, settings: ElectricSettings, oid: int
) -> _TableState | None:
    """None if the table is gone. A leaf is published by its root too; identities count on every leaf."""
    row = connection.execute(
        """
        SELECT EXISTS (
                 SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                 WHERE p.pubname = %(publication)s
                   AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))
               ) OR EXISTS (SELECT 1 FROM pg_publication WHERE pubname = %(publication)s AND puballtables),
               c.relreplident = 'f' AND NOT EXISTS (
                 SELECT 1 FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
                 WHERE t.isleaf AND l.relreplident <> 'f'
               )
        FROM pg_class c WHERE c.oid = %(oid)s
        """,
        {"publication": settings.publication_name, "oid": oid},
    ).fetchone()
    return None if row is None else _TableState(bool(row[0]), bool(row[1]))


def partitions_of(connection: Connection, oid: int) -> tuple[int, ...]:
    """The leaves of a partitioned table; empty for an ordinary one."""
    rows = connection.execute(
        "SELECT relid::oid::int8 FROM pg_partition_tree(%s) WHERE isleaf AND relid <> %s",
        [oid, oid],
    )
    return tuple(cast(int, row[0]) for row in rows)


def roots_of(connection: Connection, oid: int) -> tuple[int, ...]:
    """The partitioned tables above a table."""
    rows = connection.execute(
        "SELECT relid::oid::int8 FROM pg_partition_ancestors(%s) WHERE relid <> %s", [oid, oid]
    )
    return tuple(cast(int, row[0]) for row in rows)


def publish_table(
    connection: Connection, settings: ElectricSettings, definition: ShapeDefinition
) -> bytes | None:
    """See to it that the changes of a shape's table are streamed, with whole old rows.

    If something had to be done, the content of the logical message whose arrival proves that the
    stream has passed it; a snapshot may be taken only then. Locking the table in the same
    transaction makes sure that no other transaction has written to it before the table was
    published and commits after. Raises SnapshotFailed.
    """
    state = _table_state(connection, settings, definition.relation_oid)
    if state is None:
        raise SnapshotFailed("the table no longer exists", status=409)
    if state.is_published and state.has_full_identity:
        return None
    name = f"{definition.schema}.{definition.table}"
    if settings.manual_table_publishing:
        raise SnapshotFailed(_manual_text(state, settings, name))
    try:
        return _publish(connection, settings, definition, state)
    except psycopg.errors.LockNotAvailable as error:
        raise SnapshotFailed("Snapshot timed out while waiting for a table lock") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise SnapshotFailed(f"Unable to create initial snapshot: {_message(error)}") from error
    except psycopg.errors.UndefinedTable as error:
        raise SnapshotFailed(_message(error), status=409) from error
    except psycopg.errors.UndefinedObject as error:
        raise SnapshotFailed(
            f'Publication "{settings.publication_name}" not found in the database'
        ) from error


def _manual_text(state: _TableState, settings: ElectricSettings, name: str) -> str:
    if not state.is_published:
        return (
            f'Database table "{name}" is missing from the publication "{settings.publication_name}" and the '
            "ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
        )
    return f'Database table "{name}" does not have its replica identity set to FULL'


def _publish(
    connection: Connection,
    settings: ElectricSettings,
    definition: ShapeDefinition,
    state: _TableState,
) -> bytes:
    table = f"{quote_identifier(definition.schema)}.{quote_identifier(definition.table)}"
    token = uuid.uuid4().bytes
    with connection.transaction():
        connection.execute(_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        if state.has_full_identity:
            connection.execute(_sql(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
        else:
            for relation in (table, *_leaf_names(connection, definition.relation_oid)):
                connection.execute(_sql(f"ALTER TABLE {relation} REPLICA IDENTITY FULL"))
        # Asked again under the lock: another shape of the table may have been quicker.
        now = _table_state(connection, settings, definition.relation_oid)
        if now is not None and not now.is_published:
            name = quote_identifier(settings.publication_name)
            connection.execute(_sql(f"ALTER PUBLICATION {name} ADD TABLE {table}"))
        connection.execute(
            "SELECT pg_logical_emit_message(true, %s, %s::bytea)", [MESSAGE_PREFIX, token]
        )
    return token


def _leaf_names(connection: Connection, oid: int) -> list[str]:
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_partition_tree(%s) t JOIN pg_class c ON c.oid = t.relid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.relid <> %s",
        [oid, oid],
    )
    return [
        f"{quote_identifier(str(schema))}.{quote_identifier(str(name))}" for schema, name in rows
    ]


def _one(connection: Connection, statement: LiteralString) -> object:
    row = connection.execute(statement).fetchone()
    return row[0] if row else None


def _sql(text: str) -> sql.SQL:
    """A statement made of quoted names; nothing of a client is in it."""
    return sql.SQL(text)


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip()

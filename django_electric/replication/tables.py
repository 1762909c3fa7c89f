"""Is a table streamed, with whole old rows? If not, make it so (PROTOCOL sections 7.5 and 10.3).

A table is never dropped from the publication here: Electric's way of dropping it with its last shape
loses the rows that are written before it is added again (PROTOCOL section 16.3, point 14).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import cast

import psycopg

from django_electric.conf import ElectricSettings
from django_electric.drift import OPERATIONS, PublicationState, TableState
from django_electric.errors import SnapshotFailed
from django_electric.postgres.layouts import layouts_query
from django_electric.postgres.relation import quote_identifier
from django_electric.replication.markers import send_marker
from django_electric.replication.publication import Connection, message_of, statement
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.layouts import TableLayout, parse_schema_change

logger = logging.getLogger("django_electric.tables")

LOCK_TIMEOUT_MS = 5_000
_UNABLE = "Unable to create initial snapshot"
_CANNOT_BE_PUBLISHED = (
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.WrongObjectType,
)
"""A table that is not logged, or another session's temporary one; a foreign one among its partitions."""
PATIENCE_MS = 100
"""For a lock on a table that is in use already."""


_STATES = """
SELECT c.oid::int8, n.nspname, c.relname,
       ARRAY({memberships} UNION ALL
         SELECT p.oid::int8 FROM pg_publication p WHERE p.pubname = %(publication)s AND p.puballtables),
       c.relreplident = 'f' AND NOT EXISTS (
         SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
         WHERE t.isleaf AND l.relreplident <> 'f'
       ),
       {loses_generated}, {row_filter}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY(%(oids)s::oid[])
"""
# A leaf is published by the tables above it, too.
_BY_TABLE = """
         SELECT r.oid::int8 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
         WHERE p.pubname = %(publication)s
           AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))"""
_BY_SCHEMA = """
         SELECT s.oid::int8 FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid
         JOIN pg_class a ON a.relnamespace = s.pnnspid
         WHERE p.pubname = %(publication)s
           AND (a.oid = c.oid OR a.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))"""
_LOSES_GENERATED = """EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND (
           a.attgenerated = 'v' OR a.attgenerated = 's' AND NOT EXISTS (
             SELECT FROM pg_publication WHERE pubname = %(publication)s AND pubgencols = 's')))"""
_ROW_FILTER = """coalesce((
         SELECT string_agg(pg_get_expr(r.prqual, r.prrelid), ' and ' ORDER BY r.prrelid)
         FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
         WHERE p.pubname = %(publication)s AND r.prqual IS NOT NULL
           AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_partition_tree(c.oid)))), '')"""

Admits = Callable[[ShapeDefinition, str], bool]
"""Whether a row filter, as Postgres prints it, lets through all that belongs to a shape."""


def admits_nothing(definition: ShapeDefinition, row_filter: str) -> bool:
    """Where it is not known what a filter is for."""
    return False


def table_states(
    connection: Connection, settings: ElectricSettings, oids: Collection[int]
) -> dict[int, TableState]:
    """By oid, the tables that are there."""
    version = connection.info.server_version
    query = _STATES.format(
        memberships=f"{_BY_TABLE} UNION ALL {_BY_SCHEMA}" if version >= 150000 else _BY_TABLE,
        loses_generated=_LOSES_GENERATED if version >= 180000 else "false",
        row_filter=_ROW_FILTER if version >= 150000 else "''",
    )
    rows = connection.execute(
        statement(query), {"publication": settings.publication_name, "oids": list(oids)}
    )
    return {
        cast(int, oid): TableState(
            schema=str(schema),
            name=str(name),
            is_published=bool(entries),
            has_full_identity=bool(full),
            loses_generated=bool(loses),
            row_filter=str(row_filter),
            memberships=frozenset(cast("list[int]", entries)),
        )
        for oid, schema, name, entries, full, loses, row_filter in rows
    }


def table_layouts(connection: Connection, oids: Collection[int]) -> tuple[TableLayout, ...]:
    """How these tables are laid out; those that are gone are left out."""
    query = layouts_query("SELECT unnest(%s::oid[])")
    row = connection.execute(statement(query), [list(oids)]).fetchone()
    return parse_schema_change(str(row[0])).tables if row else ()


def publication_state(
    connection: Connection, settings: ElectricSettings
) -> PublicationState | None:
    """The publication of the stream; None if there is none."""
    name = settings.publication_name
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pg_has_role(pubowner, 'USAGE')"
        " FROM pg_publication WHERE pubname = %s",
        [name],
    ).fetchone()
    return None if row is None else PublicationState(name, bool(row[0]), bool(row[1]))


def lock_publishing(
    connection: Connection, settings: ElectricSettings, oid: int, lock_timeout_ms: int
) -> None:
    """Until the transaction that begins here ends, nobody else decides which rows of a table are published."""
    # Otherwise what is read under the lock might be what was there before it was had.
    connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.execute(statement(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [settings.publication_name, oid]
    )


def publish_table(
    connection: Connection,
    settings: ElectricSettings,
    definition: ShapeDefinition,
    admits: Admits = admits_nothing,
) -> bytes | None:
    """See to it that the changes of a shape's table are streamed, with whole old rows.

    If something had to be done, the content of the logical message whose arrival proves that the
    stream has passed it; a snapshot may be taken only then. Locking the table in the same
    transaction makes sure that no other transaction has written to it before the table was
    published and commits after. A row filter that may keep rows of the shape away goes, in the same
    way. Raises SnapshotFailed.
    """
    try:
        if not settings.filters_rows:
            return _make_ready(connection, settings, definition, admits)
        with connection.transaction():
            # One who sets a filter meanwhile may not know of the shape: he ends first.
            lock_publishing(connection, settings, definition.relation_oid, LOCK_TIMEOUT_MS)
            return _make_ready(connection, settings, definition, admits)
    except psycopg.errors.LockNotAvailable as error:
        raise SnapshotFailed("Snapshot timed out while waiting for a table lock") from error


def _make_ready(
    connection: Connection,
    settings: ElectricSettings,
    definition: ShapeDefinition,
    admits: Admits,
) -> bytes | None:
    table = _publishable(connection, settings, definition)
    if _is_ready(settings, definition, table, admits):
        return None
    try:
        return _publish(connection, settings, definition, table)
    except psycopg.errors.InsufficientPrivilege as error:
        if table.is_published and not table.has_full_identity:
            raise SnapshotFailed(_no_identity(table)) from error
        raise SnapshotFailed(f"{_UNABLE}: {message_of(error)}") from error
    except _CANNOT_BE_PUBLISHED as error:
        reason = error.diag.message_detail or ""
        raise SnapshotFailed(f"{_UNABLE}: {message_of(error)}. {reason}".rstrip(" .")) from error
    except psycopg.errors.UndefinedTable as error:
        raise SnapshotFailed(message_of(error), status=409) from error
    except psycopg.errors.UndefinedObject as error:
        raise SnapshotFailed(_no_publication(settings)) from error


def _publishable(
    connection: Connection, settings: ElectricSettings, definition: ShapeDefinition
) -> TableState:
    """The shape's table. Raises SnapshotFailed if it is not streamed and cannot be."""
    oid = definition.relation_oid
    table = table_states(connection, settings, [oid]).get(oid)
    if table is None:
        raise SnapshotFailed("the table no longer exists", status=409)
    _check_publication(connection, settings, table)
    if table.loses_generated and _selects_generated(connection, definition):
        raise SnapshotFailed(_no_generated(settings))
    return table


def _is_ready(
    settings: ElectricSettings, definition: ShapeDefinition, table: TableState, admits: Admits
) -> bool:
    """Whether all that belongs to the shape is streamed already. Raises SnapshotFailed if it cannot be."""
    if table.is_published and table.has_full_identity:
        # A filter that somebody set who publishes by hand is his own business.
        is_open = not table.row_filter or settings.manual_table_publishing
        return is_open or admits(definition, table.row_filter)
    if settings.manual_table_publishing and table.is_published:
        raise SnapshotFailed(_no_identity(table))
    if table.loses_generated:
        raise SnapshotFailed(_not_writable(settings, table))
    return False


def _check_publication(
    connection: Connection, settings: ElectricSettings, table: TableState
) -> None:
    """Raises SnapshotFailed if *table* is not in the publication and cannot be added to it."""
    publication = publication_state(connection, settings)
    name = settings.publication_name
    if publication is None:
        raise SnapshotFailed(_no_publication(settings))
    if not publication.publishes_all:
        raise SnapshotFailed(
            f'Publication "{name}" does not publish all required operations: {OPERATIONS}'
        )
    if table.is_published:
        return
    missing = f'Database table "{table.full_name}" is missing from the publication "{name}" and '
    if settings.manual_table_publishing:
        raise SnapshotFailed(
            missing
            + "the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
        )
    if not publication.may_alter:
        raise SnapshotFailed(missing + "Electric lacks privileges to add it")


def _selects_generated(connection: Connection, definition: ShapeDefinition) -> bool:
    """Whether the shape needs a stored generated column."""
    needed = {*definition.columns, *definition.filtered_columns}
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attgenerated = 's' AND NOT attisdropped",
        [definition.relation_oid],
    )
    return any(name in needed for (name,) in rows)


def _no_publication(settings: ElectricSettings) -> str:
    return f'Publication "{settings.publication_name}" not found in the database'


def _no_identity(table: TableState) -> str:
    return f'Database table "{table.full_name}" does not have its replica identity set to FULL'


def _no_generated(settings: ElectricSettings) -> str:
    return (
        f'Publication "{settings.publication_name}" does not publish generated columns. This is a feature'
        " introduced in PostgreSQL 18 and requires setting the publication parameter"
        " 'publish_generated_columns' to 'stored'. Alternatively, you can exclude them from the shape by"
        " explicitly listing which columns to fetch in the 'columns' query param."
    )


def _not_writable(settings: ElectricSettings, table: TableState) -> str:
    return (
        f'Database table "{table.full_name}" has generated columns that the publication'
        f' "{settings.publication_name}" does not carry: with REPLICA IDENTITY FULL, PostgreSQL would refuse'
        " every UPDATE and DELETE on it"
    )


def _publish(
    connection: Connection,
    settings: ElectricSettings,
    definition: ShapeDefinition,
    state: TableState,
) -> bytes:
    table, oid = qualified_name(definition.schema, definition.table), definition.relation_oid
    with connection.transaction():
        if state.has_full_identity:
            lock_table(connection, table, LOCK_TIMEOUT_MS)
        else:
            set_full_identity(connection, oid, LOCK_TIMEOUT_MS)
        # Asked again under the lock: another shape of the table may have been quicker.
        now = table_states(connection, settings, [oid]).get(oid)
        if now is not None and not now.is_published:
            name = quote_identifier(settings.publication_name)
            connection.execute(statement(f"ALTER PUBLICATION {name} ADD TABLE {table}"))
        if now is not None and now.row_filter and not settings.manual_table_publishing:
            let_all_through(connection, settings, oid)
        return send_marker(connection)


def lock_table(connection: Connection, table: str, lock_timeout_ms: int) -> None:
    """Until the transaction under way ends, nobody writes to a table that has this quoted name; who has
    written to it has committed, and everybody can see it.
    """
    connection.execute(statement(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
    connection.execute(statement(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))


def let_all_through(connection: Connection, settings: ElectricSettings, oid: int) -> bool:
    """Take the row filters off a table and all below it, which are locked; whether there were any."""
    if connection.info.server_version < 150000:
        return False
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_publication_rel r"
        " JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE p.pubname = %(publication)s AND r.prqual IS NOT NULL"
        " AND (c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s)))",
        {"publication": settings.publication_name, "oid": oid},
    ).fetchall()
    for schema, name in rows:
        let_through(connection, settings, qualified_name(str(schema), str(name)))
        logger.info("the row filter of %s.%s is taken off", schema, name)
    return bool(rows)


def unfilter(connection: Connection, settings: ElectricSettings, oid: int) -> bool:
    """Take the row filter off a table that has become a partition, in a transaction of its own; whether it had one.

    Raises the errors of psycopg.
    """
    state = table_states(connection, settings, [oid]).get(oid)
    if state is None or not state.row_filter or settings.manual_table_publishing:
        return False
    with connection.transaction():
        lock_table(connection, qualified_name(state.schema, state.name), LOCK_TIMEOUT_MS)
        return let_all_through(connection, settings, oid)


def let_through(
    connection: Connection, settings: ElectricSettings, table: str, condition: str = ""
) -> None:
    """Publish the rows of a published table, quoted name, that a *condition* in SQL is true of; or all."""
    name = quote_identifier(settings.publication_name)
    where = f" WHERE ({condition})" if condition else ""
    connection.execute(statement(f"ALTER PUBLICATION {name} DROP TABLE ONLY {table}"))
    connection.execute(statement(f"ALTER PUBLICATION {name} ADD TABLE ONLY {table}{where}"))


def set_full_identity(connection: Connection, oid: int, lock_timeout_ms: int) -> None:
    """``REPLICA IDENTITY FULL`` for a table and all below it, in the transaction under way.

    Each is locked, so that nobody who wrote before commits after. Raises the errors of psycopg.
    """
    connection.execute(statement(f"SET LOCAL lock_timeout = {lock_timeout_ms}"))
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s))"
        # The root first, as every statement locks them.
        " ORDER BY c.oid <> %(oid)s, c.oid",
        {"oid": oid},
    ).fetchall()
    for schema, name in rows:
        table = qualified_name(str(schema), str(name))
        connection.execute(statement(f"ALTER TABLE {table} REPLICA IDENTITY FULL"))


def restore_full_identity(connection: Connection, oid: int) -> bool:
    """The same in a transaction of its own, with little patience: who waits for a lock holds up everybody
    behind him. Whether it may be done; a table that is locked, or gone, can be looked at again.
    """
    try:
        with connection.transaction():
            set_full_identity(connection, oid, PATIENCE_MS)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
        return True
    except psycopg.errors.InsufficientPrivilege as error:
        logger.warning("a table cannot be given REPLICA IDENTITY FULL: %s", message_of(error))
        return False
    return True


def qualified_name(schema: str, name: str) -> str:
    """Quoted, for a statement."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"

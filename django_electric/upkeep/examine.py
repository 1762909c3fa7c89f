"""Reads the facts of an installation: from the settings, from Postgres, from the files. Changes nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from django.apps import apps
from django.db import DatabaseError, connections
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count

from django_electric.conf import ElectricSettings
from django_electric.drift import TableState
from django_electric.models import Shape, ShapeQuerySet
from django_electric.published import registered_oids
from django_electric.replication.heartbeat import read_heartbeat
from django_electric.replication.publication import Connection
from django_electric.replication.tables import publication_state, table_states
from django_electric.upkeep.facts import (
    Facts,
    ServerFacts,
    SlotFacts,
    StorageFacts,
    TableFacts,
)
from django_electric.wakeup import STANDBY_LOCK, WRITER_LOCK, is_locked

_WAL_END = (
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
)
# The role rds_replication stands for the attribute where nobody can have that.
_SERVER = f"""
SELECT current_setting('server_version_num')::int, current_setting('wal_level'), current_user,
       r.rolsuper OR r.rolreplication OR EXISTS (
         SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'MEMBER')),
       to_regclass(%s) IS NOT NULL,
       (SELECT count(*) FROM pg_replication_slots)::int, current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_stat_replication)::int, current_setting('max_wal_senders')::int,
       (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       ({_WAL_END} - '0/0'::pg_lsn)::int8
  FROM pg_roles r WHERE r.rolname = current_user
"""  # noqa: S608  # nothing of anybody is in it
_SLOT = f"""
SELECT slot_name, active, coalesce(wal_status, 'reserved'),
       coalesce({_WAL_END} - restart_lsn, 0)::int8, coalesce({_WAL_END} - confirmed_flush_lsn, 0)::int8,
       coalesce(restart_lsn::text, ''), coalesce(confirmed_flush_lsn::text, '')
  FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()
"""  # noqa: S608  # the same


def examine(settings: ElectricSettings) -> Facts:
    """Everything that the probes want to know. What cannot be asked is a fact, too."""
    facts = Facts(
        alias=settings.alias,
        stream_id=settings.replication_stream_id,
        manual_publishing=settings.manual_table_publishing,
        storage=_storage(settings.root),
    )
    try:
        return _with_database(facts, settings)
    except DatabaseError as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        return replace(facts, unreachable=said[0])


def _storage(root: Path) -> StorageFacts:
    beat = read_heartbeat(root)
    return StorageFacts(
        root=str(root),
        is_writable=is_writable(root),
        is_locked=is_locked(root / WRITER_LOCK),
        has_standby=is_locked(root / STANDBY_LOCK),
        heartbeat=beat,
        heartbeat_age=max(0.0, time.time() - beat.at) if beat is not None else None,
    )


def is_writable(directory: Path) -> bool:
    """Whether files can be made in *directory*, which itself may have to be made."""
    there = next((path for path in (directory, *directory.parents) if path.exists()), directory)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


# --- Postgres -------------------------------------------------------------------------------------


def _with_database(facts: Facts, settings: ElectricSettings) -> Facts:
    with connections[settings.alias].cursor() as cursor:
        server = _server(cursor)
        cursor.execute(_SLOT, [settings.slot_name])
        slot = cursor.fetchone()
    return replace(
        facts,
        server=server,
        slot=SlotFacts(*slot) if slot else None,
        publication=publication_state(_connection(settings.alias), settings),
        tables=_tables(settings, has_catalogue=server.has_catalogue),
        pending_migrations=_pending_migrations(settings.alias),
    )


def _server(cursor: CursorWrapper) -> ServerFacts:
    cursor.execute(_SERVER, [Shape._meta.db_table])
    row = cursor.fetchone()
    assert row is not None, "every role is in pg_roles"
    return ServerFacts(*row)


def _tables(settings: ElectricSettings, *, has_catalogue: bool) -> tuple[TableFacts, ...]:
    """Those of the shapes, and those of registered models that are there."""
    of_shapes = _tables_of_shapes(settings) if has_catalogue else {}
    of_subqueries = _tables_of_subqueries(settings) if has_catalogue else {}
    registered = registered_oids(settings.alias)
    oids = of_shapes.keys() | of_subqueries.keys() | registered
    states = table_states(_connection(settings.alias), settings, oids)
    found = (
        _table(
            oid,
            states.get(oid),
            (of_shapes.get(oid), of_subqueries.get(oid)),
            is_registered=oid in registered,
        )
        for oid in oids
    )
    return tuple(sorted(found, key=lambda table: table.name))


class _Served(NamedTuple):
    """A table as shapes know it, and how many of them."""

    schema: str
    table: str
    shapes: int


def _table(
    oid: int,
    state: TableState | None,
    served: tuple[_Served | None, _Served | None],
    *,
    is_registered: bool,
) -> TableFacts:
    """*served*: by shapes that are on the table, and by those that read it in subqueries."""
    on, by_subquery = served
    known = on or by_subquery or _Served("", "", 0)
    return TableFacts(
        oid=oid,
        schema=state.schema if state is not None else known.schema,
        table=state.name if state is not None else known.table,
        exists=state is not None,
        is_published=state is not None and state.is_published,
        has_full_identity=state is not None and state.has_full_identity,
        shapes=on.shapes if on else 0,
        is_registered=is_registered,
        readers=by_subquery.shapes if by_subquery else 0,
    )


def _shapes(settings: ElectricSettings) -> ShapeQuerySet:
    return Shape.objects.using(settings.alias).filter(stream_id=settings.replication_stream_id)


def _tables_of_shapes(settings: ElectricSettings) -> dict[int, _Served]:
    """By oid, the tables that shapes are on."""
    names = _shapes(settings).order_by().values_list("relation_oid", "schema_name", "table_name")
    return {
        oid: _Served(schema, table, count)
        for oid, schema, table, count in names.annotate(Count("pk"))
    }


def _tables_of_subqueries(settings: ElectricSettings) -> dict[int, _Served]:
    """By oid, the tables that shapes on others read."""
    found: dict[int, _Served] = {}
    for shape in _shapes(settings).with_subqueries():
        for oid, (schema, table) in shape.tables.items():
            if oid != shape.relation_oid:
                before = found.get(oid, _Served(schema, table, 0))
                found[oid] = before._replace(shapes=before.shapes + 1)
    return found


def _connection(alias: str) -> Connection:
    """psycopg's own, below Django's, which is open."""
    return cast(Connection, connections[alias].connection)


def _pending_migrations(alias: str) -> tuple[str, ...]:
    executor = MigrationExecutor(connections[alias])
    label = apps.get_app_config("django_electric").label
    leaves = executor.loader.graph.leaf_nodes(label)
    plan = executor.migration_plan(leaves)
    return tuple(f"{m.app_label}.{m.name}" for m, _ in plan)

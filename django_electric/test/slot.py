"""SlotStream: the writes of a test that commits, from a replication slot that lives as long as the test.

This is what the worker reads: the plugin pgoutput decodes the WAL, through the functions that Postgres has
for it in SQL. The slot is temporary, so that it goes with its connection, whatever becomes of the test. The
publication and the tables' replica identity are put back at the end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import psycopg
from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.pgoutput import Message, decode
from django_electric.postgres.relation import quote_identifier
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.markers import send_marker
from django_electric.replication.publication import (
    check_wal_level,
    ensure_publication,
    statement,
)
from django_electric.replication.tables import publish_table, qualified_name
from django_electric.shapes.definition import ShapeDefinition
from django_electric.test.source import Connection
from django_electric.wakeup.notify import conninfo_of

_CHANGES: Final = """
SELECT data FROM pg_logical_slot_get_binary_changes(
    %s, NULL, NULL, 'proto_version', '1', 'publication_names', %s, 'messages', 'true')
"""
_SNAPSHOT: Final = (
    "SELECT pg_current_snapshot()::text || '@' || (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)"
)
_IDENTITIES: Final = """
SELECT n.nspname, c.relname,
       CASE c.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN (
         SELECT 'USING INDEX ' || quote_ident(i.relname) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
          WHERE x.indrelid = c.oid AND x.indisreplident) END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s)))
   AND c.relreplident <> 'f'
"""
"""Tables and the replica identity to give back to them."""


class SlotStream:
    """What is committed in the database of *settings*, from now on.

    Raises ConfigurationError if ``wal_level`` is not ``logical``, and psycopg's errors: the role needs
    REPLICATION and the ownership of the tables.
    """

    def __init__(self, settings: ElectricSettings) -> None:
        conninfo = conninfo_of(connections[settings.alias].get_connection_params())
        self.connection: Connection = psycopg.connect(conninfo, autocommit=True)
        # Not the worker's: it may run beside the test.
        stream_id = f"test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self._settings = replace(
            settings, replication_stream_id=stream_id, manual_table_publishing=False
        )
        self._identities: dict[str, str] = {}
        try:
            self._open()
        except BaseException:
            self.connection.close()
            raise

    def _open(self) -> None:
        check_wal_level(self.connection)
        self.connection.execute(DISPLAY_SETTINGS)
        # What is committed is in the WAL at once, whatever the server's way: the slot reads no further.
        self.connection.execute("SET synchronous_commit = on")
        ensure_publication(self.connection, self._settings)
        self.connection.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'pgoutput', true)",
            [self._settings.slot_name],
        )

    def watch(self, definition: ShapeDefinition) -> None:
        """Publish the shape's table, and note what that changes."""
        for schema, name, identity in self.connection.execute(
            _IDENTITIES, {"oid": definition.relation_oid}
        ).fetchall():
            self._identities.setdefault(qualified_name(schema, name), identity)
        publish_table(self.connection, self._settings, definition)

    def take(self) -> Sequence[Message]:
        """All transactions that have committed since the last call."""
        send_marker(self.connection)
        settings = self._settings
        rows = self.connection.execute(_CHANGES, [settings.slot_name, settings.publication_name])
        return [decode(bytes(data)) for (data,) in rows.fetchall()]

    @contextmanager
    def snapshot(self) -> Iterator[PgSnapshot]:
        """What has committed."""
        self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield PgSnapshot.parse(self.connection.execute(_SNAPSHOT).fetchall()[0][0])
        finally:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Drop the slot and the publication, and put the tables back."""
        if self.connection.closed:
            return
        # By itself it goes soon after the connection, which may be too late for the next test.
        self.connection.execute("SELECT pg_drop_replication_slot(%s)", [self._settings.slot_name])
        publication = quote_identifier(self._settings.publication_name)
        self.connection.execute(statement(f"DROP PUBLICATION IF EXISTS {publication}"))
        for table, identity in self._identities.items():
            self.connection.execute(
                statement(f"ALTER TABLE IF EXISTS {table} REPLICA IDENTITY {identity}")
            )
        self.connection.close()

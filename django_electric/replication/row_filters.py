"""Row filters in the publication: what no shape of a table wants does not leave Postgres (from 15 on).

That no row of a shape is ever kept away rests on four things:

* A filter is made of the conditions of all shapes that the catalogue has of the table, read in the transaction
  that sets it, under an advisory lock of the table. None is made for a table that a subquery reads.
* A shape is in the catalogue before its snapshot is taken, and before that `tables.publish_table` looks at the
  filter under the same lock. Either the filter was set by one who saw the shape, or the shape finds a
  filter that it does not know, and takes it off.
* Both lock out writers. So no transaction is decoded by two filters, and what was written under a filter that
  did not let a shape's rows through is visible to the shape's snapshot.
* Postgres decodes a change by the filter that was in force when it was made, however late that is. So
  what comes again after a crash comes as it did before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

import psycopg

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.replication import tables
from django_electric.replication.publication import Connection, message_of, statement
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.row_filter import MOST_CLAUSES, row_filter
from django_electric.where import Where, WhereError

logger = logging.getLogger("django_electric.tables")

# Of whatever is special about a table, the filter might concern other tables' rows, or be forbidden.
_FILTERABLE = """
SELECT n.nspname, c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication_rel r ON r.prrelid = c.oid
  JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = %(publication)s
 WHERE c.oid = %(oid)s AND c.relkind = 'r' AND c.relreplident = 'f' AND NOT c.relispartition
   AND r.prattrs IS NULL
   AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
   AND NOT EXISTS (
     SELECT FROM pg_attribute WHERE attrelid = c.oid AND attgenerated <> '' AND NOT attisdropped
   )
"""
MOST_SHAPES = 1_000
"""A table that has more is not filtered, whatever their conditions."""
_CLAUSES = """
WITH found AS (SELECT "where", definition FROM {catalogue} WHERE stream_id = %s AND relation_oid = %s LIMIT %s)
SELECT DISTINCT ON ("where") definition, (SELECT count(*) FROM found) FROM found LIMIT %s
"""
_IS_READ = """
SELECT EXISTS (SELECT FROM {catalogue}
 WHERE stream_id = %s AND definition ? 'reads' AND definition -> 'reads' @> to_jsonb(%s::int8))
"""
"""Whether a subquery of any shape reads a table."""
_REFUSALS = (psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.DataError)
"""What Postgres says of a condition that it does not take in a publication, or of a role that may not alter it."""


class _Filter(NamedTuple):
    """A filter that this worker has set."""

    printed: str
    """By Postgres."""
    clauses: frozenset[str]


class RowFilters:
    """The filters that this worker has set. What it knows of a table changes under the table's lock only."""

    def __init__(self, settings: ElectricSettings) -> None:
        self._settings = settings
        self._set: dict[int, _Filter] = {}
        self._wanted: dict[int, str] = {}
        """At the last look: what is wanted twice is set."""
        self._refused: dict[int, str] = {}

    def admits(self, definition: ShapeDefinition, printed: str) -> bool:
        """Whether the filter that Postgres prints like this lets through what belongs to a shape."""
        known = self._set.get(definition.relation_oid)
        return known is not None and known.printed == printed and definition.where in known.clauses

    def look(self, connection: Connection, oid: int, printed: str) -> None:
        """Filter a table by the conditions of its shapes, if they have been the same at the last look.

        *printed*: the filter that it has, or nothing. The *connection* has the display settings: by them
        constants are read, once and for all, and filters printed. Raises the errors of psycopg.
        """
        wheres = self._wheres(connection, oid)
        wanted, known = row_filter(wheres), self._set.get(oid)
        is_set = known == _Filter(printed, _clauses_of(wheres))
        before = self._wanted.pop(oid, None)
        if wanted is None or is_set or self._refused.get(oid) == wanted:
            return
        if before == wanted:
            self._try_to_set(connection, oid, wanted)
        else:
            self._wanted[oid] = wanted

    def forget(self, oid: int) -> None:
        """The table has no shapes any more. Its filter stays: the next shape takes it off."""
        for known in (self._set, self._wanted, self._refused):
            known.pop(oid, None)

    def _try_to_set(self, connection: Connection, oid: int, wanted: str) -> None:
        try:
            with connection.transaction():
                self._set_filter(connection, oid, wanted)
        except psycopg.errors.LockNotAvailable:
            pass  # somebody writes: another look comes soon
        except _REFUSALS as error:
            self._refused[oid] = wanted
            logger.warning("a table stays without a row filter: %s: %s", message_of(error), wanted)

    def _set_filter(self, connection: Connection, oid: int, wanted: str) -> None:
        """In the transaction under way."""
        settings = self._settings
        tables.lock_publishing(connection, settings, oid, tables.PATIENCE_MS)
        name = self._filterable(connection, oid)
        if name is None:
            return
        tables.lock_table(connection, name, tables.PATIENCE_MS)
        wheres = self._wheres(connection, oid)
        # A shape may have come, or the table have become a partition, before the locks were had.
        if self._filterable(connection, oid) != name or row_filter(wheres) != wanted:
            return
        tables.let_through(connection, settings, name, wanted)
        printed = tables.table_states(connection, settings, [oid])[oid].row_filter
        self._set[oid] = _Filter(printed, _clauses_of(wheres))
        logger.info("the rows of %s are filtered: %s", name, wanted)

    def _filterable(self, connection: Connection, oid: int) -> str | None:
        """The quoted name of a table that may have a filter."""
        found = connection.execute(
            _FILTERABLE, {"publication": self._settings.publication_name, "oid": oid}
        ).fetchone()
        return None if found is None else tables.qualified_name(str(found[0]), str(found[1]))

    def _wheres(self, connection: Connection, oid: int) -> list[Where | None]:
        """The different conditions of a table's shapes; None for one that allows no filter."""
        catalogue = quote_identifier(Shape._meta.db_table)
        query, is_read = (text.format(catalogue=catalogue) for text in (_CLAUSES, _IS_READ))
        stream = self._settings.replication_stream_id
        # Of what a subquery gives every row counts, and it may read its table by another condition tomorrow.
        if connection.execute(statement(is_read), [stream, oid]).fetchone() == (True,):
            return [None]
        rows = connection.execute(
            statement(query), [stream, oid, MOST_SHAPES + 1, MOST_CLAUSES + 1]
        ).fetchall()
        if any(cast(int, count) > MOST_SHAPES for _, count in rows):
            return [None]
        return [_where_of(cast("dict[str, object]", definition)) for definition, _ in rows]


def _where_of(definition: dict[str, object]) -> Where | None:
    try:
        return ShapeDefinition.from_json(definition).parsed_where()
    except (KeyError, TypeError, ValueError, WhereError):  # of another version of the package
        return None


def _clauses_of(wheres: Sequence[Where | None]) -> frozenset[str]:
    return frozenset(where.sql for where in wheres if where is not None)

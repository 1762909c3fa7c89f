"""Capture: the writes of a test's own transaction, by triggers that vanish with it.

Nothing of a transaction that is rolled back ever reaches the replication stream. So triggers note every
row that is written, whoever writes it and how (the ORM, SQL, COPY, a cascade), in a temporary table, in the
order in which it happens. Triggers, table and notes belong to the transaction: a savepoint that is rolled
back takes its notes along, and the end of the test takes everything.

What was noted between two looks is one transaction of the stream: its xid is the one of the test's
transaction, its LSN the place of the WAL at the look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from django.db import connections

from django_electric.catalogue import find_relation_by_oid
from django_electric.postgres.display import FUNCTION_DISPLAY_SETTINGS, LOCAL_DISPLAY_SETTINGS
from django_electric.postgres.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    RelationColumn,
    RelationMessage,
    Row,
    Truncate,
    Update,
)
from django_electric.postgres.relation import Relation
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.publication import statement
from django_electric.replication.tables import qualified_name
from django_electric.shapes.definition import ShapeDefinition
from django_electric.test.records import read_record
from django_electric.test.source import Connection

_ROWS: Final = '"!electric_rows"'
"""Triggers of one event fire in the order of their names: ours before all others, and before the cascades."""
_TRUNCATES: Final = '"!electric_truncates"'

_MAKE: Final = f"""
CREATE TEMPORARY TABLE electric_test_notes (
    at bigint GENERATED ALWAYS AS IDENTITY, oid oid, operation text, old text, new text
) ON COMMIT DROP;
CREATE FUNCTION pg_temp.electric_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
{FUNCTION_DISPLAY_SETTINGS} AS $$
BEGIN
    INSERT INTO pg_temp.electric_test_notes (oid, operation, old, new)
    VALUES (TG_RELID, TG_OP, OLD::pg_catalog.text, NEW::pg_catalog.text);
    RETURN NULL;
END $$;
"""  # noqa: S608  # text of ours
"""The function runs as who made it: a test may go on under another role."""

_TREE: Final = """
SELECT n.nspname, c.relname, c.oid = %(oid)s,
       r.oid IS NOT NULL, coalesce(r.tgparentid = 0, false), t.oid IS NOT NULL
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_trigger r ON r.tgrelid = c.oid AND r.tgname = '!electric_rows'
  LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = '!electric_truncates'
 WHERE c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s))
 ORDER BY c.oid = %(oid)s
"""
"""The table and what is below it, itself last."""
_STATE: Final = """
SELECT to_regclass('pg_temp.electric_test_notes') IS NOT NULL,
       ARRAY(SELECT tgrelid::int8 FROM pg_trigger WHERE tgname = '!electric_truncates')
"""
_POSITION: Final = "SELECT pg_current_xact_id()::text, (pg_current_wal_insert_lsn() - '0/0')::int8"
_SNAPSHOT: Final = """
SELECT pg_current_snapshot()::text || '@' || (pg_current_wal_insert_lsn() - '0/0'),
       pg_current_xact_id_if_assigned()::text
"""
_XID: Final = 0xFFFFFFFF
"""The stream's transaction ids have 32 bits."""
_APART: Final = 1024
"""Between two transactions there has to be room for what logs tell of their own: in the WAL the record of a
commit is in between."""


Note = tuple[int, str, str | None, str | None]
"""Table, operation, old row, new row."""


class _Table(NamedTuple):
    """A table, and which of our triggers it has."""

    schema: str
    name: str
    is_root: bool
    has_rows: bool
    has_rows_of_its_own: bool
    """Not one that was cloned from a table above it."""
    has_truncates: bool

    def missing(self) -> Iterator[str]:
        """The statements that make the triggers complete."""
        table = qualified_name(self.schema, self.name)
        if not self.has_truncates:
            yield _trigger(_TRUNCATES, "TRUNCATE", table, "STATEMENT")
        if self.is_root and not self.has_rows:
            yield _trigger(_ROWS, "INSERT OR UPDATE OR DELETE", table, "ROW")
        if not self.is_root and self.has_rows_of_its_own:
            # That of the root is cloned to it, but not beside one of the same name.
            yield f"DROP TRIGGER {_ROWS} ON {table}"


class Capture:
    """The changes of the test's transaction on the connection to *alias*."""

    def __init__(self, alias: str) -> None:
        self._wrapper = connections[alias]
        self._watched: set[int] = set()
        self._last = 0
        """``at`` of the last note that was taken."""
        self._taken = 0
        """How many notes were taken: fewer are there if a savepoint was rolled back since."""
        self._tx = 0
        self._layouts: dict[int, RelationMessage] = {}

    @property
    def connection(self) -> Connection:
        self._wrapper.ensure_connection()
        connection: Connection = self._wrapper.connection
        return connection

    def watch(self, definition: ShapeDefinition) -> None:
        """Put triggers on the shape's table and its partitions, unless they are there."""
        connection = self.connection
        if not self._state(connection)[0]:
            connection.execute(statement(_MAKE))
        oid = definition.relation_oid
        for row in connection.execute(_TREE, {"oid": oid}).fetchall():
            for missing in _Table(*row).missing():
                connection.execute(statement(missing))
        self._watched.add(oid)

    def take(self) -> Sequence[Message] | None:
        """One transaction with what was noted since the last call, or nothing."""
        connection = self.connection
        if not self._watched:
            return ()
        messages = None if self._is_undone(connection) else self._news(connection)
        if messages is None:
            self._begin_anew(connection)
        return messages

    def _begin_anew(self, connection: Connection) -> None:
        """All shapes get their first rows again, in which everything is that was noted so far."""
        self._watched, self._last, self._taken = set(), 0, 0
        if self._state(connection)[0]:
            noted = "SELECT coalesce(max(at), 0), count(*) FROM pg_temp.electric_test_notes"
            ((self._last, self._taken),) = connection.execute(noted).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[PgSnapshot]:
        """What the test's transaction sees, in a savepoint that is rolled back."""
        connection = self.connection
        with aside(connection):
            connection.execute(LOCAL_DISPLAY_SETTINGS)
            text, own = connection.execute(_SNAPSHOT).fetchall()[0]
            yield _without(own, PgSnapshot.parse(text))

    def close(self) -> None:
        """The end of the test's transaction undoes everything."""

    def _state(self, connection: Connection) -> tuple[bool, list[int]]:
        """Whether notes are taken, and on which tables."""
        is_made, tables = connection.execute(_STATE).fetchall()[0]
        return is_made, tables

    def _is_undone(self, connection: Connection) -> bool:
        is_made, tables = self._state(connection)
        if not is_made or not self._watched <= set(tables):
            return True
        count = "SELECT count(*) FROM pg_temp.electric_test_notes WHERE at <= %s"
        return bool(connection.execute(count, [self._last]).fetchall()[0][0] < self._taken)

    def _news(self, connection: Connection) -> Sequence[Message] | None:
        notes = connection.execute(
            "SELECT at, oid::int8, operation, old, new FROM pg_temp.electric_test_notes"
            " WHERE at > %s ORDER BY at",
            [self._last],
        ).fetchall()
        if not notes:
            return ()
        self._last = notes[-1][0]
        self._taken += len(notes)
        xid, lsn = connection.execute(_POSITION).fetchall()[0]
        self._tx = max(self._tx + _APART, lsn)
        changes = self._changes(connection, [note[1:] for note in notes])
        if changes is None:
            return None
        return [Begin(self._tx, int(xid) & _XID), *changes, Commit(self._tx, self._tx)]

    def _changes(self, connection: Connection, notes: Sequence[Note]) -> list[Message] | None:
        """The notes as messages, new layouts before them; None if rows fit to no layout that is known."""
        cursor = connection.cursor()
        found = {oid: find_relation_by_oid(cursor, oid) for oid in {note[0] for note in notes}}
        relations = {oid: relation for oid, relation in found.items() if relation is not None}
        messages: list[Message] = []
        for relation in relations.values():
            messages += self._described(relation)
        # Of a table that is gone nobody hears.
        for note in (note for note in notes if note[0] in relations):
            change = _change(relations[note[0]], note)
            if change is None:
                return None
            messages.append(change)
        return messages

    def _described(self, relation: Relation) -> Iterator[Message]:
        """The layout of the table's rows, if it is another one than before."""
        described = _description(relation)
        if self._layouts.get(relation.oid) != described:
            self._layouts[relation.oid] = described
            yield described


def _trigger(name: str, events: str, table: str, each: str) -> str:
    return (
        f"CREATE TRIGGER {name} AFTER {events} ON {table}"
        f" FOR EACH {each} EXECUTE FUNCTION pg_temp.electric_note()"
    )


def _description(relation: Relation) -> RelationMessage:
    """As the stream would describe the table."""
    return RelationMessage(
        relation.oid,
        relation.schema,
        relation.name,
        "f",
        tuple(
            RelationColumn(c.name, c.type_oid, c.type_modifier, is_key=True)
            for c in relation.columns
            if not c.is_generated
        ),
    )


def _change(relation: Relation, note: Note) -> Message | None:
    """As the stream would tell it; None if the table has other columns by now."""
    oid, operation, old, new = note
    if operation == "TRUNCATE":
        return Truncate((oid,))
    before, after = (_row(relation, text) for text in (old, new))
    if operation == "INSERT":
        return None if after is None else Insert(oid, after)
    if operation == "DELETE":
        return None if before is None else Delete(oid, before)
    return None if before is None or after is None else Update(oid, before, after)


def _row(relation: Relation, text: str | None) -> Row | None:
    """The values that the stream carries, which are not those of generated columns."""
    values = read_record(text or "()")
    if len(values) != len(relation.columns):
        return None
    return tuple(
        value
        for column, value in zip(relation.columns, values, strict=True)
        if not column.is_generated
    )


def _without(own: str | None, snapshot: PgSnapshot) -> PgSnapshot:
    """*snapshot*, as it would be taken beside the transaction *own*: clients compare the log with it, and
    what the test writes next will bear the same id as what it has written."""
    return snapshot if own is None else replace(snapshot, xip=snapshot.xip | {int(own)})


@contextmanager
def aside(connection: Connection) -> Iterator[None]:
    """Whatever is set, or fails, inside leaves no trace in the transaction under way."""
    connection.execute("SAVEPOINT electric_aside")
    try:
        yield
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT electric_aside")
        connection.execute("RELEASE SAVEPOINT electric_aside")

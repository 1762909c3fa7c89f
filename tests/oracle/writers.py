"""Writers: random transactions, from several sessions at once, that leave nothing to convention.

Keys change, keys are swapped, rows appear and vanish in one transaction, savepoints and whole
transactions are rolled back, updates change nothing, values are too large for their page.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

import psycopg

from tests.oracle.clauses import quote
from tests.oracle.tables import BARE, ISSUES, TABLES, Column, Table
from tests.support.server import ElectricServer

_RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation)


class Writer:
    """One session's random transactions. The same seed gives the same statements."""

    def __init__(self, names: Mapping[str, str], seed: int, *, large: int = 1500) -> None:
        self._names = names
        self._random = random.Random(seed)
        self._large = large

    def transaction(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """One transaction, or several small ones."""
        chance = self._random
        kind = chance.choices(
            ["single", "several", "rollback", "savepoints", "large"], [5, 6, 1, 3, 1]
        )[0]
        if kind == "single":
            self._execute(connection, self.statement())
            return
        try:
            with connection.transaction():
                self._fill(connection, kind)
                if kind == "rollback":
                    raise psycopg.Rollback
        except _RETRIED:
            pass  # two sessions met: nothing of it happened

    def _fill(self, connection: psycopg.Connection[tuple[object, ...]], kind: str) -> None:
        chance = self._random
        if kind == "large":
            for statement in self._large_statements():
                connection.execute(statement)  # type: ignore[call-overload]
            return
        for _ in range(chance.randint(1, 8)):
            if kind == "savepoints":
                with connection.transaction():
                    connection.execute(self.statement())  # type: ignore[call-overload]
                    if chance.random() < 0.4:
                        raise psycopg.Rollback
            else:
                connection.execute(self.statement())  # type: ignore[call-overload]

    def _execute(self, connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
        try:
            connection.execute(statement)  # type: ignore[call-overload]
        except _RETRIED:
            pass

    def statement(self) -> str:
        """One statement."""
        table = self._random.choice((ISSUES, ISSUES, *TABLES))
        name = self._names[table.name]
        kind = self._random.choices(
            [
                self._insert,
                self._update,
                self._rekey,
                self._delete,
                self._touch,
                self._replace,
                self._swap,
            ],
            [8, 8, 3, 3, 1, 1, 1],
        )[0]
        return kind(table, name)

    def value(self, column: Column) -> str:
        """A literal of the column's type; bodies are now and then too large to stay in their row."""
        if column.name == "body" and self._random.random() < 0.2:
            return quote(self._random.randbytes(6000).hex())
        value = self._random.choice(column.pool)
        if value is None:
            return "NULL"
        return f"{quote(value)}::{column.sql_type}"

    def _key(self, table: Table) -> tuple[str, ...]:
        columns = (table.column(name) for name in table.key)
        return tuple(f"{quote(self._random.choice(c.literals))}::{c.sql_type}" for c in columns)

    def _is(self, table: Table, key: tuple[str, ...]) -> str:
        return " AND ".join(f"{name} = {value}" for name, value in zip(table.key, key, strict=True))

    def _insert(self, table: Table, name: str) -> str:
        key = self._key(table)
        columns = ", ".join((*table.key, *(c.name for c in table.payload)))
        values = ", ".join((*key, *(self.value(c) for c in table.payload)))
        return (
            f"INSERT INTO {name} ({columns}) SELECT {values} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {self._is(table, key)})"
        )

    def _update(self, table: Table, name: str) -> str:
        chosen = self._random.sample(
            table.payload, self._random.randint(1, min(3, len(table.payload)))
        )
        changes = ", ".join(f"{c.name} = {self.value(c)}" for c in chosen)
        return f"UPDATE {name} SET {changes} WHERE {self._some(table)}"

    def _some(self, table: Table) -> str:
        return " OR ".join(
            f"({self._is(table, self._key(table))})"
            for _ in range(self._random.choice((1, 1, 1, 5)))
        )

    def _rekey(self, table: Table, name: str) -> str:
        old, new = self._key(table), self._key(table)
        changes = ", ".join(f"{n} = {value}" for n, value in zip(table.key, new, strict=True))
        more = self._random.choice(table.payload)
        if self._random.random() < 0.5:
            changes += f", {more.name} = {self.value(more)}"
        return (
            f"UPDATE {name} SET {changes} WHERE {self._is(table, old)} "
            f"AND NOT EXISTS (SELECT 1 FROM {name} WHERE {self._is(table, new)})"
        )

    def _delete(self, table: Table, name: str) -> str:
        return f"DELETE FROM {name} WHERE {self._some(table)}"

    def _touch(self, table: Table, name: str) -> str:
        """An update that changes nothing."""
        column = self._random.choice(table.columns).name
        return f"UPDATE {name} SET {column} = {column} WHERE {self._some(table)}"

    def _replace(self, table: Table, name: str) -> str:
        """The same key goes and comes in one transaction."""
        key = self._key(table)
        columns = ", ".join((*table.key, *(c.name for c in table.payload)))
        values = ", ".join((*key, *(self.value(c) for c in table.payload)))
        return (
            f"DO $body$ BEGIN DELETE FROM {name} WHERE {self._is(table, key)}; "
            f"INSERT INTO {name} ({columns}) VALUES ({values}); END $body$"
        )

    def _swap(self, table: Table, name: str) -> str:
        """Two rows of the first table change their keys, by way of a third key."""
        one, two = self._random.sample(range(1, 61), 2)
        name = self._names["issues"]
        return (
            f"DO $body$ BEGIN UPDATE {name} SET id = -{one} WHERE id = {one}; "
            f"UPDATE {name} SET id = {one} WHERE id = {two}; "
            f"UPDATE {name} SET id = {two} WHERE id = -{one}; END $body$"
        )

    def _large_statements(self) -> list[str]:
        """Many rows, beyond what the others use as keys; some of them stay."""
        name, bare, n = self._names["issues"], self._names["bare"], self._large
        start = self._random.randint(1, 50) * 100_000
        values = ", ".join(self.value(c) for c in ISSUES.payload if c.name not in ("n", "body"))
        columns = ", ".join(c.name for c in ISSUES.payload if c.name not in ("n", "body"))
        return [
            f"INSERT INTO {name} (id, n, {columns}) SELECT i, i % 4, {values} "
            f"FROM generate_series({start}, {start + n}) i ON CONFLICT DO NOTHING",
            f"UPDATE {name} SET n = n + 1 WHERE id > 1000 AND id % 3 = 0",
            f"UPDATE {name} SET id = id + 7000000 WHERE id BETWEEN {start} AND {start + 20} AND NOT EXISTS "
            f"(SELECT 1 FROM {name} other WHERE other.id = {name}.id + 7000000)",
            f"INSERT INTO {bare} (k, note) SELECT i, {self.value(BARE.column('note'))} "
            f"FROM generate_series({start}, {start + 50}) i WHERE NOT EXISTS (SELECT 1 FROM {bare} WHERE k = i)",
            f"DELETE FROM {name} WHERE id > 1000 AND id % 10 <> 0",
            f"DELETE FROM {bare} WHERE k > 1000 AND k % 10 <> 0",
        ]


class Writers:
    """Some sessions that write until they are stopped, or so many transactions each."""

    def __init__(
        self, server: ElectricServer, names: Mapping[str, str], seed: int, *, sessions: int = 2
    ) -> None:
        self._server = server
        self._writers = [Writer(names, seed * 1000 + i) for i in range(sessions)]
        self._errors: list[BaseException] = []

    def write(self, transactions: int) -> None:
        """Each session commits so many transactions, all at the same time."""
        threads = self.start(transactions)
        self.finish(threads)

    def start(self, transactions: int) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._work, args=(writer, transactions), daemon=True)
            for writer in self._writers
        ]
        for thread in threads:
            thread.start()
        return threads

    def finish(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a writer hangs"
        if self._errors:
            raise self._errors[0]

    def _work(self, writer: Writer, transactions: int) -> None:
        try:
            with self._server.connect() as connection:
                connection.execute("SET deadlock_timeout = '50ms'")
                for _ in range(transactions):
                    writer.transaction(connection)
        except BaseException as error:
            self._errors.append(error)

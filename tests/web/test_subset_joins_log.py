"""A client that joins subsets with the log by the rule of PROTOCOL section 11.2 ends with what Postgres has.

Sessions write at random, and keep transactions open, while the clients ask for subsets between two looks at
the log.
"""

from __future__ import annotations

import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from django_electric.postgres.xid import PgSnapshot, precedes
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

KEYS = 24
TRANSACTIONS = 60
"""Of each writer."""


class Joiner:
    """A client of a shape with ``log=changes_only``: it has only what it asked for, and what changed since."""

    def __init__(self, http: httpx.Client, table: str, offset: str) -> None:
        self.query = {"table": table, "log": "changes_only", "replica": "full"}
        self.offset = offset
        self.handle = ""
        self.rows: dict[str, dict[str, Any]] = {}
        self.snapshots: list[tuple[PgSnapshot, set[str]]] = []
        self.seen_lsn = -1
        self.passed_over = 0
        self.http = http

    def ask(self, where: str = "") -> None:
        """Take the rows of a subset over, and follow the log from where the answer says."""
        answer = self._get({"subset__where": where})
        metadata, data = answer.json()["metadata"], answer.json()["data"]
        running = frozenset(map(int, metadata["xip_list"]))
        lsn = int(metadata["database_lsn"])
        snapshot = PgSnapshot(int(metadata["xmin"]), int(metadata["xmax"]), running, lsn)
        self.snapshots.append((snapshot, {row["key"] for row in data}))
        self.rows.update({row["key"]: row["value"] for row in data})

    def follow(self) -> None:
        """One look at the log."""
        for message in self._get({}).json():
            headers = message["headers"]
            if headers.get("control") == "up-to-date":
                self.seen_lsn = int(headers["global_last_seen_lsn"])
                self.snapshots = [s for s in self.snapshots if (s[0].wal_lsn or 0) > self.seen_lsn]
            elif "operation" in headers:
                self._take(message)

    def _get(self, more: dict[str, str]) -> httpx.Response:
        query = {**self.query, "offset": self.offset, "handle": self.handle, **more}
        answer = self.http.get("/v1/shape", params=query)
        assert answer.status_code == 200, answer.text
        self.offset = answer.headers["electric-offset"]
        self.handle = answer.headers["electric-handle"]
        return answer

    def _take(self, message: dict[str, Any]) -> None:
        key, headers = message["key"], message["headers"]
        (xid,) = headers["txids"]
        for snapshot, _ in self.snapshots:
            assert int(headers["lsn"]) < (snapshot.wal_lsn or 0) or not snapshot.sees(xid), (
                "the LSN of a snapshot lies before a transaction that it sees"
            )
        self.snapshots = [s for s in self.snapshots if precedes(xid, s[0].xmax % (1 << 32))]
        if any(key in keys and snapshot.sees(xid) for snapshot, keys in self.snapshots):
            self.passed_over += 1
        elif headers["operation"] == "delete":
            self.rows.pop(key, None)
        else:
            self.rows[key] = message["value"]


def write(dsn: str, table: str, seed: int) -> None:
    """Random transactions on a few rows, some of which stay open for a while."""
    chance = random.Random(seed)
    with psycopg.connect(dsn) as connection:
        for _ in range(TRANSACTIONS):
            # In the order of the keys: two writers never wait for each other in a circle.
            for key in sorted(chance.sample(range(KEYS), chance.randint(1, 3))):
                statement = chance.choice(
                    [
                        f"INSERT INTO {table} VALUES ({key}, 0) ON CONFLICT (id) DO UPDATE SET n = {table}.n + 1",
                        f"UPDATE {table} SET n = n + 1 WHERE id = {key}",
                        f"DELETE FROM {table} WHERE id = {key}",
                    ]
                )
                connection.execute(statement)  # type: ignore[call-overload]
                connection.execute("SELECT pg_sleep(%s)", [chance.choice([0, 0, 0.01])])
            connection.commit() if chance.randrange(8) else connection.rollback()


def read(joiner: Joiner, seed: int, writers_are_done: threading.Event) -> None:
    chance = random.Random(seed)
    joiner.ask()
    while not writers_are_done.is_set():
        if chance.randrange(3):
            joiner.follow()
        else:
            low = chance.randrange(KEYS)
            joiner.ask(chance.choice(["", f"id >= {low}", f"n > {low}"]))


def commit_last(server: ElectricServer, table: str) -> int:
    """Commit one more row; an LSN that all others were committed before, and this one not."""
    with server.connect() as connection, connection.transaction():
        connection.execute(f"INSERT INTO {table} VALUES (1000, 0)")  # type: ignore[call-overload]
        found = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8")
        ((lsn,),) = found.fetchall()
        return int(str(lsn))


@pytest.mark.parametrize("offset", ["-1", "now"])
def test_a_client_ends_with_what_postgres_has(server: ElectricServer, offset: str) -> None:
    table = f"joined_{uuid.uuid4().hex[:8]}"
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, n int NOT NULL)",
        f"INSERT INTO {table} SELECT i, 0 FROM generate_series(0, {KEYS - 1}, 2) i",
    )
    writers_are_done = threading.Event()
    with httpx.Client(base_url=server.url, timeout=30) as http, ThreadPoolExecutor(6) as pool:
        joiners = [Joiner(http, table, offset) for _ in range(3)]
        writers = [pool.submit(write, server.dsn, table, seed) for seed in range(3)]
        readers = [pool.submit(read, j, seed, writers_are_done) for seed, j in enumerate(joiners)]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            writers_are_done.set()
        for reader in readers:
            reader.result(60)
        lsn = commit_last(server, table)
        expected = {(str(i), str(n)) for i, n in server.query(f"SELECT id, n FROM {table}")}
        for joiner in joiners:
            eventually(lambda j=joiner: j.follow() or j.seen_lsn >= lsn, f"the client sees {lsn}")  # type: ignore[misc]
            assert {(row["id"], row["n"]) for row in joiner.rows.values()} == expected
    assert sum(joiner.passed_over for joiner in joiners), "the rule was never needed"

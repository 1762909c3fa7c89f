"""The oracle is Postgres, for conditions with subqueries: the vectors, and whatever sessions write at random.

A follower applies moves as PROTOCOL section 12.3 says, and must hold what the SELECT gives, whether its rows
were there at first, moved in, or were written. It never has to begin anew.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.oracle.clauses import quote
from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

_FILE = Path(__file__).parent.parent / "data" / "subquery_vectors.jsonl"
VECTORS = [json.loads(line) for line in _FILE.read_text().splitlines()]
REFUSED = {"electric_rejects"}
"""Classes whose expressions we may refuse, as the original does."""
_NUMBERS = count(1)


class Tables:
    """The tables of a vector, under names of its own."""

    def __init__(self, server: ElectricServer, vector: dict[str, Any]) -> None:
        self._server = server
        self.schema = f"sub_{os.getpid()}_{next(_NUMBERS)}"
        self.server_sql = [f"CREATE SCHEMA {self.schema}", f"SET search_path = {self.schema}"]
        for name, described in vector.get("enums", {}).items():
            labels = ", ".join(f"'{label}'" for label in described)
            self.server_sql.append(f"CREATE TYPE {name} AS ENUM ({labels})")
        if any("mood" in table["columns"].values() for table in vector["tables"].values()):
            self.server_sql.append("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        for name, table in vector["tables"].items():
            columns = ", ".join(f'"{c}" {kind}' for c, kind in table["columns"].items())
            key = f", PRIMARY KEY ({', '.join(table['pk'])})" if table["pk"] else ""
            self.server_sql.append(f"CREATE TABLE {name} ({columns}{key})")
            for row in table["rows"]:
                values = ", ".join("NULL" if v is None else quote(v) for v in row)
                self.server_sql.append(f"INSERT INTO {name} VALUES ({values})")
        self.names = list(vector["tables"])

    def execute(self, *statements: str) -> None:
        with self._server.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}")  # type: ignore[arg-type]
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)  # type: ignore[call-overload]

    def create(self) -> None:
        with self._server.connect() as connection:
            for statement in self.server_sql:
                connection.execute(statement)  # type: ignore[call-overload]

    def drop(self) -> None:
        self._server.sql(f"DROP SCHEMA {self.schema} CASCADE")

    def qualified(self, where: str) -> str:
        """The tables of subqueries by their whole names."""
        for name in self.names:
            for word in ("FROM", "FROM ONLY", "JOIN", "TABLE"):
                where = where.replace(f"{word} {name}", f"{word} {self.schema}.{name}")
        return where


def _query(vector: dict[str, Any], tables: Tables) -> dict[str, str]:
    params = {f"params[{n}]": value for n, value in vector.get("params", {}).items()}
    where = tables.qualified(vector["where"])
    return {"table": f"{tables.schema}.{vector['root']}", "where": where, **params}


class Played:
    """A vector, and what went wrong with it."""

    def __init__(self, followers: Followers, client: httpx.Client, vector: dict[str, Any]) -> None:
        self.vector = vector
        self.tables = Tables(followers.server, vector)
        self.tables.create()
        self.fault = ""
        self.follower: Follower | None = None
        query = _query(vector, self.tables)
        if "error" in vector or vector["class"] in REFUSED:
            status = client.get("/v1/shape", params={**query, "offset": "-1"}).status_code
            if status == 400:
                return
            if "error" in vector:
                self.fault = f"it is not refused: {status}"
                return
        is_truncated = any("TRUNCATE" in step["sql"] for step in vector["steps"])
        self.follower = followers.follow(may_refetch=is_truncated, **query)

    def check(self, followers: Followers, lsn: int, expected: list[str]) -> None:
        """What the follower holds once the server says that it is complete up to *lsn*."""
        if self.follower is None or self.fault:
            return
        try:
            followers.settle_one(self.follower, lsn)
            key = self.vector["tables"][self.vector["root"]]["pk"]
            held = ["/".join(str(row[name]) for name in key) for row in self.follower.rows.values()]
            assert sorted(held) == sorted(map(str, expected))
        except AssertionError as error:
            self.fault = repr(error)


@pytest.fixture(scope="module")
def played(oracle_server: ElectricServer) -> Iterator[dict[str, str]]:
    """All vectors, step by step at the same time; what went wrong with each."""
    with Followers(oracle_server) as followers:
        followers.make_marks()
        with httpx.Client(base_url=oracle_server.url) as client:
            vectors = [Played(followers, client, vector) for vector in VECTORS]
        lsn = followers.mark()
        for one in vectors:
            one.check(followers, lsn, one.vector.get("initial", []))
        for at in range(max(len(one.vector.get("steps", ())) for one in vectors)):
            now = [one for one in vectors if one.follower and at < len(one.vector["steps"])]
            for one in now:
                one.tables.execute(one.vector["steps"][at]["sql"])
            lsn = followers.mark()
            for one in now:
                one.check(followers, lsn, one.vector["steps"][at]["expect"])
        yield {one.vector["id"]: one.fault for one in vectors}
        for one in vectors:
            one.tables.drop()


@pytest.mark.xdist_group("subquery-vectors")
@pytest.mark.parametrize("vector", [vector["id"] for vector in VECTORS])
def test_vectors(played: dict[str, str], vector: str) -> None:
    assert not played[vector]


# --- At random ----------------------------------------------------------------------------------------

_CREATE = (
    "CREATE TABLE {parent} (id int PRIMARY KEY, v int, yes bool NOT NULL)",
    "CREATE TABLE {child} (id int PRIMARY KEY, p int, q int, n int, t text)",
    "CREATE TABLE {grand} (id int PRIMARY KEY, child int, w numeric)",
)
CLAUSES = (
    "p IN (SELECT id FROM {parent} WHERE yes)",
    "p NOT IN (SELECT id FROM {parent} WHERE yes)",
    "p IN (SELECT v FROM {parent} WHERE yes) AND n > 3",
    "p IN (SELECT id FROM {parent} WHERE yes) OR n > 7",
    "p IN (SELECT id FROM {parent} WHERE yes) OR q IN (SELECT id FROM {parent} WHERE yes)",
    "NOT (p IN (SELECT id FROM {parent} WHERE yes) AND n > 3)",
    "p NOT IN (SELECT id FROM {parent} WHERE yes) AND q IN (SELECT id FROM {parent} WHERE v > 3)",
    "(p, q) IN (SELECT id, v FROM {parent})",
    "id IN (SELECT child FROM {grand} WHERE w > 1.5)",
    "p IN (SELECT id FROM {parent} WHERE v IN (SELECT id FROM {child} WHERE n > 5))",
    "p IN (SELECT id FROM {parent} WHERE id NOT IN (SELECT v FROM {parent} WHERE v > 4)) AND t LIKE 'a%'",
    "p NOT IN (SELECT v FROM {parent} WHERE yes)",
)


class Session:
    """One session's random transactions."""

    def __init__(self, names: dict[str, str], seed: int) -> None:
        self.names = names
        self.chance = random.Random(seed)

    def _number(self, most: int = 12) -> str:
        return "NULL" if self.chance.random() < 0.1 else str(self.chance.randint(1, most))

    def statement(self) -> str:
        chance, names = self.chance, self.names
        child, parent, grand = names["child"], names["parent"], names["grand"]
        key = chance.randint(1, 12)
        return chance.choice(
            (
                f"INSERT INTO {child} VALUES ({key + 12 * chance.randint(0, 4)}, {self._number()}, {self._number()},"
                f" {self._number()}, '{chance.choice('ab')}') ON CONFLICT (id) DO UPDATE SET p = excluded.p,"
                " q = excluded.q, n = excluded.n",
                f"UPDATE {child} SET p = {self._number()} WHERE id % 12 = {key}",
                f"UPDATE {child} SET n = {self._number()}, t = '{chance.choice('ab')}' WHERE p = {key}",
                f"DELETE FROM {child} WHERE id % 30 = {key}",
                f"UPDATE {child} SET id = -id WHERE id = {key}",
                f"INSERT INTO {parent} VALUES ({key}, {self._number()}, {chance.choice(('true', 'false'))})"
                " ON CONFLICT (id) DO UPDATE SET v = excluded.v, yes = excluded.yes",
                f"UPDATE {parent} SET yes = NOT yes WHERE id = {key}",
                f"UPDATE {parent} SET yes = NOT yes WHERE id % 3 = {key % 3}",
                f"DELETE FROM {parent} WHERE id = {key}",
                f"INSERT INTO {grand} VALUES ({key}, {self._number(40)}, {chance.choice(('1.5', '1.50', '2', '2.00'))})"
                " ON CONFLICT (id) DO UPDATE SET child = excluded.child, w = excluded.w",
                f"DELETE FROM {grand} WHERE id = {key}",
            )
        )

    def run(self, server: ElectricServer, transactions: int, errors: list[BaseException]) -> None:
        try:
            with server.connect() as connection:
                connection.execute("SET deadlock_timeout = '50ms'")
                for _ in range(transactions):
                    try:
                        with connection.transaction():
                            for _ in range(self.chance.choice((1, 1, 2, 5))):
                                connection.execute(self.statement())  # type: ignore[call-overload]
                    except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                        pass  # two sessions met: nothing of it happened
        except BaseException as error:
            errors.append(error)


@pytest.mark.parametrize("seed", range(3))
def test_random_transactions(oracle_server: ElectricServer, seed: int) -> None:
    check_random(oracle_server, seed, rounds=3, transactions=60)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_random_transactions_for_long(oracle_server: ElectricServer, seed: int) -> None:
    check_random(oracle_server, seed, rounds=10, transactions=200)


def check_random(server: ElectricServer, seed: int, *, rounds: int, transactions: int) -> None:
    number = f"{os.getpid()}_{next(_NUMBERS)}"
    names = {name: f"sub_{name}_{number}" for name in ("parent", "child", "grand")}
    server.sql(*(statement.format(**names) for statement in _CREATE))
    errors: list[BaseException] = []
    Session(names, seed).run(server, 50, errors)
    try:
        with Followers(server) as followers:
            followers.make_marks()
            clauses = [clause.format(**names) for clause in CLAUSES]
            for at in range(rounds):
                sessions = [Session(names, seed * 1000 + at * 10 + n) for n in range(2)]
                threads = [
                    threading.Thread(target=s.run, args=(server, transactions, errors))
                    for s in sessions
                ]
                for thread in threads:
                    thread.start()
                if at < 2:
                    # Some begin while sessions write.
                    for clause in clauses[at::2]:
                        followers.follow(table=names["child"], where=clause)
                for thread in threads:
                    thread.join(120)
                assert not errors, errors
                followers.settle()
    except BaseException:
        print(f"seed {seed}\n{server.logs()}")
        raise
    finally:
        server.sql(f"DROP TABLE {', '.join(names.values())}")

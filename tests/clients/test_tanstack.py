"""@tanstack/electric-db-collection: its three modes of sync, and writes that wait for their own transaction."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import psycopg.sql
import pytest

from tests.clients.test_clients import rows
from tests.support.node import NodeProcess
from tests.support.server import ElectricServer
from tests.support.waiting import eventually
from tests.support.write_api import WriteApi

pytestmark = [pytest.mark.client, pytest.mark.slow]

COLUMNS = ("id", "title", "project", "weight", "done")


@pytest.fixture
def issues(server: ElectricServer) -> str:
    """A table of 60 rows with small keys, as the collection wants them."""
    name = f"tanstack_{os.urandom(5).hex()}"
    server.sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, title text NOT NULL, project int, weight float8, "
        "done boolean NOT NULL DEFAULT false)",
        f"INSERT INTO {name} SELECT g, 'issue ' || g, g % 6, g / 4.0 FROM generate_series(1, 60) g",
    )
    return name


def wanted(server: ElectricServer, table: str, where: str = "true") -> list[dict[str, str | None]]:
    return rows(server, table, where, COLUMNS)


def writer(server: ElectricServer, table: str) -> Callable[[dict[str, str], bytes], Any]:
    """Runs a collection's mutations in one transaction, and says which one that was."""
    name = psycopg.sql.Identifier(table)

    def statement(mutation: dict[str, Any]) -> tuple[psycopg.sql.Composed, list[Any]]:
        if mutation["type"] == "delete":
            return psycopg.sql.SQL("DELETE FROM {} WHERE id = %s").format(name), [mutation["id"]]
        values = mutation["modified"] if mutation["type"] == "insert" else mutation["changes"]
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
        marks = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(values))
        if mutation["type"] == "insert":
            text = psycopg.sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(name, names, marks)
            return text, list(values.values())
        text = psycopg.sql.SQL("UPDATE {} SET ({}) = ROW({}) WHERE id = %s")
        return text.format(name, names, marks), [*values.values(), mutation["id"]]

    def write(_: dict[str, str], body: bytes) -> dict[str, int]:
        with server.connect() as connection, connection.transaction():
            for mutation in json.loads(body):
                connection.execute(*statement(mutation))
            found = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
        assert found
        return {"txid": int(str(found[0]))}

    return write


class Collections:
    """A node process with collections of one table."""

    def __init__(
        self, node: NodeProcess, server: ElectricServer, table: str, api: WriteApi
    ) -> None:
        self.node = node
        self._where = {
            "url": f"{server.url}/v1/shape",
            "table": table,
            "writes": f"{api.url}/write",
        }
        api.handlers["/write"] = writer(server, table)

    def collect(self, mode: str, **options: object) -> None:
        self.node.call("collect", name="issues", syncMode=mode, **self._where, **options)

    def query(self, name: str, **conditions: object) -> None:
        self.node.call("query", name=name, of="issues", **conditions)

    def change(self, operation: str, **row: object) -> Any:
        return self.node.call("change", name="issues", operation=operation, row=row)


@pytest.fixture
def collections(
    start_driver: Callable[[str], NodeProcess],
    server: ElectricServer,
    issues: str,
    write_api: WriteApi,
) -> Collections:
    return Collections(start_driver("tanstack"), server, issues, write_api)


@pytest.mark.parametrize("sse", [False, True], ids=["long poll", "SSE"])
def test_eager(collections: Collections, server: ElectricServer, issues: str, sse: bool) -> None:
    collections.collect("eager", liveSse=sse)
    node = collections.node
    node.call("preload", name="issues")
    node.expect(wanted(server, issues), name="issues")
    collections.query("two", project=2)
    node.expect(wanted(server, issues, "project = 2"), name="two")
    server.sql(
        f"UPDATE {issues} SET project = 2, title = 'moved' WHERE id = 1",
        f"DELETE FROM {issues} WHERE id = 2",
        f"INSERT INTO {issues} VALUES (100, 'new', 2, NULL, true)",
    )
    node.expect(wanted(server, issues), name="issues")
    node.expect(wanted(server, issues, "project = 2"), name="two")


def test_on_demand(collections: Collections, server: ElectricServer, issues: str) -> None:
    """Only what a query asks for is fetched, and it stays up to date."""
    collections.collect("on-demand")
    node = collections.node
    collections.query("two", project=2)
    node.expect(wanted(server, issues, "project = 2"), name="two")
    node.expect(wanted(server, issues, "project = 2"), name="issues")
    collections.query("heaviest", atLeast=10, order="weight", limit=4)
    node.expect(wanted(server, issues, "id > 56"), name="heaviest")
    assert node.call("ids", name="heaviest") == [60, 59, 58, 57]
    server.sql(
        f"UPDATE {issues} SET title = 'changed' WHERE id = 2",
        f"INSERT INTO {issues} VALUES (100, 'the heaviest', 2, 1000, true)",
        f"DELETE FROM {issues} WHERE id = 8",
        f"UPDATE {issues} SET title = 'nobody asked for it' WHERE id = 1",
    )
    node.expect(wanted(server, issues, "project = 2"), name="two")
    node.expect(wanted(server, issues, "id > 57"), name="heaviest")
    requests = node.call("requests", name="issues")
    assert any(request["isSubset"] for request in requests)
    assert not any(r["offset"] == "-1" for r in requests if not r["isSubset"]), "never the whole"


def test_progressive(collections: Collections, server: ElectricServer, issues: str) -> None:
    """Queries are answered by subsets while the whole comes; then by the whole."""
    collections.collect("progressive", held=True)
    node = collections.node
    collections.query("two", project=2)
    node.expect(wanted(server, issues, "project = 2"), name="two")
    assert node.call("ready", name="issues") == "loading"
    node.call("release", name="issues")
    eventually(lambda: node.call("ready", name="issues") == "ready", "all rows came")
    node.expect(wanted(server, issues), name="issues")
    server.sql(
        f"UPDATE {issues} SET project = 2 WHERE id = 1", f"DELETE FROM {issues} WHERE id = 60"
    )
    node.expect(wanted(server, issues), name="issues")
    node.expect(wanted(server, issues, "project = 2"), name="two")


@pytest.mark.parametrize("mode", ["eager", "on-demand", "progressive"])
def test_writes_wait_for_their_transaction(
    collections: Collections, server: ElectricServer, issues: str, mode: str
) -> None:
    """What was shown at once is confirmed when the stream brings the transaction that the writer named."""
    collections.collect(mode)
    node = collections.node
    collections.query("two", project=2)
    node.expect(wanted(server, issues, "project = 2"), name="two")
    new = {"id": 200, "title": "new", "project": 2, "weight": 0.5, "done": False}
    answer = collections.change("insert", **new)
    assert answer == {"optimistic": new, "confirmed": new, "state": "completed"}
    answer = collections.change("update", id=200, title="newer", done=True)
    assert answer["confirmed"] == {**new, "title": "newer", "done": True}
    node.expect(wanted(server, issues, "project = 2"), name="two")
    answer = collections.change("delete", id=200)
    assert answer == {"optimistic": None, "confirmed": None, "state": "completed"}
    node.expect(wanted(server, issues, "project = 2"), name="two")


def test_a_refused_write_is_taken_back(
    collections: Collections, server: ElectricServer, issues: str
) -> None:
    collections.collect("eager")
    node = collections.node
    node.call("preload", name="issues")
    row = {"id": 1, "title": None}
    error = node.call("refused", name="issues", operation="update", row=row)
    assert "NotNullViolation" in error
    node.expect(wanted(server, issues), name="issues")


def test_transactions_of_others_can_be_awaited(
    collections: Collections, server: ElectricServer, issues: str
) -> None:
    collections.collect("eager")
    node = collections.node
    node.call("preload", name="issues")
    with server.connect() as connection, connection.transaction():
        connection.execute(f"UPDATE {issues} SET title = 'theirs' WHERE id = 3")  # type: ignore[arg-type]
        found = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert found
    txid = int(str(found[0]))
    assert node.call("await_txid", name="issues", txid=txid, timeout=20_000) is True
    node.expect(wanted(server, issues), name="issues")
    assert "imeout" in node.call("await_txid", name="issues", txid=txid + 10**6, timeout=300)
    server.sql(f"UPDATE {issues} SET title = 'this one' WHERE id = 4")
    assert node.call("await_title", name="issues", title="this one", timeout=20_000) is True

"""The proof: the official npm client, unmodified, follows tables of a real Postgres through our server.

After each step the rows that the client has materialised must equal what a SELECT says. The driver
also notes what the client would forgive: an insert of a row it has, a change of a row it lacks.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import VARIANTS
from tests.support.node import NodeClient
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]

MakeTable = Callable[[ElectricServer], str]
COLUMNS = ("id", "title", "project", "done", "weight", "price", "created")
MANY = 100_000


def rows(
    server: ElectricServer, table: str, where: str = "true", columns: tuple[str, ...] = COLUMNS
) -> list[dict[str, str | None]]:
    """What the client has to have, values as text."""
    with server.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        chosen = ", ".join(f"{name}::text" for name in columns)
        found = connection.execute(f"SELECT {chosen} FROM {table} WHERE {where}").fetchall()  # type: ignore[arg-type]
    return [dict(zip(columns, map(_text, row), strict=True)) for row in found]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def insert(table: str, first: int, last: int, project: str = "i % 10") -> str:
    return (
        f"INSERT INTO {table} (id, title, project, weight, price) "
        f"SELECT i, 'issue ' || i, {project}, i / 4.0, i / 100.0 FROM generate_series({first}, {last}) i"
    )


@pytest.fixture(scope="session")
def large_table(server: ElectricServer) -> str:
    server.sql(
        "CREATE TABLE large_issues (id bigint PRIMARY KEY, title text NOT NULL, project int, done boolean NOT NULL "
        "DEFAULT false, weight float8, price numeric(10, 2), created timestamptz NOT NULL "
        "DEFAULT '2026-01-02 03:04:05+00')",
        insert("large_issues", 1, MANY),
    )
    return "large_issues"


@pytest.mark.parametrize("client", ["newest", "oldest"], indirect=True)
def test_initial_sync_of_many_rows(
    client: NodeClient, server: ElectricServer, large_table: str
) -> None:
    shape = client.follow(server.url, table=large_table)
    report = shape.expect(rows(server, large_table), timeout=90)
    assert report["count"] == MANY
    assert report["mustRefetch"] == 0


@pytest.mark.parametrize("client", VARIANTS, indirect=True)
def test_live_changes(client: NodeClient, server: ElectricServer, table: MakeTable) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 5))
    shape = client.follow(server.url, table=issues)
    shape.expect(rows(server, issues))
    for statement in (
        insert(issues, 6, 8),
        f"UPDATE {issues} SET title = 'new ' || id, done = true WHERE id IN (1, 6)",
        f"UPDATE {issues} SET project = NULL, weight = NULL WHERE id = 2",
        f"UPDATE {issues} SET weight = 'Infinity', price = -0.10 WHERE id = 3",
        f"DELETE FROM {issues} WHERE id IN (3, 7)",
        f"UPDATE {issues} SET id = 100 WHERE id = 1",
        f"UPDATE {issues} SET id = id + 9007199254740993",
        f"INSERT INTO {issues} (id, title) VALUES (1, 'quotes \" and \\ and € and \n a line')",
    ):
        server.sql(statement)
        shape.expect(rows(server, issues))
    report = shape.report()
    assert report["mustRefetch"] == 0
    assert report["moves"] == 7, "one key changed, then those of six rows"
    by_sse = bool({"liveSse", "experimentalLiveSse"} & set(client.options))
    assert (report["eventStreams"] == report["live"] > 0) if by_sse else not report["eventStreams"]


def test_where_with_params(client: NodeClient, server: ElectricServer, table: MakeTable) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 50))
    where = "project = 3 AND title LIKE 'issue%'"
    params = {"1": "3", "2": "issue%"}
    shape = client.follow(
        server.url, table=issues, where="project = $1 AND title LIKE $2", params=params
    )
    shape.expect(rows(server, issues, where))
    for statement in (
        f"UPDATE {issues} SET project = 3 WHERE id = 1",
        f"UPDATE {issues} SET project = 4 WHERE id = 13",
        f"UPDATE {issues} SET title = 'gone' WHERE id = 23",
        f"UPDATE {issues} SET id = 1003 WHERE id = 3",
        insert(issues, 51, 60),
    ):
        server.sql(statement)
        shape.expect(rows(server, issues, where))
    assert shape.report()["mustRefetch"] == 0


def test_column_list(client: NodeClient, server: ElectricServer, table: MakeTable) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 5))
    columns = ("id", "done")
    shape = client.follow(server.url, table=issues, columns=list(columns))
    before = shape.expect(rows(server, issues, columns=columns))["messages"]
    server.sql(
        f"UPDATE {issues} SET title = 'nobody hears of it'",
        f"UPDATE {issues} SET done = true WHERE id = 2",
    )
    report = shape.expect(rows(server, issues, columns=columns))
    assert report["messages"] == before + 1


def test_whole_rows(client: NodeClient, server: ElectricServer, table: MakeTable) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 5))
    shape = client.follow(server.url, table=issues, replica="full")
    shape.expect(rows(server, issues))
    server.sql(
        f"UPDATE {issues} SET title = 'changed' WHERE id = 2", f"DELETE FROM {issues} WHERE id = 3"
    )
    assert shape.expect(rows(server, issues))["oldValues"] == 1


def test_worker_killed(
    client: NodeClient, mistreated_server: ElectricServer, table: MakeTable
) -> None:
    """kill -9 between and during writes: the same handle, nothing lost, nothing twice."""
    server = mistreated_server
    issues = table(server)
    server.sql(insert(issues, 1, 100))
    shape = client.follow(server.url, table=issues)
    handle = shape.expect(rows(server, issues))["handle"]
    server.sql(f"UPDATE {issues} SET title = 'before the kill' WHERE id < 50")
    server.kill_worker()
    server.sql(
        f"UPDATE {issues} SET title = 'while it was down' WHERE id < 10",
        f"DELETE FROM {issues} WHERE id BETWEEN 20 AND 29",
        insert(issues, 101, 120),
    )
    server.start_worker()
    server.sql(f"UPDATE {issues} SET id = 1000 + id WHERE id > 110")
    shape.expect(rows(server, issues))
    server.sql(f"DELETE FROM {issues} WHERE id = 1")
    report = shape.expect(rows(server, issues))
    assert report["mustRefetch"] == 0
    assert report["handle"] == handle
    assert set(report["statuses"]) == {"200"}


def test_web_restarted(
    client: NodeClient, mistreated_server: ElectricServer, table: MakeTable
) -> None:
    server = mistreated_server
    issues = table(server)
    server.sql(insert(issues, 1, 100))
    shape = client.follow(server.url, table=issues)
    handle = shape.expect(rows(server, issues))["handle"]
    server.stop_web()
    server.sql(f"DELETE FROM {issues} WHERE id > 50", insert(issues, 200, 210))
    server.start_web()
    report = shape.expect(rows(server, issues))
    assert report["mustRefetch"] == 0
    assert report["handle"] == handle


@pytest.mark.parametrize("client", VARIANTS, indirect=True)
def test_truncate(client: NodeClient, server: ElectricServer, table: MakeTable) -> None:
    """The client is told to start again, and ends with the new content."""
    issues = table(server)
    server.sql(insert(issues, 1, 100))
    shape = client.follow(server.url, table=issues)
    handle = shape.expect(rows(server, issues))["handle"]
    server.sql(f"TRUNCATE {issues}", insert(issues, 500, 510))
    report = shape.expect(rows(server, issues))
    assert report["mustRefetch"] >= 1
    assert report["handle"] != handle
    server.sql(insert(issues, 600, 601))
    again = shape.expect(rows(server, issues))
    assert again["mustRefetch"] == report["mustRefetch"]

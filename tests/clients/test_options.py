"""What @electric-sql/client can be asked for, each option against what a SELECT says."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest

from tests.clients.conftest import VARIANTS
from tests.clients.test_clients import MakeTable, insert, rows
from tests.support.node import NodeClient
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]

only_newest = pytest.mark.parametrize("client", ["newest"], indirect=True)
newest_both_ways = pytest.mark.parametrize("client", ["newest", "newest by SSE"], indirect=True)
both_versions = pytest.mark.parametrize("client", ["newest", "oldest"], indirect=True)


@newest_both_ways
def test_snapshots_of_parts_in_a_log_of_changes_only(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 50))
    shape = client.follow(server.url, {"log": "changes_only", "partial": True}, table=issues)
    shape.expect([])
    first = shape.snapshot(where="project = $1", params={"1": "3"}, orderBy="id DESC", limit=2)
    assert [row["id"] for row in first["rows"]] == ["43", "33"], "in the order that was asked for"
    shape.expect(rows(server, issues, "id IN (33, 43)"))
    server.sql(
        f"UPDATE {issues} SET title = 'known' WHERE id = 33",
        f"UPDATE {issues} SET title = 'not known' WHERE id = 5",
        insert(issues, 51, 51),
        f"DELETE FROM {issues} WHERE id = 43",
    )
    shape.expect(rows(server, issues, "id IN (33, 51)"))
    second = shape.snapshot(
        where="id <= $1", params={"1": "9"}, orderBy="id", limit=3, offset=4, method="POST"
    )
    assert [(row["id"], row["title"]) for row in second["rows"]] == [
        ("5", "not known"),
        ("6", "issue 6"),
        ("7", "issue 7"),
    ]
    shape.expect(rows(server, issues, "id IN (5, 6, 7, 33, 51)"))
    server.sql(f"UPDATE {issues} SET project = 77 WHERE id IN (6, 7, 8)")
    report = shape.expect(rows(server, issues, "id IN (5, 6, 7, 33, 51)"))
    assert report["mustRefetch"] == 0


@only_newest
def test_snapshots_while_rows_change(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    """A change is in the snapshot or comes after it, whichever way the two fall."""
    issues = table(server)
    server.sql(insert(issues, 1, 400))
    shape = client.follow(server.url, {"log": "changes_only", "partial": True}, table=issues)
    shape.expect([])
    done = threading.Event()

    def write() -> None:
        with server.connect() as connection:
            step = 0
            while not done.is_set():
                step += 1
                connection.execute(f"UPDATE {issues} SET weight = {step} WHERE id % 7 = {step % 7}")  # type: ignore[arg-type]
                connection.execute(f"DELETE FROM {issues} WHERE id = {step}")  # type: ignore[arg-type]

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for project in range(10):
            shape.snapshot(where="project = $1", params={"1": str(project)})
    finally:
        done.set()
        writer.join()
    shape.expect(rows(server, issues))


@newest_both_ways
def test_only_what_comes_from_now_on(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 10))
    shape = client.follow(server.url, {"offset": "now", "partial": True}, table=issues)
    shape.expect([])
    server.sql(insert(issues, 11, 13), f"DELETE FROM {issues} WHERE id IN (2, 12)")
    shape.expect(rows(server, issues, "id > 10"))


@newest_both_ways
def test_column_names_are_mapped_both_ways(client: NodeClient, server: ElectricServer) -> None:
    table = f"mapped_{abs(hash(client)) % 10**9}"
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, project_id int, created_at date, created_by_user text, other int)",
        f"INSERT INTO {table} SELECT g, g % 3, DATE '2026-01-01' + g, 'u' || g, g FROM generate_series(1, 9) g",
    )
    params = {
        "table": table,
        "columns": ["id", "projectId", "createdAt", "createdByUser"],
        "where": "projectId = $1 AND createdByUser LIKE 'u%'",
        "params": {"1": "2"},
    }
    shape = client.follow(server.url, {"columnMapper": "snake_camel"}, **params)

    def wanted() -> list[dict[str, str | None]]:
        names = ("id", "project_id", "created_at", "created_by_user")
        found = rows(server, table, "project_id = 2 AND created_by_user LIKE 'u%'", names)
        return [
            dict(zip(("id", "projectId", "createdAt", "createdByUser"), row.values(), strict=True))
            for row in found
        ]

    shape.expect(wanted())
    server.sql(
        f"UPDATE {table} SET project_id = 2, created_by_user = 'u of now' WHERE id = 1",
        f"UPDATE {table} SET created_at = '2027-07-07' WHERE id = 2",
        f"UPDATE {table} SET created_by_user = 'somebody' WHERE id = 5",
    )
    shape.expect(wanted())


@only_newest
def test_a_mapper_of_ones_own_in_a_snapshot(client: NodeClient, server: ElectricServer) -> None:
    server.sql(
        'CREATE TABLE mapped_own (id int PRIMARY KEY, "Odd name, ""quoted""" text)',
        "INSERT INTO mapped_own VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    shape = client.follow(
        server.url,
        {"columnMapper": {'Odd name, "quoted"': "name"}, "log": "changes_only", "partial": True},
        table="mapped_own",
        columns=["id", "name"],
    )
    shape.expect([])
    shape.snapshot(
        params={"1": "b"},
        whereExpr={
            "type": "func",
            "name": "eq",
            "args": [{"type": "ref", "column": "name"}, {"type": "val", "paramIndex": 1}],
        },
        orderByExpr=[{"column": "name", "direction": "desc"}],
        limit=5,
    )
    shape.expect([{"id": "2", "name": "b"}])


@both_versions
def test_a_secret_and_headers_that_change(
    client: NodeClient,
    electric_server: Callable[..., ElectricServer],
    server: ElectricServer,
    table: MakeTable,
) -> None:
    """Parameters and headers may be functions, and ``onError`` mends what was refused."""
    guarded = electric_server({"ELECTRIC_SECRET": "the right secret of this server"})
    issues = table(guarded)
    guarded.sql(insert(issues, 1, 5))
    shape = client.follow(
        guarded.url,
        {
            "secrets": ["a wrong one", "the right secret of this server"],
            "headers": {"X-Tenant": "seven"},
        },
        table=issues,
    )
    shape.expect(rows(guarded, issues))
    guarded.sql(insert(issues, 6, 7))
    report = shape.expect(rows(guarded, issues))
    assert report["errors"] == [401]
    assert report["statuses"]["401"] == 1
    assert report["headers"]["x-tenant"] == "seven"


@both_versions
def test_a_secret_that_stays_wrong_ends_the_stream(
    client: NodeClient, electric_server: Callable[..., ElectricServer], table: MakeTable
) -> None:
    guarded = electric_server({"ELECTRIC_SECRET": "the right secret of this server"})
    issues = table(guarded)
    guarded.sql(insert(issues, 1, 5))
    shape = client.follow(guarded.url, {"secrets": ["wrong", "wrong as well"]}, table=issues)
    report = shape.ends()
    assert report["statuses"] == {"401": 2}
    assert report["count"] == 0


@pytest.mark.parametrize("client", VARIANTS, indirect=True)
def test_a_shape_that_is_deleted_is_fetched_again(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 20))
    shape = client.follow(server.url, table=issues)
    handle = shape.expect(rows(server, issues))["handle"]
    httpx.delete(f"{server.url}/v1/shape", params={"handle": handle}).raise_for_status()
    server.sql(f"UPDATE {issues} SET title = 'after it' WHERE id < 5")
    report = shape.expect(rows(server, issues))
    assert report["handle"] != handle
    assert report["mustRefetch"] == 1
    server.sql(f"DELETE FROM {issues} WHERE id = 20")
    assert shape.expect(rows(server, issues))["mustRefetch"] == 1


@both_versions
def test_a_client_that_resumes(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    """From an offset of its own it gets only what came since; from a handle of the past, all."""
    issues = table(server)
    server.sql(insert(issues, 1, 20))
    earlier = client.follow(server.url, table=issues)
    known = earlier.expect(rows(server, issues))
    earlier.stop()
    server.sql(insert(issues, 21, 22))
    place = {"offset": known["offset"], "handle": known["handle"]}
    later = client.follow(server.url, place, table=issues)
    report = later.expect(rows(server, issues, "id > 20"))
    assert report["messages"] == 2
    lost = client.follow(server.url, {"offset": "0_0", "handle": "1-2"}, table=issues)
    report = lost.expect(rows(server, issues))
    assert report["mustRefetch"] == 1
    assert report["statuses"]["409"] == 1


@both_versions
def test_a_sync_that_does_not_go_on(
    client: NodeClient, server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 20))
    shape = client.follow(server.url, {"subscribe": False}, table=issues)
    assert shape.expect(rows(server, issues))["live"] == 0

"""@electric-sql/pglite-sync: tables of a Postgres in the client's process are those of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.test_clients import COLUMNS, MakeTable, insert, rows
from tests.support.node import NodeProcess
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]

DEFINITION = (
    "(id bigint PRIMARY KEY, title text NOT NULL, project int, done boolean NOT NULL DEFAULT false, "
    "weight float8, price numeric(10, 2), created timestamptz NOT NULL)"
)


def all_of(table: str) -> str:
    """The query that prints the rows of PGlite as ``rows`` prints ours."""
    return f"SELECT {', '.join(f'{name}::text AS {name}' for name in COLUMNS)} FROM {table}"


# Not "json": that way PGlite 0.5.1 cannot write a bigint.
@pytest.mark.parametrize("method", ["insert", "csv"])
def test_one_table(
    start_driver: Callable[[str], NodeProcess],
    server: ElectricServer,
    table: MakeTable,
    method: str,
) -> None:
    issues = table(server)
    server.sql(
        insert(issues, 1, 500),
        f"INSERT INTO {issues} (id, title) VALUES (1000, 'quotes \" '' and \\ and € and \n, a line')",
    )
    node = start_driver("pglite")
    node.call("exec", statement=f"CREATE TABLE {issues} {DEFINITION}")
    shape = {"url": f"{server.url}/v1/shape", "table": issues, "primaryKey": ["id"]}
    node.call("sync", name="first", key="kept", initialInsertMethod=method, **shape)
    node.expect(rows(server, issues), query=all_of(issues))
    with server.connect() as connection, connection.transaction():
        connection.execute(f"UPDATE {issues} SET title = 'changed' WHERE id <= 10")  # type: ignore[arg-type]
        connection.execute(f"DELETE FROM {issues} WHERE id BETWEEN 20 AND 30")  # type: ignore[arg-type]
        connection.execute(insert(issues, 501, 510))  # type: ignore[arg-type]
        connection.execute(f"UPDATE {issues} SET project = NULL, weight = 'NaN' WHERE id = 505")  # type: ignore[arg-type]
    node.expect(rows(server, issues), query=all_of(issues))
    # What it knows under its key is not fetched again.
    node.call("stop", name="first")
    node.call("exec", statement=f"UPDATE {issues} SET title = 'a mark' WHERE id = 40")
    server.sql(f"DELETE FROM {issues} WHERE id > 505", insert(issues, 600, 601))
    node.call("sync", name="second", key="kept", **shape)
    marked = [
        {**row, "title": "a mark"} if row["id"] == "40" else row for row in rows(server, issues)
    ]
    node.expect(marked, query=all_of(issues))


def test_a_transaction_over_two_tables_arrives_as_one(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, table: MakeTable
) -> None:
    accounts, entries = table(server), table(server)
    server.sql(insert(accounts, 1, 2))
    node = start_driver("pglite")
    # Each transaction inside PGlite leaves its name with the rows that it wrote.
    for name in (accounts, entries):
        node.call("exec", statement=f"CREATE TABLE {name} {DEFINITION}")
    node.call("exec", statement="CREATE TABLE seen (tx text, what text)")
    node.call(
        "exec",
        statement="CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO seen VALUES (pg_current_xact_id()::text, NEW.title); RETURN NEW; END $$",
    )
    for name in (accounts, entries):
        node.call(
            "exec",
            statement=f"CREATE TRIGGER see BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION see()",
        )
    url = f"{server.url}/v1/shape"
    shapes = {
        name: {"url": url, "table": name, "primaryKey": ["id"]} for name in (accounts, entries)
    }
    node.call("sync_all", name="both", key=None, shapes=shapes)
    node.expect(rows(server, accounts), query=all_of(accounts))
    node.call("up_to_date", name="both", timeout=20_000)
    for step in range(5):
        with server.connect() as connection, connection.transaction():
            connection.execute(f"UPDATE {accounts} SET title = 'step {step}' WHERE id = 1")  # type: ignore[arg-type]
            connection.execute(
                f"INSERT INTO {entries} (id, title) VALUES ({step}, 'step {step}')"  # type: ignore[arg-type]
            )
    for name in (accounts, entries):
        node.expect(rows(server, name), query=all_of(name))
    query = (
        "SELECT what, count(DISTINCT tx) AS transactions, count(*) AS changes FROM seen "
        "WHERE what LIKE 'step %' GROUP BY what ORDER BY what"
    )
    assert node.call("rows", query=query) == [
        {"what": f"step {step}", "transactions": 1, "changes": 2} for step in range(5)
    ]


def test_a_truncated_table_is_fetched_again(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 50))
    node = start_driver("pglite")
    node.call("exec", statement=f"CREATE TABLE {issues} {DEFINITION}")
    shape = {"url": f"{server.url}/v1/shape", "table": issues, "primaryKey": ["id"]}
    node.call("sync", name="all", key=None, **shape)
    node.expect(rows(server, issues), query=all_of(issues))
    server.sql(f"TRUNCATE {issues}", insert(issues, 100, 104))
    node.expect(rows(server, issues), query=all_of(issues))

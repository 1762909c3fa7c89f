"""Web processes may go through PgBouncer in transaction mode; the worker cannot, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from example_project.embedded_postgres import Cluster
from tests.crash.conftest import ENVIRONMENT
from tests.support.followers import Followers
from tests.support.pgbouncer import PgBouncer
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pooler")]


class PooledServer(ElectricServer):
    """Its web process knows the pooler only."""

    def __init__(self, cluster: Cluster, pooler: PgBouncer) -> None:
        super().__init__(cluster, ENVIRONMENT)
        self._pooler = pooler

    def start_web(self) -> object:  # type: ignore[override]
        direct = self.env["DATABASE_URL"]
        self.env["DATABASE_URL"] = self._pooler.url(self.database)
        try:
            return super().start_web()
        finally:
            self.env["DATABASE_URL"] = direct


@pytest.fixture(scope="module")
def pooler(postgres_cluster: Cluster) -> Iterator[PgBouncer]:
    with PgBouncer(postgres_cluster) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def server(postgres_cluster: Cluster, pooler: PgBouncer) -> Iterator[PooledServer]:
    with PooledServer(postgres_cluster, pooler) as server:
        yield server


def test_shapes_are_served_through_a_pooler(
    server: PooledServer, follow_all: Callable[[ElectricServer], Followers]
) -> None:
    followers = follow_all(server)
    server.sql("CREATE TABLE pooled (id int PRIMARY KEY, note text, at timestamptz)")
    server.sql(
        "INSERT INTO pooled SELECT n, 'old', '2026-01-01 10:00+02' FROM generate_series(1, 500) n"
    )
    followers.make_marks()
    for where in (
        "id > 5",
        "note LIKE 'o%'",
        "md5(note) = md5('new')",
        "id % 2 = 0 OR note IS NULL",
    ):
        followers.follow(table="pooled", where=where)
    followers.follow(table="pooled", columns="id,at", replica="full")
    followers.settle()
    server.sql("UPDATE pooled SET note = 'new' WHERE id < 50", "DELETE FROM pooled WHERE id = 7")
    followers.settle()


@pytest.mark.parametrize("number", range(6))
def test_subsets_come_through_it_as_a_client_expects_them(
    server: PooledServer, number: int
) -> None:
    """Whatever session of the pool it is, the values are written as everywhere."""
    server.sql(
        "CREATE TABLE IF NOT EXISTS parts (id int PRIMARY KEY, at timestamptz, span interval, raw bytea)",
        "INSERT INTO parts VALUES (1, '2026-01-01 10:00+02', '1 day', '\\x01') ON CONFLICT DO NOTHING",
    )
    query = {
        "table": "parts",
        "offset": "now",
        "log": "changes_only",
        "subset__where": f"id < {number + 2}",
    }
    answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    assert [row["value"] for row in answer.json()["data"]] == [
        {"id": "1", "at": "2026-01-01 08:00:00+00", "span": "P1D", "raw": "\\x01"}
    ]


def test_a_worker_behind_a_pooler_says_what_it_needs(
    server: PooledServer, pooler: PgBouncer
) -> None:
    direct = server.env["DATABASE_URL"]
    server.env["DATABASE_URL"] = pooler.url(server.database)
    try:
        worker = server.start("pooled-worker", "manage.py", "run_electric_replication")
    finally:
        server.env["DATABASE_URL"] = direct
    assert worker.wait(30) == 3, server.log("pooled-worker")
    last = server.log("pooled-worker").strip().splitlines()[-1]
    assert "pooler" in last
    assert "direct connection" in last

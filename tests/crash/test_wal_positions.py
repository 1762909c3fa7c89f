"""Positions in the WAL are unsigned numbers of 64 bits: everywhere, in what clients make of them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from django_electric.postgres.lsn import Lsn
from example_project.embedded_postgres import Cluster, run
from tests.clients.conftest import HERE as CLIENTS
from tests.clients.conftest import installed
from tests.crash.conftest import ENVIRONMENT
from tests.support.followers import Followers
from tests.support.node import NodeClient
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wal-positions")]
FollowAll = Callable[[ElectricServer], Followers]

SEGMENT = 16 << 20
BELOW_THE_SIGN = Lsn.parse("7FFFFFFF/FF000000")
"""The last segment whose positions fit into a signed number."""
HIGHEST = Lsn.parse("FFFFFFFF/0")


@pytest.fixture(scope="module")
def server(own_cluster: Cluster) -> Iterator[ElectricServer]:
    with ElectricServer(own_cluster, ENVIRONMENT) as server:
        yield server


def wal_end(server: ElectricServer) -> int:
    return int(Lsn.parse(str(server.query("SELECT pg_current_wal_insert_lsn()")[0][0])))


def advance(server: ElectricServer, lsn: Lsn) -> None:
    """Stop Postgres and have it go on at *lsn*, unless it is further already."""
    if wal_end(server) >= int(lsn):
        return
    cluster = server.cluster
    cluster.stop()
    number = int(lsn) // SEGMENT
    per_file = (1 << 32) // SEGMENT
    name = f"{1:08X}{number // per_file:08X}{number % per_file:08X}"
    code, output = run(cluster.bin / "pg_resetwal", "-l", name, "-D", cluster.data)
    assert code == 0, output
    cluster.start()
    assert wal_end(server) >= int(lsn)


def change(server: ElectricServer, table: str) -> None:
    """Ten transactions, in the middle of which the WAL goes on with its next segment."""
    for number in range(10):
        server.sql(
            f"INSERT INTO {table} VALUES ({number + 100}, 'new')"
            f" ON CONFLICT (id) DO UPDATE SET note = {table}.note || '+'",
            *(
                [f"DELETE FROM {table} WHERE id < 50", "SELECT pg_switch_wal()"]
                if number == 5
                else []
            ),
        )


def test_rows_arrive_wherever_the_wal_is(server: ElectricServer, follow_all: FollowAll) -> None:
    followers = follow_all(server)
    server.sql("CREATE TABLE placed (id int PRIMARY KEY, note text)")
    server.sql("INSERT INTO placed SELECT n, 'old' FROM generate_series(1, 99) n")
    followers.make_marks().may_refetch = True
    old = followers.follow(may_refetch=True, table="placed", where="id > 0")
    followers.settle()
    with followers.outage(of_worker=True):
        for lsn in (Lsn(0), BELOW_THE_SIGN, HIGHEST):
            handle, is_far = old.handle, wal_end(server) < int(lsn)
            advance(server, lsn)
            if is_far:  # the WAL that the slot wants is gone
                eventually(lambda h=handle: old.fault or old.handle not in (h, ""), "rotated")  # type: ignore[misc]
            server.wait_until_active()
            change(server, "placed")
            followers.settle()
            assert int(old.offset.partition("_")[0]) > int(lsn)
        assert wal_end(server) > 1 << 63
        server.kill_worker()
        server.sql("UPDATE placed SET note = 'again'")
        server.manage("run_electric_replication", "--once")
        server.start_worker()
        followers.follow(table="placed", replica="full")
        followers.settle()
    read_a_part(server, "placed")


def read_a_part(server: ElectricServer, table: str) -> None:
    """A subset asks how far the slot is confirmed."""
    query = {"table": table, "offset": "now", "subset__limit": "2", "subset__order_by": "id"}
    answer = httpx.get(
        f"{server.url}/v1/shape", params={**query, "log": "changes_only"}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    assert int(answer.json()["metadata"]["database_lsn"]) > 1 << 63


def test_the_npm_client_follows_there(server: ElectricServer) -> None:
    folder = installed("newest")
    advance(server, BELOW_THE_SIGN)
    server.wait_until_active()
    server.sql("CREATE TABLE followed (id int PRIMARY KEY, note text)")
    server.sql("INSERT INTO followed VALUES (1, 'old')")
    with NodeClient(CLIENTS / "driver.mjs", folder) as client:
        shape = client.follow(server.url, table="followed")
        shape.expect([{"id": "1", "note": "old"}])
        change(server, "followed")
        rows = server.query("SELECT id::text, note FROM followed")
        report = shape.expect([{"id": str(i), "note": str(note)} for i, note in rows])
    assert report["mustRefetch"] == 0
    assert wal_end(server) > 1 << 63

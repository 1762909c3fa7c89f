"""Postgres goes away and comes back, was never set up, or lost the slot."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import psycopg
import pytest

from example_project.embedded_postgres import Cluster, postgres
from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_restarts(
    own_cluster: Cluster, own_cluster_server: ElectricServer, follow_all: FollowAll, mode: str
) -> None:
    """Existing shapes are served meanwhile, new ones refused; the worker comes back by itself."""
    server, followers = own_cluster_server, follow_all(own_cluster_server)
    table = f"restarted_{mode}"
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, note text)", f"INSERT INTO {table} VALUES (1)"
    )
    followers.make_marks()
    follower = followers.follow(table=table)
    followers.settle()
    handle = follower.handle
    own_cluster.stop(mode)
    try:
        answers = follower.answers[200]
        eventually(lambda: follower.fault or follower.answers[200] > answers + 2, "it goes on")
        known = httpx.get(
            f"{server.url}/v1/shape", params={"table": table, "offset": "-1"}, timeout=30
        )
        assert (known.status_code, known.headers.get("electric-handle")) == (200, handle), (
            known.text
        )
        refused = httpx.get(
            f"{server.url}/v1/shape",
            params={"table": table, "where": "id > 5", "offset": "-1"},
            timeout=60,
        )
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) > 0
    finally:
        own_cluster.start()
    server.sql(
        f"INSERT INTO {table} VALUES (2, 'after')", f"UPDATE {table} SET note = 'x' WHERE id = 1"
    )
    eventually(
        lambda: follower.fault or len(follower.rows) == 2, "the worker streams again", seconds=60
    )
    server.wait_until_active()
    with followers.outage(
        of_worker=True
    ):  # a web process may leave the database alone for a second
        new = followers.follow(table=table, where="id > 1")
        eventually(lambda: new.fault or new.is_up_to_date, "a new shape", seconds=60)
    followers.settle()
    assert follower.handle == handle


def refusal(server: ElectricServer) -> str:
    """Run a worker that has to give up; its last words."""
    worker = server.start_worker()
    code = worker.wait(60)
    log = (server.directory / "worker.log").read_text()
    assert code == 3, log
    assert "Traceback" not in log
    return log.strip().splitlines()[-1]


def test_wal_level_is_replica() -> None:
    with postgres(wal_level="replica") as cluster:
        server = ElectricServer(cluster)
        cluster.create_database(server.database)
        try:
            server.manage("migrate", "--noinput", "-v0")
            last = refusal(server)
        finally:
            server.__exit__()
    assert "requires wal_level >= logical" in last
    assert "ALTER SYSTEM SET wal_level" in last


def test_role_may_not_replicate(postgres_cluster: Cluster) -> None:
    server = ElectricServer(postgres_cluster)
    postgres_cluster.create_database(server.database)
    role = f"plain_{server.database}"
    try:
        server.manage("migrate", "--noinput", "-v0")
        server.sql(
            f"CREATE ROLE {role} LOGIN",
            f"GRANT ALL ON DATABASE {server.database} TO {role}",
            f"GRANT ALL ON SCHEMA public TO {role}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        )
        server.env["DATABASE_URL"] = server.database_url.replace("postgres@", f"{role}@")
        last = refusal(server)
    finally:
        server.__exit__()
        with psycopg.connect(postgres_cluster.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP ROLE IF EXISTS {role}")  # type: ignore[call-overload]
    assert "ALTER ROLE" in last
    assert "REPLICATION" in last


def test_slot_is_dropped(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """Nobody knows what was missed: every shape is rotated, and all goes on."""
    server, followers = crash_server, follow_all(crash_server)
    server.sql("CREATE TABLE slotless (id int PRIMARY KEY)", "INSERT INTO slotless VALUES (1)")
    marks = followers.make_marks()
    marks.may_refetch = True
    shapes = [
        followers.follow(may_refetch=True, table="slotless"),
        followers.follow(may_refetch=True, table="slotless", where="id > 1"),
    ]
    followers.settle()
    handles = [follower.handle for follower in shapes]
    assert server.stop_worker() == 0
    server.query("SELECT pg_drop_replication_slot(%s)", [f"electric_slot_{server.stream_id}"])
    server.sql("INSERT INTO slotless VALUES (2)")
    with followers.outage(of_worker=True):
        server.start_worker()
        server.wait_until_active()
        eventually(
            lambda: all(f.fault or (f.refetches and f.is_up_to_date) for f in shapes), "all are new"
        )
    followers.settle()
    assert not {follower.handle for follower in shapes} & set(handles)


def test_publication_is_dropped(crash_server: ElectricServer, follow_all: FollowAll) -> None:
    """The same while the worker is down."""
    server, followers = crash_server, follow_all(crash_server)
    server.sql(
        "CREATE TABLE unpublished (id int PRIMARY KEY)", "INSERT INTO unpublished VALUES (1)"
    )
    followers.make_marks().may_refetch = True
    follower = followers.follow(may_refetch=True, table="unpublished")
    followers.settle()
    assert server.stop_worker() == 0
    server.sql(
        f"DROP PUBLICATION electric_publication_{server.stream_id}",
        "INSERT INTO unpublished VALUES (2)",
    )
    with followers.outage(of_worker=True):
        server.start_worker()
        server.wait_until_active()
        eventually(lambda: follower.fault or (follower.refetches and follower.is_up_to_date), "new")
    server.sql("INSERT INTO unpublished VALUES (3)")
    followers.settle()

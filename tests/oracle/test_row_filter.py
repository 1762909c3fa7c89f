"""With row filters in the publication and without: the same logs, and both are what Postgres says.

Two workers follow one database, each with a stream and a web process of its own; only one filters.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import httpx
import psycopg
import pytest

from example_project.embedded_postgres import Cluster
from tests.oracle.clauses import quote
from tests.oracle.tables import ISSUES, TABLES
from tests.oracle.test_oracle import restart
from tests.oracle.writers import Writers
from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("row-filter"),
]

# The poll interval says how soon filters are set.
ENVIRONMENT = {"ELECTRIC_LONG_POLL_TIMEOUT": "400", "ELECTRIC_POLL_INTERVAL": "25"}
FILTERING = {**ENVIRONMENT, "ELECTRIC_PUBLICATION_ROW_FILTER": "auto"}


class Twin(ElectricServer):
    """Another worker and web process for the database of a server."""

    def __init__(self, other: ElectricServer, env: dict[str, str]) -> None:
        super().__init__(other.cluster, env)
        self.database, self.database_url, self.dsn = other.database, other.database_url, other.dsn
        self.env["DATABASE_URL"] = other.database_url

    def __enter__(self) -> Self:
        self.start_worker()
        self.start_web()
        self.wait_until_active()
        return self

    def _drop_database(self) -> None:
        """It belongs to the other."""


@pytest.fixture(scope="module")
def filtering(postgres_cluster: Cluster) -> Iterator[ElectricServer]:
    with ElectricServer(postgres_cluster, FILTERING) as server:
        (version,) = server.query("SHOW server_version_num")[0]
        if int(str(version)) < 150000:
            pytest.skip("row filters came with PostgreSQL 15")
        yield server


@pytest.fixture(scope="module")
def plain(filtering: ElectricServer) -> Iterator[ElectricServer]:
    with Twin(filtering, ENVIRONMENT) as server:
        yield server


def row_filter(server: ElectricServer, table: str) -> str:
    """What the publication of *server* lets through of a table; nothing if it is everything."""
    rows = server.query(
        "SELECT rowfilter FROM pg_publication_tables WHERE pubname = %s AND tablename = %s",
        [f"electric_publication_{server.stream_id}", table],
    )
    return str(rows[0][0] or "") if rows else ""


# -- the same as without -----------------------------------------------------------------------------------

_PLAIN = (
    "{c} = {v}", "{c} = {v}", "{c} IN ({v}, {w})", "{c} IS NULL", "{c} IS DISTINCT FROM {v}", "{c} <> {v}",
    "NOT ({c} = {v} OR flag)", "{c} = {v} AND NOT done", "{c} IS NOT NULL AND n < 3",
)  # fmt: skip
_OF_TYPE = {
    "text": ("{c} LIKE 'a%'", "{c} ILIKE '%A%'", "{c} NOT LIKE '%b'"),
    "boolean": ("{c}", "NOT {c}", "{c} IS NOT TRUE"),
    **dict.fromkeys(("int", "numeric", "float8", "date", "timestamp"), ("{c} > {v}", "{c} BETWEEN {v} AND {w}")),
}  # fmt: skip


def plain_shape(chance: random.Random) -> dict[str, str]:
    """Parameters of a request with a condition that a publication can be given."""
    unfit = ("id", "body", "blob", "data", "tags", "made")
    column = chance.choice([c for c in ISSUES.columns if c.name not in unfit])
    template = chance.choice((*_PLAIN, *_OF_TYPE.get(column.sql_type, ()) * 3))
    v, w = (quote(chance.choice(column.literals)) for _ in range(2))
    params = {"where": template.format(c=column.name, v=v, w=w)}
    if chance.random() < 0.3:
        params["columns"] = "id," + ",".join(
            sorted(chance.sample(["n", "title", "body", "flag"], 2))
        )
    if chance.random() < 0.5:
        params["replica"] = "full"
    return params


class Pair:
    """Followers of the same shapes on both servers."""

    def __init__(self, filtering: Followers, plain: Followers, seed: int) -> None:
        self.both = (filtering, plain)
        self.filtering, self.plain = filtering, plain
        self.names = {t.name: f"{t.name}_f{os.getpid()}_{seed}" for t in TABLES}
        self.table = self.names["issues"]
        filtering.server.sql(*(t.create(self.names[t.name]) for t in TABLES))
        self.writers = Writers(filtering.server, self.names, seed)
        for followers in self.both:
            followers.make_marks()
        self.pairs: list[tuple[Follower, Follower]] = []

    def follow(self, params: dict[str, str]) -> None:
        one, other = (f.follow(table=self.table, **params) for f in self.both)
        self.pairs.append((one, other))

    def leave(self, number: int) -> None:
        """Some shapes go, and their rows with them."""
        for pair in [self.pairs.pop(0) for _ in range(number)]:
            for followers, follower in zip(self.both, pair, strict=True):
                followers.stop(follower)
                followers.server.sql(f"DELETE FROM {_CATALOGUE} WHERE handle = '{follower.handle}'")

    def settle(self) -> None:
        for followers in self.both:
            followers.settle()

    def filter(self) -> str:
        return row_filter(self.filtering.server, self.table)

    def compare(self) -> int:
        """How many messages are in both logs of the shapes, from where both have left their snapshots behind."""
        compared = 0
        for one, other in self.pairs:
            logs = [
                log_of(followers.server, f)
                for followers, f in zip(self.both, (one, other), strict=True)
            ]
            start = max(xmax for xmax, _ in logs)
            ours, theirs = ([m for m in log if txid(m) >= start] for _, log in logs)
            assert ours == theirs, one.params
            compared += len(ours)
        return compared


_CATALOGUE = "django_electric_shape"


def txid(message: dict[str, Any]) -> int:
    return int(message["headers"]["txids"][0])


def log_of(server: ElectricServer, follower: Follower) -> tuple[int, list[dict[str, Any]]]:
    """Where the snapshot of a shape ends, and all changes, without what tells how many others Postgres sent."""
    query = {**follower.params, "offset": "-1"}
    xmax, changes = 0, []
    while True:
        answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
        for message in answer.raise_for_status().json():
            headers = message["headers"]
            if headers.get("control") == "snapshot-end":
                xmax = int(headers["xmax"])
            elif "lsn" in headers:
                del headers["op_position"]
                changes.append(message)
        query |= {
            "offset": answer.headers["electric-offset"],
            "handle": answer.headers["electric-handle"],
        }
        if "electric-up-to-date" in answer.headers:
            return xmax, changes


@contextmanager
def pair_of(filtering: ElectricServer, plain: ElectricServer, seed: int) -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = Pair(
            stack.enter_context(Followers(filtering)), stack.enter_context(Followers(plain)), seed
        )
        try:
            yield pair
            for followers in pair.both:
                followers.check()
        except BaseException:
            print(f"filter {pair.filter()}\n{filtering.logs()}")
            raise


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 12))]
)
def test_the_logs_are_the_same_as_without(
    filtering: ElectricServer, plain: ElectricServer, seed: int
) -> None:
    """Shapes come and go while sessions write, a filter is set, taken off and set again, a worker is killed."""
    chance = random.Random(seed)
    with pair_of(filtering, plain, seed) as pair:
        pair.writers.write(15)
        for _ in range(8):
            pair.follow(plain_shape(chance))
        pair.settle()
        filters = {eventually(pair.filter, "a filter is set")}
        for batch in chance.sample(["write", "join", "leave", "kill"], 4):
            threads = pair.writers.start(25)
            if batch == "join":
                for _ in range(3):
                    pair.follow(plain_shape(chance))
            elif batch == "leave":
                pair.leave(3)
            elif batch == "kill":
                restart(_Restarted(pair), "kill")  # type: ignore[arg-type]
            pair.writers.finish(threads)
            pair.settle()
            filters.add(eventually(pair.filter, "a filter is set again"))
        threads = pair.writers.start(25)
        pair.follow({"where": "length(title) > 1"})
        pair.writers.finish(threads)
        pair.settle()
        assert not pair.filter(), "it let through what one shape cannot say"
        assert len(filters) >= 3
        assert pair.compare() > 100


class _Restarted:
    """What `restart` wants of a run."""

    def __init__(self, pair: Pair) -> None:
        self.server, self.followers = pair.filtering.server, pair.filtering


# -- the gaps ------------------------------------------------------------------------------------------------


def test_a_writer_that_began_under_a_filter_loses_nothing(filtering: ElectricServer) -> None:
    """It writes rows that no shape wants, a shape that wants them comes, and it writes more and commits."""
    with Followers(filtering) as followers:
        table = "began_under_filter"
        filtering.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int)")
        followers.make_marks()
        followers.follow(table=table, where="n = 1")
        eventually(lambda: row_filter(filtering, table), "a filter is set")
        with psycopg.connect(filtering.dsn) as writer:
            writer.execute(f"INSERT INTO {table} VALUES (1, 2), (2, 1)")  # type: ignore[call-overload]
            late = followers.follow(table=table, where="n = 2")
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
            eventually(
                lambda: filtering.query(waits, [table]), "the new shape waits for the writer"
            )
            assert not late.rows
            writer.execute(f"INSERT INTO {table} VALUES (3, 2)")  # type: ignore[call-overload]
            writer.commit()
            writer.execute(f"UPDATE {table} SET n = 3 - n")  # type: ignore[call-overload]
            writer.commit()
        followers.settle()
        assert len(late.rows) == 1
        eventually(lambda: "2" in row_filter(filtering, table), "both are let through")
        filtering.sql(f"UPDATE {table} SET n = 3 - n", f"DELETE FROM {table} WHERE id = 1")
        followers.settle()
        assert len(late.rows) == 1


def test_a_filtered_table_that_becomes_a_partition(filtering: ElectricServer) -> None:
    """What its filter kept away was wanted by the root's shapes: they begin anew."""
    with Followers(filtering) as followers:
        filtering.sql(
            "CREATE TABLE filtered_leaf (id int NOT NULL, n int)",
            "CREATE TABLE filtered_root (id int NOT NULL, n int) PARTITION BY LIST (id)",
            "CREATE TABLE filtered_other PARTITION OF filtered_root FOR VALUES IN (1)",
        )
        followers.make_marks()
        followers.follow(table="filtered_leaf", where="n = 1", may_refetch=True)
        root = followers.follow(table="filtered_root", may_refetch=True)
        eventually(lambda: row_filter(filtering, "filtered_leaf"), "a filter is set")
        eventually(lambda: root.is_up_to_date)
        filtering.sql(
            "ALTER TABLE filtered_root ATTACH PARTITION filtered_leaf DEFAULT",
            "INSERT INTO filtered_root VALUES (2, 2), (3, 1)",
        )
        eventually(lambda: not row_filter(filtering, "filtered_leaf"), "the filter is taken off")
        filtering.sql("INSERT INTO filtered_root VALUES (4, 2)")
        followers.until_equal()
        assert len(root.rows) == 3

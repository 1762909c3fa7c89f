"""Shapes on partitioned tables, from a client's side (PROTOCOL section 10.7).

The followers are strict: a row twice, a change of a row that they do not have, a key that is not the root's
or a 409 without a cause fails the test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

ENVIRONMENT = {"ELECTRIC_LONG_POLL_TIMEOUT": "400", "ELECTRIC_POLL_INTERVAL": "50"}


class Table:
    """A table of a test's own, partitioned by ranges of a hundred, and what is done to it."""

    def __init__(self, server: ElectricServer, followers: Followers, name: str) -> None:
        self.server = server
        self.followers = followers
        self.name = name
        server.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
        self.add(1)

    def bounds(self, number: int) -> str:
        return f"FOR VALUES FROM ({number}00) TO ({number + 1}00)"

    def sql(self, *statements: str) -> None:
        """``t`` is the table, ``t1`` its partition for 100 to 199."""
        with self.server.connect() as connection:
            for statement in statements:
                connection.execute(statement.replace("{t}", self.name))  # type: ignore[arg-type]

    def add(self, number: int) -> None:
        self.sql(f"CREATE TABLE {{t}}{number} PARTITION OF {{t}} {self.bounds(number)}")

    def follow(self, *, leaf: str = "", may_refetch: bool = False, **params: str) -> Follower:
        """A follower that has come as far as the log goes."""
        follower = self.followers.follow(
            table=self.name + leaf, may_refetch=may_refetch, replica="full", **params
        )
        eventually(lambda: follower.is_up_to_date or follower.fault)
        return follower

    def has_full_identity(self, leaf: str) -> bool:
        query = "SELECT relreplident = 'f' FROM pg_class WHERE relname = %s"
        return bool(self.server.query(query, [self.name + leaf])[0][0])

    def until_refetched(self, *followers: Follower) -> None:
        """They hear 409 and come to have what the table has."""
        for follower in followers:
            eventually(lambda f=follower: f.refetches or f.fault, "must-refetch")  # type: ignore[misc]
        self.followers.until_equal(*followers)


@pytest.fixture(scope="module")
def partition_server(electric_server: Callable[..., ElectricServer]) -> ElectricServer:
    return electric_server(ENVIRONMENT)


@pytest.fixture
def table(partition_server: ElectricServer) -> Iterator[Table]:
    name = f"p{uuid.uuid4().hex[:6]}_"
    with Followers(partition_server) as followers:
        followers.make_marks()
        yield Table(partition_server, followers, name)
        followers.check()


def test_a_partition_added_later_is_followed_with_whole_old_rows(table: Table) -> None:
    follower = table.follow()
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100, 'a'), (200, 'b')")
    table.followers.settle()
    table.sql(
        "UPDATE {t} SET v = v || '!'",
        "UPDATE {t} SET id = id + 1",
        "UPDATE {t} SET id = 250 WHERE id = 101",
        "DELETE FROM {t} WHERE id = 201",
    )
    table.followers.settle()
    assert follower.content == [("250", "a!")]
    assert follower.refetches == 0


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE {t}2 (LIKE {t} INCLUDING ALL)", "ALTER TABLE {t} ATTACH PARTITION {t}2 {b}"],
        ["CREATE TABLE {t}2 PARTITION OF {t} {b}", "INSERT INTO {t} SELECT * FROM generate_series(250, 280)"],
        ["BEGIN", "CREATE TABLE {t}2 PARTITION OF {t} {b}", "INSERT INTO {t} VALUES (250), (251)", "COMMIT"],
    ],
    ids=["attached empty", "created and filled", "created and filled in one transaction"],
)  # fmt: skip
def test_a_partition_without_rows_of_its_own_rotates_nothing(
    table: Table, statements: list[str]
) -> None:
    follower, filtered = table.follow(), table.follow(where="id > 200")
    table.sql(*(statement.replace("{b}", table.bounds(2)) for statement in statements))
    table.sql("INSERT INTO {t} VALUES (210, 'x'), (211, 'y')")
    table.followers.settle()
    table.sql("DELETE FROM {t} WHERE id = 211", "UPDATE {t} SET v = 'z'")
    table.followers.settle()
    _wait_until_it_is_known(table, 2)
    table.sql("INSERT INTO {t} VALUES (212, 'z')")
    table.followers.settle()
    assert (follower.refetches, filtered.refetches) == (0, 0)


def _wait_until_it_is_known(table: Table, leaves: int) -> None:
    """The worker has looked at the new partition and has nothing against it."""
    path = table.server.storage / table.server.stream_id / "partitions.json"
    (root,) = table.server.query(f"SELECT '{table.name}'::regclass::oid::int8")[0]

    def known() -> int:
        return path.read_text().partition(f'"{root}": [')[2].partition("]]")[0].count("[")

    eventually(lambda: known() == leaves, "the partition is known")


FILL_AND_ATTACH = [
    "CREATE TABLE {t}2 (LIKE {t} INCLUDING ALL)",
    "INSERT INTO {t}2 VALUES (200, 'old'), (201, 'older')",
    "ALTER TABLE {t} ATTACH PARTITION {t}2 {b}",
]


@pytest.mark.parametrize(
    "statements",
    [
        FILL_AND_ATTACH,
        ["BEGIN", *FILL_AND_ATTACH, "COMMIT"],
        ["BEGIN", FILL_AND_ATTACH[0], "SAVEPOINT s", FILL_AND_ATTACH[1], "RELEASE s", FILL_AND_ATTACH[2], "COMMIT"],
    ],
    ids=["one after the other", "in one transaction", "in a savepoint"],
)  # fmt: skip
def test_a_partition_that_brings_rows_rotates_the_shapes_of_the_root(
    table: Table, statements: list[str]
) -> None:
    followers = [table.follow(may_refetch=True), table.follow(may_refetch=True, where="id > 200")]
    leaf = table.follow(leaf="1")
    table.sql(*(statement.replace("{b}", table.bounds(2)) for statement in statements))
    table.until_refetched(*followers)
    table.sql("INSERT INTO {t} VALUES (100), (202)", "UPDATE {t} SET v = 'new'")
    table.followers.settle()
    assert followers[0].content == [
        ("100", "new"), ("200", "new"), ("201", "new"), ("202", "new"),
    ]  # fmt: skip
    assert leaf.refetches == 0


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE {t} DETACH PARTITION {t}2",
        "ALTER TABLE {t} DETACH PARTITION {t}2 CONCURRENTLY",
        "DROP TABLE {t}2",
    ],
)
def test_a_partition_that_goes_rotates_the_shapes_of_the_root(table: Table, statement: str) -> None:
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100, 'stays'), (200, 'goes')")
    follower, other = table.follow(may_refetch=True), table.follow(leaf="1")
    table.sql(statement)
    table.until_refetched(follower)
    table.sql("INSERT INTO {t} VALUES (101, 'new')")
    table.followers.settle()
    assert follower.content == [("100", "stays"), ("101", "new")]
    assert other.refetches == 0


def test_a_partition_that_was_out_for_a_moment_rotates_them_too(table: Table) -> None:
    """What happened to it meanwhile was not streamed."""
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (200, 'old')")
    follower = table.follow(may_refetch=True)
    table.sql(
        "BEGIN",
        "ALTER TABLE {t} DETACH PARTITION {t}2",
        "UPDATE {t}2 SET v = 'new'",
        f"ALTER TABLE {{t}} ATTACH PARTITION {{t}}2 {table.bounds(2)}",
        "COMMIT",
    )
    table.until_refetched(follower)
    assert follower.content == [("200", "new")]


def test_partitions_of_partitions(table: Table) -> None:
    """A shape in the middle is as good as one on the root."""
    table.sql(
        "CREATE TABLE {t}m PARTITION OF {t} FOR VALUES FROM (1000) TO (2000) PARTITION BY RANGE (id)",
        "CREATE TABLE {t}m1 PARTITION OF {t}m FOR VALUES FROM (1000) TO (1100)",
    )
    root, middle = table.follow(may_refetch=True), table.follow(leaf="m", may_refetch=True)
    table.sql(
        "CREATE TABLE {t}m2 PARTITION OF {t}m FOR VALUES FROM (1100) TO (1200)",
        "INSERT INTO {t} VALUES (1, '-'), (1000, 'a'), (1100, 'b')".replace(
            "(1, '-')", "(100, '-')"
        ),
    )
    table.followers.settle()
    table.sql("UPDATE {t} SET v = v || '!'")
    table.followers.settle()
    assert [len(f.content) for f in (root, middle)] == [3, 2]
    assert (root.refetches, middle.refetches) == (0, 0)
    table.sql("DROP TABLE {t}m2")
    table.until_refetched(root, middle)
    table.sql("ALTER TABLE {t} DETACH PARTITION {t}m")
    # What is not below the root any more is not published by it.
    eventually(lambda: (root.refetches, middle.refetches) == (2, 2))
    table.followers.settle()
    assert (root.content, middle.content) == ([("100", "-!")], [("1000", "a!")])


def test_a_leafs_own_shape_and_the_roots_each_use_their_own_name(table: Table) -> None:
    """The followers check the keys (PROTOCOL sections 4.7 and 16.1, point 1)."""
    root, leaf = table.follow(), table.follow(leaf="1")
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100, 'a'), (200, 'b')")
    table.sql("UPDATE {t} SET v = 'c' WHERE id = 100")
    table.followers.settle()
    assert list(leaf.rows) == [f'"public"."{table.name}1"/"100"']
    assert set(root.rows) == {f'"public"."{table.name}"/"{i}"' for i in (100, 200)}


def test_truncating_a_partition_rotates_its_own_shapes_and_the_roots(table: Table) -> None:
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100), (200)")
    root, gone, other = (
        table.follow(may_refetch=True),
        table.follow(leaf="1", may_refetch=True),
        table.follow(leaf="2"),
    )
    table.sql("TRUNCATE {t}1")
    table.until_refetched(root, gone)
    table.followers.settle()
    assert (root.content, gone.content, other.content) == ([("200", None)], [], [("200", None)])


def test_truncating_the_root_rotates_all(table: Table) -> None:
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100), (200)")
    all_three = [table.follow(leaf=leaf, may_refetch=True) for leaf in ("", "1", "2")]
    table.sql("TRUNCATE {t}")
    table.until_refetched(*all_three)


def test_what_came_and_went_while_no_worker_ran_is_found_out(
    table: Table, partition_server: ElectricServer
) -> None:
    table.add(2)
    table.sql("INSERT INTO {t} VALUES (100), (200)")
    kept = Table(partition_server, table.followers, table.name + "k")
    staying = kept.follow()
    follower = table.follow(may_refetch=True)
    table.followers.tolerates_unavailable = True
    partition_server.kill_worker()
    table.sql("DROP TABLE {t}2")
    kept.add(2)
    kept.sql("INSERT INTO {t} VALUES (150), (250)")
    partition_server.start_worker()
    table.until_refetched(follower)
    assert follower.content == [("100", None)]
    table.followers.settle([staying])
    _wait_until_it_is_known(kept, 2)
    assert staying.refetches == 0
    table.followers.tolerates_unavailable = False

"""What rotates a shape, and what does not: exactly the right ones get 409."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
FollowAll = Callable[[ElectricServer], Followers]

# Name → the columns and the condition of a shape on a table (id, kind, note, spare).
SHAPES = {
    "all": {},
    "chosen": {"columns": "id,note"},
    "filtered": {"columns": "id,note", "where": "kind = 1"},
}
CAUSES = {
    "truncate": ("TRUNCATE {t}", {"all", "chosen", "filtered"}),
    "add column": ("ALTER TABLE {t} ADD COLUMN extra int", {"all"}),
    "drop column": ("ALTER TABLE {t} DROP COLUMN spare", {"all"}),
    "rename column": ("ALTER TABLE {t} RENAME COLUMN spare TO other", {"all"}),
    "type of a selected column": (
        "ALTER TABLE {t} ALTER COLUMN note TYPE varchar(90)",
        {"all", "chosen", "filtered"},
    ),
    "type of a filtered column": (
        "ALTER TABLE {t} ALTER COLUMN kind TYPE bigint",
        {"all", "filtered"},
    ),
    "default": ("ALTER TABLE {t} ALTER COLUMN spare SET DEFAULT 5", set()),
    "not null": ("ALTER TABLE {t} ALTER COLUMN note SET NOT NULL", set()),
    "index": ("CREATE INDEX ON {t} (note)", set()),
}

OF_SUBQUERY = {"truncate", "type of a filtered column"}
"""What rotates a shape of another table, too, with a subquery that selects ``id`` and filters by ``kind``."""


@pytest.mark.parametrize("cause", CAUSES)
def test_who_is_rotated(crash_server: ElectricServer, follow_all: FollowAll, cause: str) -> None:
    server, followers = crash_server, follow_all(crash_server)
    table = f"rotated_{list(CAUSES).index(cause)}"
    statement, rotated = CAUSES[cause]
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, kind int, note text, spare int)",
        f"CREATE TABLE {table}_other (id int PRIMARY KEY)",
        f"INSERT INTO {table} SELECT i, i % 2, 'n' || i, i FROM generate_series(1, 10) i",
    )
    followers.make_marks()
    shapes = {
        name: followers.follow(may_refetch=name in rotated, table=table, **query)
        for name, query in SHAPES.items()
    }
    followers.follow(table=f"{table}_other")
    if cause in OF_SUBQUERY:
        rotated = {*rotated, "reading"}
    shapes["reading"] = followers.follow(
        may_refetch=cause in OF_SUBQUERY,
        table=f"{table}_other",
        where=f"id IN (SELECT id FROM {table} WHERE kind = 1)",
    )
    followers.settle()
    before = {name: follower.handle for name, follower in shapes.items()}
    server.sql(
        statement.format(t=table),
        f"INSERT INTO {table} (id, kind, note) VALUES (100, 1, 'new'), (101, 0, 'new')",
        f"INSERT INTO {table}_other VALUES (1)",
    )
    eventually(
        lambda: all(shapes[n].refetches or shapes[n].fault for n in rotated), f"{rotated} go"
    )
    followers.settle()
    after = {name: follower.handle for name, follower in shapes.items()}
    assert {name for name in shapes if after[name] != before[name]} == rotated


@pytest.mark.parametrize("recreated", [True, False])
def test_table_is_dropped(
    crash_server: ElectricServer, follow_all: FollowAll, recreated: bool
) -> None:
    """Who follows the name of a table that was dropped and made anew ends with the new rows."""
    server, followers = crash_server, follow_all(crash_server)
    table = f"dropped_{recreated}".lower()
    server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    followers.make_marks()
    other = followers.follow(table="electric_marks", where="id > 0")
    follower = followers.follow(may_refetch=True, table=table)
    followers.settle()
    if recreated:
        server.sql(f"DROP TABLE {table}", f"CREATE TABLE {table} (id int PRIMARY KEY, more text)")
        server.sql(f"INSERT INTO {table} VALUES (7, 'new')")
        fresh = followers.follow(may_refetch=True, table=table)
        eventually(lambda: fresh.fault or fresh.is_up_to_date, "a new request")
        server.sql(f"INSERT INTO {table} VALUES (8, 'newer')")
        followers.until_equal(fresh, follower)
    else:
        server.sql(f"ALTER TABLE {table} RENAME TO {table}_renamed")
        followers.stop(follower)  # its name is nobody's now
        server.sql(f"INSERT INTO {table}_renamed VALUES (2)")
        renamed = followers.follow(table=f"{table}_renamed")
        followers.settle([renamed, other])
        assert renamed.handle != follower.handle
    assert other.refetches == 0


@pytest.mark.parametrize("statement", ["DROP TABLE {t}", "ALTER TABLE {t} RENAME TO {t}_renamed", "ALTER TABLE {t} RENAME COLUMN kind TO sort"])  # fmt: skip
def test_what_a_subquery_cannot_read_any_more_ends_its_shape_and_no_other(
    crash_server: ElectricServer, follow_all: FollowAll, statement: str
) -> None:
    """Found by a look into the catalogue: nobody tells, and nothing is written."""
    server, followers = crash_server, follow_all(crash_server)
    table = f"unread_{statement.split()[-1].strip('{}')}".replace("{", "").replace("}", "")
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, kind int)",
        f"CREATE TABLE {table}_other (id int PRIMARY KEY)",
        f"INSERT INTO {table}_other VALUES (1)",
    )
    followers.make_marks()
    other = followers.follow(table=f"{table}_other")
    reading = followers.follow(
        table=f"{table}_other", where=f"id IN (SELECT id FROM {table} WHERE kind = 1)"
    )
    followers.settle()
    followers.stop(reading)
    server.sql(statement.format(t=table))
    gone = "SELECT FROM django_electric_shape WHERE handle = %s"
    with server.connect() as connection:
        eventually(
            lambda: connection.execute(gone, [reading.handle]).fetchone() is None,
            "the shape goes",
            seconds=30,
        )
    followers.settle()
    assert other.refetches == 0

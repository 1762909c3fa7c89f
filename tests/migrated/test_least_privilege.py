"""Published by migrations, tables need no lock for a shape, and the runtime no right but to read them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.migrated.least_server import LeastServer
from tests.support.followers import Followers
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.xdist_group("migrated"),
]
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def as_role(least: LeastServer) -> Iterator[Connection]:
    """What the role itself may do."""
    dsn = least.dsn.replace("user=postgres", f"user={least.role}")
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def test_the_worker_and_the_web_run_as_the_role(least: LeastServer) -> None:
    users = least.query("SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'electric_slot%%'", [least.database])  # fmt: skip
    assert users == [(least.role,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO migrated_other DEFAULT VALUES",
        "UPDATE migrated_other SET id = 1",
        "DELETE FROM migrated_other",
        "TRUNCATE migrated_other",
        "LOCK TABLE migrated_other IN SHARE MODE",
        "ALTER TABLE migrated_other REPLICA IDENTITY DEFAULT",
        "CREATE PUBLICATION mine",
        "CREATE TABLE mine ()",
        "SELECT FROM django_migrations",
        "TRUNCATE django_electric_shape",
    ],
)
def test_the_role_may_nothing_that_it_need_not(as_role: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_role.transaction():
        as_role.execute(statement)  # type: ignore[arg-type]


def test_the_role_does_not_own_the_publication(as_role: Connection, least: LeastServer) -> None:
    name = f"electric_publication_{least.stream_id}"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role.execute(f"ALTER PUBLICATION {name} ADD TABLE django_electric_shape")  # type: ignore[arg-type]


def test_a_shape_begins_while_a_writer_is_open_and_under_any_lock_but_of_readers(
    least: LeastServer, followers: Followers
) -> None:
    """EXCLUSIVE conflicts with every lock but ACCESS SHARE. And no row is lost."""
    followers.make_marks()
    # A condition that only Postgres can evaluate, for the worker to ask about.
    followers.follow(table="migrated_other", where="int8range(id, 90) @> 7::bigint")
    with least.connect() as writer, writer.transaction():
        writer.execute("LOCK TABLE migrated_other IN EXCLUSIVE MODE")
        writer.execute("INSERT INTO migrated_other DEFAULT VALUES")
        follower = followers.follow(table="migrated_other")
        eventually(lambda: follower.fault or follower.is_up_to_date, "the shape begins")
        followers.check()
        assert follower.rows == {}
    followers.settle()
    assert len(follower.rows) == 1


def test_what_is_granted_twice_is_granted(least: LeastServer) -> None:
    """And a role that exists is altered, not made."""
    text = least.manage("electric_sql", "--role", least.role)
    assert f'ALTER ROLE "{least.role}"' in text
    assert "CREATE ROLE" not in text
    least.sql(text)

"""The look-up on a real database: the catalogue, the `Shape` table, and memory when it is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest, ShapeRequest, nest, parse
from django_electric.web import database
from django_electric.web.database import DatabaseThreads, DatabaseUnreachable
from django_electric.web.shapes import (
    SHARED_SECONDS,
    Found,
    Mismatch,
    NotMigrated,
    NotRegistered,
    Shapes,
)
from tests.support.waiting import eventually


@pytest.fixture
def _items(transactional_db: None) -> Iterator[None]:
    """A database with a table, really committed: the look-up has connections of its own."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS items")
        cursor.execute("CREATE TABLE items (id int PRIMARY KEY, value text NOT NULL)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE items")


@pytest.fixture
async def threads(_items: None) -> AsyncIterator[DatabaseThreads]:
    threads = DatabaseThreads("default")
    yield threads
    threads.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shapes(settings: ElectricSettings, threads: DatabaseThreads, clock: Clock) -> Shapes:
    return Shapes(settings, threads, clock)


def wanting(**parameters: str) -> ShapeRequest:
    return parse({"table": "items", "offset": "-1", **parameters})


async def find(shapes: Shapes, *, may_register: bool = True, **parameters: str) -> Found:
    found = await shapes.find(wanting(**parameters).shape, may_register=may_register)
    assert isinstance(found, Found)
    return found


async def alter(threads: DatabaseThreads, *statements: str) -> None:
    def work() -> None:
        with connections["default"].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    await threads.run(work)


async def test_the_same_definition_is_registered_once(shapes: Shapes) -> None:
    first = await find(shapes)
    assert not first.is_filled
    assert (await find(shapes, table='public."items"')).handle == first.handle
    assert (await find(shapes, replica="full")).handle != first.handle


async def test_without_leave_nothing_is_registered(shapes: Shapes) -> None:
    for _ in range(2):
        found = await shapes.find(wanting().shape, may_register=False)
        assert isinstance(found, NotRegistered)
        assert found.relation.name == "items"


async def test_an_invalid_request_is_told_so(shapes: Shapes) -> None:
    with pytest.raises(InvalidRequest):
        await find(shapes, table="nope")


async def test_a_request_that_continues_asks_no_database(shapes: Shapes, clock: Clock) -> None:
    found = await find(shapes)
    live = wanting(offset="0_0", handle=found.handle, live="true")
    caught_up = wanting(offset="0_0", handle=found.handle)
    assert shapes.remembered(live) == shapes.remembered(caught_up) == found
    clock.now += 60
    assert shapes.remembered(live) == found
    assert shapes.remembered(caught_up) is None, "the schema must be current"


async def test_requests_that_begin_together_share_one_look(shapes: Shapes, clock: Clock) -> None:
    found = await find(shapes)
    assert shapes.remembered(wanting()) == shapes.remembered(wanting(handle="1-1")) == found
    clock.now += 2 * SHARED_SECONDS
    assert shapes.remembered(wanting()) is None


async def test_a_request_with_another_handle_asks_the_database(shapes: Shapes) -> None:
    found = await find(shapes)
    assert shapes.remembered(wanting(offset="0_0", handle="1-1", live="true")) is None
    shapes.forget(found.handle)
    assert shapes.remembered(wanting(offset="0_0", handle=found.handle, live="true")) is None
    assert not shapes.knows(found.handle)


@pytest.mark.parametrize(
    ("statement", "is_rotated"),
    [
        ("ALTER TABLE items ALTER value TYPE varchar(50)", True),
        ("ALTER TABLE items ALTER value DROP NOT NULL", False),
    ],
)
async def test_a_shape_whose_column_changed_its_type_is_rotated(
    shapes: Shapes, threads: DatabaseThreads, statement: str, is_rotated: bool
) -> None:
    before = await find(shapes)
    await alter(threads, statement)
    after = await find(shapes)
    assert (after.rotated == before.handle) is is_rotated
    assert (after.handle != before.handle) is is_rotated


async def test_a_subquery_on_a_table_whose_column_changed_its_type(
    shapes: Shapes, threads: DatabaseThreads
) -> None:
    where = "id IN (SELECT o.id FROM other_items o WHERE o.value = $1)"
    query = {"where": where, "params[1]": "a"}
    wanted = parse(nest([("table", "items"), ("offset", "-1"), *query.items()])).shape

    await alter(threads, "CREATE TABLE other_items (id int PRIMARY KEY, value text)")

    async def look() -> Found:
        found = await shapes.find(wanted, may_register=True)
        assert isinstance(found, Found)
        return found

    try:
        before = await look()
        (inner,) = before.definition.dependencies
        assert inner.subselect in (before.definition.where or "")
        row = await threads.run(Shape.objects.get, handle=before.handle)
        assert row.to_definition() == before.definition
        assert row.explain().subqueries[0].table == '"public"."other_items"'
        assert (await look()).handle == before.handle
        await alter(threads, "ALTER TABLE other_items ALTER value TYPE varchar(50)")
        assert (await look()).rotated == before.handle
    finally:
        await alter(threads, "DROP TABLE other_items")


async def test_subqueries_read_tables_that_exist(shapes: Shapes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await find(shapes, where="id IN (SELECT id FROM nope)")
    assert set(refused.value.errors) == {"table"}


async def test_a_table_made_anew_is_another_shape(shapes: Shapes, threads: DatabaseThreads) -> None:
    before = await find(shapes)
    await alter(threads, "DROP TABLE items", "CREATE TABLE items (id int PRIMARY KEY, value text)")
    assert (await find(shapes)).handle != before.handle


async def test_before_the_first_migration_the_remedy_is_named(
    shapes: Shapes, threads: DatabaseThreads
) -> None:
    await alter(threads, "ALTER TABLE django_electric_shape RENAME TO elsewhere")
    try:
        with pytest.raises(NotMigrated, match=r"manage\.py migrate"):
            await find(shapes)
    finally:
        await alter(threads, "ALTER TABLE elsewhere RENAME TO django_electric_shape")
    await find(shapes)


async def test_the_owner_is_whoever_asked_first(shapes: Shapes, threads: DatabaseThreads) -> None:
    for user in ("auth.User:2", "auth.User:9"):
        access = Access(TableName("public", "items"), "id = $1", ("2",), user=user)
        wanted = parse({"offset": "-1"}, access)
        found = await shapes.find(wanted.shape, may_register=True)
        assert isinstance(found, Found)
        row = await threads.run(Shape.objects.get, handle=found.handle)
        assert row.owner == "auth.User:2"


async def test_deleting(shapes: Shapes) -> None:
    found = await find(shapes)
    assert await shapes.exists(found.handle)
    assert await shapes.delete(wanting().shape, "1-1") == Mismatch()
    assert await shapes.delete(wanting().shape, None) == found.handle
    assert await shapes.delete(None, found.handle) is None
    assert not await shapes.exists(found.handle)


class TestUnreachable:
    """Existing shapes are served while the database is away."""

    @pytest.fixture
    def away(self, threads: DatabaseThreads, monkeypatch: pytest.MonkeyPatch) -> None:
        async def run(*_: object, **__: object) -> None:
            raise DatabaseUnreachable

        monkeypatch.setattr(threads, "run", run)

    async def test_what_was_found_serves(
        self, shapes: Shapes, request: pytest.FixtureRequest
    ) -> None:
        found = await find(shapes)
        request.getfixturevalue("away")
        assert await find(shapes) == found

    async def test_what_was_not_found_does_not(self, shapes: Shapes, away: None) -> None:
        with pytest.raises(DatabaseUnreachable):
            await find(shapes)


def terminate(pids: set[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [list(pids)])
    connection.close()


async def test_a_connection_that_was_cut_is_opened_again(threads: DatabaseThreads) -> None:
    def pid() -> int:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    old = {await threads.run(pid) for _ in range(20)}
    await asyncio.to_thread(terminate, old)
    new = {await threads.run(pid) for _ in range(20)}
    assert not old & new


async def test_a_connection_that_nobody_uses_is_closed(
    threads: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.05)

    def ask(seconds: float = 0) -> BaseDatabaseWrapper:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [seconds])
        return connections["default"]

    used = await asyncio.gather(*(threads.run(ask, 0.1) for _ in range(3)))
    assert len(set(map(id, used))) == 3
    await asyncio.to_thread(
        eventually, lambda: all(wrapper.connection is None for wrapper in used), "they are closed"
    )
    assert (await threads.run(ask)).connection is not None


async def test_one_thread_is_enough_for_whoever_asks_one_thing_after_the_other(
    threads: DatabaseThreads,
) -> None:
    assert len({await threads.run(threading.get_ident) for _ in range(20)}) == 1


async def test_a_database_that_cannot_be_reached_is_not_asked_again_at_once(
    threads: DatabaseThreads,
) -> None:
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise OperationalError("connection refused")

    for _ in range(3):
        with pytest.raises(DatabaseUnreachable):
            await threads.run(refuse)
    assert len(asked) <= 2

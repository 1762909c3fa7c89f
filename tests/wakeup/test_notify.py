"""NotifyRoad against a real Postgres: two ends, and what Postgres does to them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from django_electric.wakeup import encode
from django_electric.wakeup import notify as notify_module
from django_electric.wakeup import road as road_module
from django_electric.wakeup.names import Directions, notify_channels
from django_electric.wakeup.notify import NotifyRoad, conninfo_of
from example_project.embedded_postgres import Cluster
from tests.wakeup.ends import Someone, Walk, until

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def names() -> Directions:
    """Of a stream that no other test has."""
    return notify_channels(f"{uuid.uuid4().hex[:12]}$x")


@pytest.fixture(scope="module")
def dsn(postgres_cluster: Cluster) -> str:
    return postgres_cluster.dsn("app")


@pytest.fixture
def slot(pg: Connection) -> Iterator[str]:
    name = f"notify_{uuid.uuid4().hex[:12]}"
    pg.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    yield name
    pg.execute("SELECT pg_drop_replication_slot(%s)", [name])


def worker(dsn: str, names: Directions, first_words: bytes = b"") -> Walk:
    return Walk(NotifyRoad(dsn, names.to_worker, names.to_web), Someone(first_words))


def web(dsn: str, names: Directions, slot: str | None = None) -> Walk:
    return Walk(NotifyRoad(dsn, names.to_web, names.to_worker, slot), Someone(b"hello\n"))


@asynccontextmanager
async def both(
    dsn: str, names: Directions, first_words: bytes = b""
) -> AsyncIterator[tuple[Walk, Walk]]:
    """A worker, and then a web process whose greeting it has heard."""
    async with worker(dsn, names, first_words) as one:
        await until(lambda: one.road.is_connected)
        async with web(dsn, names) as other:
            await until(lambda: one.end.heard == [b"hello"])
            yield one, other


def backends(pg: Connection, name: str) -> list[tuple[object, ...]]:
    return pg.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name]
    ).fetchall()


async def test_lines_go_both_ways(dsn: str, names: Directions) -> None:
    async with both(dsn, names) as (one, other):
        one.road.send(b"state active\nmoved a b\n")
        other.road.send(b"registered c\n")
        await until(lambda: len(other.end.heard) == 2)
        assert other.end.heard == [b"state active", b"moved a b"]
        await until(lambda: len(one.end.heard) == 2)
        assert one.end.heard == [b"hello", b"registered c"]


async def test_everybody_hears_the_worker(dsn: str, names: Directions) -> None:
    async with both(dsn, names) as (one, two), web(dsn, names) as three:
        await until(lambda: three.road.is_connected)
        one.road.send(b"moved a\n")
        await until(lambda: two.end.heard and three.end.heard)


async def test_more_than_a_notification_can_carry_arrives(dsn: str, names: Directions) -> None:
    lines = [b"moved " + b" ".join(b"%030d" % (n * 200 + i) for i in range(200)) for n in range(50)]
    async with both(dsn, names) as (one, other):
        one.road.send(b"\n".join(lines) + b"\n")
        await until(lambda: len(other.end.heard) == len(lines))
        assert other.end.heard == lines


@pytest.mark.parametrize("which", [0, 1])
async def test_a_connection_that_is_ended_is_made_again(
    dsn: str, names: Directions, pg: Connection, which: int
) -> None:
    async with both(dsn, names) as ends:
        broken, whole = ends[1 - which], ends[which]
        ((pid,),) = backends(pg, names[which])
        pg.execute("SELECT pg_terminate_backend(%s)", [pid])
        await until(lambda: broken.end.losses == 1)
        broken.road.send(b"moved a\n")
        await until(lambda: b"moved a" in whole.end.heard)
        whole.road.send(b"moved b\n")
        await until(lambda: b"moved b" in broken.end.heard)
        assert whole.end.losses == 0


async def test_first_words_come_again_with_each_connection(
    dsn: str, names: Directions, pg: Connection
) -> None:
    async with web(dsn, names) as other:
        await until(lambda: other.road.is_connected)
        async with worker(dsn, names, b"look\n") as one:
            await until(lambda: other.end.heard == [b"look"])
            pg.execute("SELECT pg_terminate_backend(%s)", backends(pg, names.to_worker)[0])
            await until(lambda: other.end.heard == [b"look", b"look"])
            assert one.end.losses == 1


async def test_a_worker_that_does_not_stream_is_lost(
    dsn: str, names: Directions, slot: str, pg: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the slot is all that happens while nothing happens: nobody is notified of anything."""
    monkeypatch.setattr(road_module, "BEAT", 0.02)
    with psycopg.connect(dsn, autocommit=True) as spy:
        for name in names:
            spy.execute(SQL("LISTEN {}").format(Identifier(name)))
        async with web(dsn, names, slot) as other:
            await until(lambda: other.end.losses > 5)
        assert [n.payload for n in spy.notifies(timeout=0)] == ["hello"]


async def test_a_worker_that_streams_and_is_not_known_is_greeted(
    dsn: str, names: Directions, slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(road_module, "BEAT", 0.02)
    with psycopg.connect(dsn, autocommit=True) as other:
        stream = other.pgconn.connect(f"{dsn} replication=database".encode())
        stream.exec_(
            f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'x')".encode()
        )
        async with both(dsn, names) as (one, _), web(dsn, names, slot) as listener:
            await until(lambda: len(one.end.heard) > 3)
            assert set(one.end.heard) == {b"hello"}
            one.road.send(encode("state", "active"))
            await until(lambda: listener.end.is_in_touch)
            told = len(one.end.heard)
            assert listener.end.losses == 0
            stream.finish()
            await until(lambda: listener.end.losses)
        assert len(one.end.heard) <= told + 1


async def test_a_server_that_is_not_there_is_asked_again(names: Directions) -> None:
    async with web("host=/nowhere dbname=x", names) as other:
        await until(lambda: other.end.losses > 2)
        assert not other.road.is_connected


async def test_a_road_that_is_stopped_ends_its_connection_after_its_last_words(
    dsn: str, names: Directions, pg: Connection
) -> None:
    async with web(dsn, names) as other:
        await until(lambda: other.road.is_connected)
        one = NotifyRoad(dsn, names.to_worker, names.to_web)
        walk = Walk(one, Someone())
        async with walk:
            await until(lambda: one.is_connected and backends(pg, names.to_worker))
            one.send(b"moved a\n")
            one.stop()
            await until(lambda: not backends(pg, names.to_worker))
        await until(lambda: other.end.heard == [b"moved a"])


def test_of_djangos_parameters_those_that_libpq_knows_are_taken() -> None:
    conninfo = conninfo_of(
        {"host": "/run/x y", "dbname": "it's", "user": None, "port": 5433, "client_encoding": "LATIN1",
         "cursor_factory": object(), "context": object(), "prepare_threshold": None},
        application_name="me",
    )  # fmt: skip
    assert conninfo_to_dict(conninfo) == {
        "host": "/run/x y", "dbname": "it's", "port": "5433", "client_encoding": "UTF8", "application_name": "me",
    }  # fmt: skip


async def test_a_server_that_does_not_answer_is_given_up(
    dsn: str, names: Directions, slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(notify_module, "PATIENCE", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(NotifyRoad, "_watch", hang)
        async with web(dsn, names, slot) as other:
            await until(lambda: other.end.losses == 2)
            patch.undo()
            await until(lambda: other.road.is_connected and other.end.losses > 2)

"""The query of a subset on a real database: when its snapshot may be taken, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from psycopg.pq import TransactionStatus

from django_electric.catalogue import find_relation
from django_electric.conf import AdmissionLimits, ElectricSettings
from django_electric.errors import ShapeGone, SnapshotFailed
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol.params import InvalidRequest, parse
from django_electric.protocol.resolve import resolve
from django_electric.protocol.subset import parse_subset
from django_electric.storage import MemoryStorage
from django_electric.web import database
from django_electric.web import subset as module
from django_electric.web.admission import Admission
from django_electric.web.database import DatabaseThreads
from django_electric.web.exchange import WebRequest, WebResponse
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found
from django_electric.web.subset import answer_subset
from tests.web.conftest import SNAPSHOT_END

HANDLE = "1-1"
SETTINGS = (
    "bytea_output",
    "DateStyle",
    "TimeZone",
    "extra_float_digits",
    "IntervalStyle",
    "statement_timeout",
)


class Desk:
    """One shape of one table, its log in memory, and subsets of it."""

    def __init__(self, settings: ElectricSettings, threads: DatabaseThreads) -> None:
        self.storage = MemoryStorage()
        self.service = ShapeService(settings, self.storage)
        self.threads = threads
        self.admission = Admission(AdmissionLimits())
        self.writer = self.storage.writer(HANDLE)
        self.waiting = asyncio.Event()
        """A request had to wait."""

    def fill(self) -> None:
        """Publish the shape's first rows: none."""
        snapshot = self.writer.snapshot()
        snapshot.write(SNAPSHOT_END)
        snapshot.finish()

    def append(self, tx: int, xid: int) -> None:
        """A transaction appears in the log."""
        entry = b',{"key":"k","value":{"txids":"[9]"},"headers":{"txids":[%d]}}\n' % xid
        self.writer.append(tx, [0], [entry])
        self.storage.publish()

    async def ask(self, offset: str = "-1", **members: object) -> WebResponse:
        wanted = parse({"table": "items", "offset": offset, "handle": HANDLE, "subset": members})

        def find() -> Found:
            with connections["default"].cursor() as cursor:
                relation = find_relation(cursor, "public", "items")
            assert relation is not None
            return Found(HANDLE, resolve(wanted.shape, relation), relation)

        return await self.ask_of(await self.threads.run(find), offset, **members)

    async def ask_of(self, found: Found, offset: str = "-1", **members: object) -> WebResponse:
        wanted = parse({"table": "items", "offset": offset, "handle": HANDLE, "subset": members})
        subset = parse_subset(members, found.relation)
        permit = self.admission.admit("initial")
        request = WebRequest("GET", on_wait=self.waiting.set)
        return await answer_subset(self.service, request, wanted, found, subset, permit)

    async def ids(self, **members: object) -> list[str]:
        answer = await self.ask(**members)
        return [row["value"]["id"] for row in json.loads(answer.body)["data"]]

    async def sql(self, statement: str) -> list[Any]:
        """Run a statement elsewhere than where subsets run."""

        def run() -> list[Any]:
            with connections["default"].cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

        return await self.threads.run(run)


@pytest.fixture
def _items(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS items")
        cursor.execute("CREATE TABLE items (id int PRIMARY KEY, value text NOT NULL)")
        cursor.execute("INSERT INTO items VALUES (1, 'a'), (2, 'b')")


@pytest.fixture
async def bare_desk(
    settings: ElectricSettings, _items: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """The shape's first rows are not there. One thread, and so one connection, runs all queries."""
    monkeypatch.setattr(database, "THREADS", 1)
    threads, queries = DatabaseThreads("default"), DatabaseThreads("default", 30)
    monkeypatch.setattr(module, "query_threads", lambda alias: queries)
    desk = Desk(replace(settings, replication_stream_id=f"t{uuid.uuid4().hex[:10]}"), threads)
    yield desk
    await desk.service.listener.stop()
    await desk.sql(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        f" WHERE slot_name = '{desk.service.settings.slot_name}'"
    )
    threads.close()
    queries.close()


@pytest.fixture
async def desk(bare_desk: Desk) -> Desk:
    """The shape's first rows are there."""
    bare_desk.fill()
    return bare_desk


@pytest.fixture
def other(_items: None) -> Iterator[psycopg.Connection[Any]]:
    """Another session, which begins a transaction with its first statement."""
    parameters = connection.get_connection_params()
    known = {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if parameters.get(name)}  # fmt: skip
    with psycopg.connect(**known) as session:
        yield session
        session.rollback()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


# --- Joining the log ------------------------------------------------------------------------------


async def make_slot(desk: Desk) -> int:
    """The LSN that the worker has confirmed."""
    name = desk.service.settings.slot_name
    await desk.sql(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    ((confirmed,),) = await desk.sql(
        "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::int8 FROM pg_replication_slots"
        f" WHERE slot_name = '{name}'"
    )
    return int(confirmed)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What each attempt to run a query gave."""
    results: list[object] = []
    attempt = module._Query._attempt

    def spy(query: module._Query) -> object:
        results.append(attempt(query))
        return results[-1]

    monkeypatch.setattr(module._Query, "_attempt", spy)
    return results


def write_invisibly(session: psycopg.Connection[Any]) -> int:
    """The xid of a transaction that adds row 3 and is not committed."""
    session.execute("INSERT INTO items VALUES (3, 'c')")
    row = session.execute("SELECT pg_current_xact_id()::text::int8 % (1::int8 << 32)").fetchone()
    assert row is not None
    return int(row[0])


async def test_the_rows_are_never_older_than_the_log(
    desk: Desk, other: psycopg.Connection[Any], attempts: list[object]
) -> None:
    """Postgres streams a commit before it is visible: here the log has it, and no snapshot sees it."""
    confirmed = await make_slot(desk)
    desk.append(confirmed + 8, write_invisibly(other))
    task = asyncio.create_task(desk.ids(order_by="id"))
    await until(lambda: len(attempts) > 1)
    assert set(attempts) == {None}
    assert not task.done()
    other.commit()
    assert await task == ["1", "2", "3"]


async def test_what_stays_invisible_is_an_error_in_the_end(
    desk: Desk, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VISIBILITY_SECONDS", 0.05)
    desk.append(await make_slot(desk), write_invisibly(other))
    with pytest.raises(SnapshotFailed, match="took too long to start") as failed:
        await desk.ask()
    assert failed.value.status == 503


async def test_what_the_worker_has_confirmed_is_visible(
    desk: Desk, other: psycopg.Connection[Any]
) -> None:
    """Only what came later is looked at, so that a long log costs nothing."""
    confirmed = await make_slot(desk)
    desk.append(confirmed - 1, write_invisibly(other))
    assert await desk.ids() == ["1", "2"]


async def test_transactions_that_the_log_does_not_have_are_not_waited_for(
    desk: Desk, other: psycopg.Connection[Any]
) -> None:
    await make_slot(desk)
    xid = write_invisibly(other)
    answer = json.loads((await desk.ask()).body)
    assert [row["value"]["id"] for row in answer["data"]] == ["1", "2"]
    metadata = answer["metadata"]
    assert int(metadata["xmin"]) % (1 << 32) <= xid
    assert xid >= int(metadata["xmax"]) % (1 << 32) or str(xid) in metadata["xip_list"]


async def test_the_query_waits_for_the_shape_s_own_first_rows(bare_desk: Desk) -> None:
    """The log leaves out what their snapshot saw: an earlier query would never hear of it."""
    task = asyncio.create_task(bare_desk.ids(order_by="id"))
    await bare_desk.waiting.wait()
    await bare_desk.sql("INSERT INTO items VALUES (3, 'c')")
    assert not task.done()
    bare_desk.fill()
    assert await task == ["1", "2", "3"]
    assert bare_desk.admission.under_way == {"initial": 0, "existing": 1}


@pytest.fixture
def before_attempts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """``before_attempts(act)``: what happens between the look at the log and the query."""
    attempt = module._Query._attempt

    def arrange(act: Callable[[], None]) -> None:
        def first_act(query: module._Query) -> object:
            act()
            return attempt(query)

        monkeypatch.setattr(module._Query, "_attempt", first_act)

    return arrange


async def test_now_is_where_the_log_ended_before_the_query(
    desk: Desk, before_attempts: Callable[[Callable[[], None]], None]
) -> None:
    assert (await desk.ask("now")).headers["electric-offset"] == "0_inf"
    desk.append(77, 3)
    before_attempts(lambda: desk.append(88, 3))
    assert (await desk.ask("now")).headers["electric-offset"] == "77_0"
    assert (await desk.ask("0_inf")).headers["electric-offset"] == "0_inf"


async def test_a_shape_that_is_gone_is_gone(
    desk: Desk, before_attempts: Callable[[Callable[[], None]], None]
) -> None:
    await make_slot(desk)
    before_attempts(lambda: desk.storage.delete(HANDLE))
    with pytest.raises(ShapeGone):
        await desk.ask()


async def test_the_rows_are_those_of_the_snapshot(
    desk: Desk, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = module._snapshot

    @contextmanager
    def with_a_commit_after_it(session: psycopg.Connection[Any]) -> Iterator[PgSnapshot]:
        with take(session) as snapshot:
            write_invisibly(other)
            other.commit()
            yield snapshot

    monkeypatch.setattr(module, "_snapshot", with_a_commit_after_it)
    assert await desk.ids(order_by="id") == ["1", "2"]


async def test_the_lsn_lies_after_everything_that_the_snapshot_sees(desk: Desk) -> None:
    """Also where a commit does not wait until its WAL is written."""
    await desk.sql("SET synchronous_commit = off; INSERT INTO items VALUES (3, 'c')")
    ((before,),) = await desk.sql("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8")
    answer = json.loads((await desk.ask()).body)
    assert int(answer["metadata"]["database_lsn"]) >= before


# --- The connection -------------------------------------------------------------------------------


def state_of_connection() -> tuple[TransactionStatus, list[object]]:
    session = connections["default"].connection
    status = session.info.transaction_status
    values = [session.execute(f"SHOW {name}").fetchone()[0] for name in SETTINGS]
    return status, values


@pytest.mark.parametrize("members", [{}, {"where": "value = 'a' AND id = 1"}, {"where": "id > 0"}])
async def test_the_project_s_connection_is_left_as_it_was(
    desk: Desk, members: dict[str, object]
) -> None:
    queries = module.query_threads("default")

    def prepare() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'")

    await queries.run(prepare)
    before = await queries.run(state_of_connection)
    assert before[1][1:3] == ["German, DMY", "Asia/Tokyo"]
    await desk.ask(**members)
    assert await queries.run(state_of_connection) == before


async def test_an_error_leaves_no_transaction_behind(desk: Desk) -> None:
    found = await stale(desk, "ALTER TABLE items DROP value")
    before = await module.query_threads("default").run(state_of_open_connection)
    with pytest.raises(SnapshotFailed):
        await desk.ask_of(found)
    assert await module.query_threads("default").run(state_of_open_connection) == before


def state_of_open_connection() -> tuple[TransactionStatus, list[object]]:
    connections["default"].ensure_connection()
    return state_of_connection()


async def test_a_connection_that_was_cut_is_opened_again(desk: Desk) -> None:
    def pid() -> int:
        connections["default"].ensure_connection()
        return int(connections["default"].connection.info.backend_pid)

    queries = module.query_threads("default")
    old = await queries.run(pid)
    await desk.sql(f"SELECT pg_terminate_backend({old}, 5000)")
    assert sorted(await desk.ids()) == ["1", "2"]
    assert await queries.run(pid) != old


# --- Errors ---------------------------------------------------------------------------------------


async def stale(desk: Desk, statement: str) -> Found:
    """What a look-up found before *statement* changed the table."""
    wanted = parse({"table": "items", "offset": "-1"})

    def find() -> Found:
        with connections["default"].cursor() as cursor:
            relation = find_relation(cursor, "public", "items")
            assert relation is not None
            cursor.execute(statement)
        return Found(HANDLE, resolve(wanted.shape, relation), relation)

    return await desk.threads.run(find)


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE items DROP value", "ALTER TABLE items RENAME TO others"]
)
async def test_a_schema_that_has_just_changed_is_409(desk: Desk, statement: str) -> None:
    found = await stale(desk, statement)
    try:
        with pytest.raises(SnapshotFailed) as failed:
            await desk.ask_of(found)
    finally:
        await desk.sql("DROP TABLE IF EXISTS others")
    assert failed.value.status == 409


async def test_a_role_that_may_not_read_is_503(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEGIN", f"{module._BEGIN}; SET LOCAL ROLE pg_monitor")
    with pytest.raises(SnapshotFailed) as failed:
        await desk.ask()
    text = "Unable to create initial snapshot: permission denied for table items"
    assert (failed.value.status, failed.value.message) == (503, text)


async def test_a_literal_that_postgres_refuses_is_an_invalid_request(desk: Desk) -> None:
    await desk.sql("ALTER TABLE items ADD mac macaddr")
    with pytest.raises(InvalidRequest) as refused:
        await desk.ask(where="mac = 'x'")
    text = 'invalid input syntax for type macaddr: "x"'
    assert refused.value.errors == {"subset": {"where": text}}


@contextmanager
def locked(session: psycopg.Connection[Any]) -> Iterator[None]:
    session.execute("LOCK TABLE items")
    yield
    session.rollback()


async def test_a_query_that_takes_too_long_is_503(
    desk: Desk, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await stale(desk, "SELECT 1")
    monkeypatch.setattr(module, "_BEGIN", module._BEGIN.replace("'30s'", "'50ms'"))
    with locked(other), pytest.raises(SnapshotFailed) as failed:
        await desk.ask_of(found)
    assert failed.value.status == 503
    assert failed.value.message.startswith(
        "Snapshot query took too long to return data (cancelled after 30000ms)."
    )


async def test_a_query_that_does_not_get_its_turn_is_503(
    desk: Desk, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await stale(desk, "SELECT 1")
    impatient = DatabaseThreads("default", 0.05)
    monkeypatch.setattr(module, "query_threads", lambda alias: impatient)
    with locked(other), pytest.raises(SnapshotFailed) as failed:
        await desk.ask_of(found)
    impatient.close()
    text = "Snapshot creation failed because of a connection pool queue timeout"
    assert (failed.value.status, failed.value.message) == (503, text)

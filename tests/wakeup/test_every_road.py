"""Whatever the road: a wake-up comes at once, and without one it costs the poll interval and nothing else.

The servers poll every `POLL_SECONDS`; an answer that comes in less than half of that was woken.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.plain_http import Answer, PlainConnection
from tests.support.server import ElectricServer
from tests.support.waiting import eventually
from tests.wakeup.conftest import POLL_SECONDS, Stage

AT_ONCE = POLL_SECONDS / 2
_names = itertools.count()


class Client:
    """One client of one table."""

    def __init__(self, server: ElectricServer, table: str) -> None:
        self.query = {"table": table, "offset": "-1"}
        self._connection = PlainConnection("127.0.0.1", server.port)

    async def get(self, **more: str) -> Answer:
        answer = await self._connection.get("/v1/shape", {**self.query, **more})
        if answer.status_code == 200:
            self.query["handle"] = answer.headers["electric-handle"]
            self.query["offset"] = answer.headers["electric-offset"]
        return answer

    async def catch_up(self) -> None:
        while "electric-up-to-date" not in (await self.get()).headers:
            pass

    async def live(self) -> asyncio.Task[Answer]:
        """A request that waits for news, and that nothing has come for so far."""
        task = asyncio.create_task(self.get(live="true", cursor=str(time.monotonic_ns())))
        done, _ = await asyncio.wait([task], timeout=0.3)
        assert not done
        return task

    def close(self) -> None:
        self._connection.close()


class Table:
    """A table of its own, and the clients that look at it."""

    def __init__(self, server: ElectricServer) -> None:
        self.server = server
        self.name = f"woken_{next(_names)}"
        self.clients: list[Client] = []
        server.sql(f"CREATE TABLE {self.name} (id int PRIMARY KEY)")

    def client(self) -> Client:
        self.clients.append(Client(self.server, self.name))
        return self.clients[-1]

    def insert(self, row: int) -> float:
        """When it was there."""
        self.server.sql(f"INSERT INTO {self.name} VALUES ({row})")
        return time.monotonic()


@pytest.fixture
async def table(stage: Stage) -> AsyncIterator[Table]:
    table = Table(stage.server)
    yield table
    for client in table.clients:
        client.close()


def ids(answer: Answer) -> list[int]:
    return [int(message["value"]["id"]) for message in answer.json() if "value" in message]


async def within(task: asyncio.Task[Answer], seconds: float = AT_ONCE) -> Answer:
    return await asyncio.wait_for(task, seconds)


async def test_a_request_that_waits_is_woken(table: Table) -> None:
    clients = [table.client() for _ in range(3)]
    for client in clients:
        await client.catch_up()
    for row in range(2):
        waiting = await asyncio.gather(*(client.live() for client in clients))
        table.insert(row)
        assert [ids(await within(task)) for task in waiting] == [[row]] * 3


async def test_a_new_shape_is_filled_at_once(table: Table) -> None:
    """The worker looks for new rows in the catalogue by itself, too: hence several."""
    table.insert(1)
    for _ in range(4):
        client = table.client()
        client.query["where"] = f"id > -{len(table.clients)}"
        answer = await asyncio.wait_for(client.get(), AT_ONCE)
        assert ids(answer) == [1]


async def test_whoever_waits_for_a_shape_that_is_deleted_hears_of_it(table: Table) -> None:
    """Both ways: the web process tells the worker, and the worker tells the web process."""
    client = table.client()
    await client.catch_up()
    waiting = await client.live()
    url, params = f"{table.server.url}/v1/shape", {"table": table.name}
    deleted = await asyncio.to_thread(httpx.delete, url, params=params)
    assert deleted.status_code == 202
    assert (await within(waiting)).status_code == 409


async def test_a_failure_of_the_first_rows_reaches_whoever_waits(table: Table) -> None:
    """A writer that does not end holds the table's lock, and the worker is told to wait no longer."""
    server = table.server
    with server.connect() as writer:
        writer.execute("BEGIN")
        writer.execute(f"INSERT INTO {table.name} VALUES (1)")  # type: ignore[call-overload]
        asking = asyncio.create_task(table.client().get())
        cancelled = await asyncio.to_thread(eventually, lambda: _cancel_who_waits(server))
        assert cancelled == [(True,)]
        answer = await within(asking)
        writer.execute("ROLLBACK")
    assert answer.status_code == 503
    assert "canceling statement" in answer.text


def _cancel_who_waits(server: ElectricServer) -> list[tuple[object, ...]]:
    return server.query(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )


async def test_the_road_is_cut_while_writes_go_on(stage: Stage, table: Table) -> None:
    client, came = table.client(), {}
    await client.catch_up()
    committed: dict[int, float] = {}
    following = asyncio.create_task(_follow(client, came))
    for row in range(12):
        if row == 3:
            await asyncio.to_thread(stage.cut)
        if row == 9:
            await asyncio.to_thread(stage.mend)
        committed[row] = await asyncio.to_thread(table.insert, row)
        await asyncio.sleep(0.1)
    deadline = time.monotonic() + POLL_SECONDS + AT_ONCE
    while came.keys() != committed.keys() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    following.cancel()
    late = {row: came.get(row, deadline) - committed[row] for row in committed}
    assert max(late.values()) < POLL_SECONDS + AT_ONCE, late
    await _wakes_again(table)


async def _follow(client: Client, came: dict[int, float]) -> None:
    while True:
        answer = await client.get(live="true", cursor=str(time.monotonic_ns()))
        assert answer.status_code == 200
        came |= dict.fromkeys(ids(answer), time.monotonic())


async def _wakes_again(table: Table, seconds: float = 20) -> None:
    """Sooner or later a request is woken again, as in the first test."""
    client = table.client()
    end = time.monotonic() + seconds
    for row in itertools.count(1000):
        await client.catch_up()
        waiting = await client.live()
        table.insert(row)
        done, _ = await asyncio.wait([waiting], timeout=AT_ONCE)
        await waiting
        if done:
            return
        assert time.monotonic() < end


async def test_the_health_check_knows_whether_the_worker_is_there(
    stage: Stage, table: Table
) -> None:
    stage.server.stop_worker()
    began = time.monotonic()
    stage.server.wait_for_health("starting")
    assert time.monotonic() - began < 6
    stage.server.start_worker()
    stage.server.wait_until_active()
    await _wakes_again(table)

"""nginx with the recommended configuration: it answers for us, waits for us, and never keeps a lie alive."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import httpx_sse
import pytest

from tests.caches.conftest import Nginx, rows_in
from tests.clients.conftest import HERE as CLIENTS
from tests.clients.conftest import installed
from tests.support.node import NodeClient, NodeShape
from tests.support.plain_http import PlainConnection
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

WAITERS = 100
SERVED_BY_CACHE = {"HIT", "STALE", "UPDATING", "REVALIDATED"}


def initial_sync(url: str, **params: str) -> httpx.Response:
    """Ask until up to date; the last answer, its rows in ``extensions["rows"]``."""
    query = {**params, "offset": "-1"}
    rows: list[str] = []
    with httpx.Client(base_url=url, timeout=30) as client:
        while True:
            answer = client.get("/v1/shape", params=query)
            assert answer.status_code == 200, answer.text
            rows += rows_in(answer.text)
            if "electric-up-to-date" in answer.headers:
                answer.extensions["rows"] = rows
                return answer
            query |= {
                "offset": answer.headers["electric-offset"],
                "handle": answer.headers["electric-handle"],
            }


def asked_of_us(nginx: Nginx) -> int:
    return nginx.statuses("table=cached").total() - nginx.statuses("table=cached")["HIT"]


def test_the_second_client_costs_us_nothing(nginx: Nginx, cached_server: ElectricServer) -> None:
    cached_server.sql(
        "CREATE TABLE cached (id int PRIMARY KEY, note text)",
        "INSERT INTO cached SELECT g, repeat('x', 50) FROM generate_series(1, 3000) g",
    )
    first = initial_sync(nginx.url, table="cached")
    second = initial_sync(nginx.url, table="cached")
    assert sorted(second.extensions["rows"]) == sorted(first.extensions["rows"])
    assert len(set(second.extensions["rows"])) == 3000
    # nginx notes a request when it has ended, which its client may see a moment earlier.
    eventually(lambda: nginx.statuses("table=cached")["HIT"] == asked_of_us(nginx), "all are noted")
    assert asked_of_us(nginx) > 4


def test_a_hundred_waiting_clients_cost_one_request_a_round(
    nginx: Nginx, cached_server: ElectricServer
) -> None:
    cached_server.sql("CREATE TABLE awaited (id int PRIMARY KEY)")
    start = initial_sync(nginx.url, table="awaited")
    query = {
        "table": "awaited",
        "handle": start.headers["electric-handle"],
        "offset": start.headers["electric-offset"],
        "live": "true",
    }

    async def rounds() -> None:
        connections = [PlainConnection("127.0.0.1", nginx.port) for _ in range(WAITERS)]
        for number in range(1, 4):
            waiting = [asyncio.create_task(c.get("/v1/shape", query)) for c in connections]
            while _waiting_at(nginx.port) < WAITERS:
                await asyncio.sleep(0.05)
            cached_server.sql(f"INSERT INTO awaited VALUES ({number})")
            began = time.monotonic()
            answers = await asyncio.gather(*waiting)
            print(f"round {number}: the last of {WAITERS} after {time.monotonic() - began:.2f} s")
            assert {answer.status_code for answer in answers} == {200}
            assert {tuple(rows_in(answer.text)) for answer in answers} == {(str(number),)}
            (offset,) = {answer.headers["electric-offset"] for answer in answers}
            asked = Counter(nginx.statuses(f"offset={query['offset']}&live=true"))
            assert asked["MISS"] == 1, asked
            assert sum(asked.values()) == WAITERS
            query.update(offset=offset, cursor=answers[0].headers["electric-cursor"])
        for connection in connections:
            connection.close()

    asyncio.run(rounds())


def _waiting_at(port: int) -> int:
    """Connections to *port* that are established (Linux)."""
    with open("/proc/net/tcp") as table:  # noqa: PTH123
        ends = [line.split()[1:4] for line in table][1:]
    return sum(there.endswith(f":{port:04X}") and state == "01" for _, there, state in ends)


def test_events_arrive_one_by_one(nginx: Nginx, cached_server: ElectricServer) -> None:
    cached_server.sql("CREATE TABLE streamed (id int PRIMARY KEY)")
    start = initial_sync(nginx.url, table="streamed")
    query = {
        "table": "streamed",
        "handle": start.headers["electric-handle"],
        "offset": start.headers["electric-offset"],
        "live": "true",
        "live_sse": "true",
    }
    with (
        httpx.Client(timeout=10) as client,
        httpx_sse.connect_sse(client, "GET", f"{nginx.url}/v1/shape", params=query) as source,
    ):
        events = source.iter_sse()
        for number in range(1, 4):
            cached_server.sql(f"INSERT INTO streamed VALUES ({number})")
            assert rows_in(next(events).data) == [str(number)]
            assert "up-to-date" in next(events).data


def test_an_answer_is_revalidated_and_compressed_by_the_cache(
    nginx: Nginx, cached_server: ElectricServer
) -> None:
    cached_server.sql(
        "CREATE TABLE zipped (id int PRIMARY KEY, note text)",
        "INSERT INTO zipped SELECT g, repeat('x', 50) FROM generate_series(1, 50) g",
    )
    ask = {"url": f"{nginx.url}/v1/shape", "params": {"table": "zipped", "offset": "-1"}}
    plain = httpx.get(**ask, headers={"accept-encoding": "identity"})
    zipped = httpx.get(**ask)
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == plain.content
    assert nginx.statuses("table=zipped") == {"MISS": 1, "HIT": 1}
    again = httpx.get(**ask, headers={"if-none-match": plain.headers["etag"]})
    assert again.status_code == 304


def test_who_asks_is_part_of_the_key(
    nginx_before: Callable[[ElectricServer], Nginx], electric_server: Callable[..., ElectricServer]
) -> None:
    server = electric_server({"ELECTRIC_SECRET": "golden-secret"})
    nginx = nginx_before(server)
    server.sql("CREATE TABLE guarded (id int PRIMARY KEY)", "INSERT INTO guarded VALUES (1)")
    ask = {"url": f"{nginx.url}/v1/shape"}
    params = {"table": "guarded", "offset": "-1"}
    knowing = {**params, "secret": "golden-secret"}
    for _ in range(2):
        assert httpx.get(**ask, params=knowing).status_code == 200
        assert httpx.get(**ask, params=params).status_code == 401
        assert httpx.get(**ask, params={**params, "secret": "wrong"}).status_code == 401
    answer = httpx.get(**ask, params=knowing, headers={"cookie": "sessionid=1"})
    assert answer.headers["x-cache-status"] == "MISS"
    for origin in ("http://one.example", "http://two.example"):
        answer = httpx.get(**ask, params=knowing, headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.fixture(params=["newest", "oldest"])
def client(request: pytest.FixtureRequest) -> Iterator[NodeClient]:
    with NodeClient(CLIENTS / "driver.mjs", installed(request.param)) as running:
        yield running


@pytest.mark.client
@pytest.mark.parametrize("how", ["TRUNCATE", "DELETE"])
def test_the_real_client_gets_over_a_rotated_shape(
    nginx: Nginx,
    cached_server: ElectricServer,
    client: NodeClient,
    how: str,
    request: pytest.FixtureRequest,
) -> None:
    table = f"rotated_{abs(hash(request.node.name))}"
    cached_server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, note text)",
        f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')",
    )
    shape = client.follow(nginx.url, table=table)
    shape.expect([{"id": "1", "note": "a"}, {"id": "2", "note": "b"}])
    cached_server.sql(f"UPDATE {table} SET note = 'c' WHERE id = 1")
    report = shape.expect([{"id": "1", "note": "c"}, {"id": "2", "note": "b"}])
    before = len(nginx.log(table))
    if how == "TRUNCATE":
        cached_server.sql(f"TRUNCATE {table}", f"INSERT INTO {table} VALUES (3, 'd')")
        rows = [{"id": "3", "note": "d"}]
    else:
        params = {"handle": report["handle"]}
        assert httpx.delete(f"{nginx.url}/v1/shape", params=params).status_code == 202
        rows = [{"id": "1", "note": "c"}, {"id": "2", "note": "b"}]
    # The oldest client may first take what the cache still has, and be sent away a second time.
    eventually(lambda: has_left(shape, report["handle"]), "the client has another handle")
    shape.expect(rows)
    cached_server.sql(f"INSERT INTO {table} VALUES (4, 'e')")
    shape.expect([*rows, {"id": "4", "note": "e"}])
    asked = [line for line in nginx.log(table)[before:] if line[0] not in SERVED_BY_CACHE]
    assert len(asked) < 30, asked


def has_left(shape: NodeShape, handle: str) -> bool:
    report = shape.report()
    assert not report["faults"], report
    return report["handle"] not in (None, handle) and bool(report["upToDate"])

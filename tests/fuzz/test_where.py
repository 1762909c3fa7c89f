"""Where clauses that nobody would write: always an answer, in time, never 500, and others are served meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings

from tests.fuzz.raw import RawAnswer, RawRequest, exchange
from tests.fuzz.soup import MONSTERS, clauses, nested, soup
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

SECONDS = 10.0
SOUP = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
MUCH_SOUP = settings(SOUP, max_examples=10_000, derandomize=False)
ANSWERS = {200, 400, 409, 414, 503}
"""409 and 503 for what Postgres refuses when it reads the rows; 414 where the request line is too long."""

Ask = Callable[[ElectricServer, str], RawAnswer]


def _get(server: ElectricServer, parameter: str, clause: str) -> RawAnswer:
    value = quote(clause.encode(errors="surrogatepass"), safe=",()=*")
    query = f"table=items&offset=-1&{parameter}={value}"
    return exchange(server.port, RawRequest(query=query.encode()), SECONDS)


def _post(server: ElectricServer, body: object) -> RawAnswer:
    request = RawRequest(
        method=b"POST", query=b"table=items&offset=-1", body=json.dumps(body).encode()
    )
    return exchange(server.port, request, SECONDS)


def of_a_shape(server: ElectricServer, clause: str) -> RawAnswer:
    return _get(server, "where", clause)


def of_a_subset(server: ElectricServer, clause: str) -> RawAnswer:
    return _get(server, "subset__where", clause)


def of_a_shape_in_a_body(server: ElectricServer, clause: str) -> RawAnswer:
    """Bodies may be longer than request lines."""
    return _post(server, {"where": clause, "subset": {}})


def of_a_subset_in_a_body(server: ElectricServer, clause: str) -> RawAnswer:
    return _post(server, {"where": clause})


WAYS = (of_a_shape, of_a_subset, of_a_shape_in_a_body, of_a_subset_in_a_body)


@pytest.fixture(scope="module")
def server(open_server: ElectricServer) -> Iterator[ElectricServer]:
    """At the end both processes still do their work."""
    yield open_server
    for process in (open_server.worker, open_server.web):
        assert process is not None
        assert process.poll() is None, open_server.logs()
    _news_still_arrive(open_server)


def _news_still_arrive(server: ElectricServer) -> None:
    """A change reaches a shape though every odd clause was registered before it and has to be tried."""
    query = {"table": "items", "where": "id >= 1000"}
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        first = client.get("/v1/shape", params={**query, "offset": "-1"})
        assert first.status_code == 200, first.text
        query["handle"] = first.headers["electric-handle"]
        # For patterns that try every way to read this title there are many.
        server.sql(
            "DELETE FROM items WHERE id = 1000",
            f"INSERT INTO items (id, title) VALUES (1000, '{'a' * 60}!')",
        )

        def news() -> bool:
            answer = client.get("/v1/shape", params={**query, "offset": "0_0", "live": "true"})
            return answer.headers["electric-has-data"] == "true" and "1000" in answer.text

        eventually(news, "the new row", seconds=2 * SECONDS)


def _is_proper(answer: RawAnswer) -> bool:
    return answer.status in ANSWERS and (
        answer.status != 503 or "message" in json.loads(answer.body)
    )


def _try_all_ways(server: ElectricServer, clause: str) -> None:
    for way in WAYS[:2]:
        answer = way(server, clause)
        event(f"{way.__name__}: {answer.status}")
        assert _is_proper(answer), (clause, way, answer, server.logs())


@SOUP
@given(clause=soup)
def test_tokens_in_any_order_are_refused_or_served(server: ElectricServer, clause: str) -> None:
    _try_all_ways(server, clause)


@SOUP
@given(clause=clauses)
def test_clauses_of_odd_operands_are_refused_or_served(server: ElectricServer, clause: str) -> None:
    _try_all_ways(server, clause)


@pytest.mark.soak
@MUCH_SOUP
@given(clause=soup | clauses)
def test_much_soup_is_refused_or_served(server: ElectricServer, clause: str) -> None:
    _try_all_ways(server, clause)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", MONSTERS)
def test_a_monster_is_refused_or_served_and_holds_nobody_up(
    server: ElectricServer, name: str, way: Ask
) -> None:
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(way, server, MONSTERS[name])
        while True:
            began = time.monotonic()
            other = httpx.get(f"{server.url}/v1/shape?table=items&offset=-1", timeout=SECONDS)
            assert other.status_code == 200, other.text
            assert time.monotonic() - began < SECONDS / 2
            if asked.done():
                break
    assert _is_proper(asked.result()), (asked.result(), server.logs())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ten_thousand_members_are_served(server: ElectricServer, way: Ask) -> None:
    answer = way(server, f"id IN ({','.join(map(str, range(10_000)))})")
    assert answer.status == 200, answer


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ten_thousand_levels_are_refused(server: ElectricServer, way: Ask) -> None:
    answer = way(server, nested("(", "id = 1", ")", 10_000))
    assert answer.status == 400, answer
    assert b"errors" in answer.body

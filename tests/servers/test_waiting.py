"""What clients that wait cost, that they cost it no longer than they stay, and that they hinder nobody."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.servers.conftest import ROOM
from tests.servers.place import Place
from tests.servers.web_process import WebProcess
from tests.support.plain_http import Answer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("servers")

SPARE_THREADS = 12
"""Of the pools for look-ups and files, which start threads until they have as many as they may."""
SPARE_CONNECTIONS = 4
"""The look-up's own, to the database."""
SPARE_FILES = 20
"""These, and connections of which a server does not notice at once that the client has closed them."""


def connections(web: WebProcess) -> int:
    """To the database, of everybody."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    return int(str(web.server.query(count)[0][0]))


async def hang_up(clients: list[asyncio.Task[Answer]]) -> None:
    for client in clients:
        client.cancel()
    await asyncio.wait(clients)


async def settled(probe: Callable[[], int], most: int, what: str) -> None:
    await asyncio.to_thread(eventually, lambda: probe() <= most, what, seconds=2)


async def test_who_waits_costs_little_and_who_goes_nothing(web: WebProcess) -> None:
    place = Place(web)
    files, threads, database = web.open_files, web.threads, connections(web)

    crowd = await place.fill(streams=ROOM // 2)
    assert web.open_files > files + ROOM - SPARE_FILES
    assert connections(web) <= database + SPARE_CONNECTIONS
    if web.name.endswith("wrapped"):
        assert web.threads <= threads + SPARE_THREADS

    await hang_up(crowd)
    await settled(lambda: web.open_files, files + SPARE_FILES, "files are closed")
    await settled(lambda: web.threads, threads + SPARE_THREADS, "threads have ended")
    crowd = await place.fill()
    news = await asyncio.to_thread(place.write)
    answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert news in answers[0].text
    await settled(lambda: web.threads, threads + SPARE_THREADS, "threads have ended")


@contextmanager
def slow_reader(web: WebProcess) -> Iterator[http.client.HTTPResponse]:
    """An answer of which little has been read, and of which little fits into the buffers."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    connection.sock.connect(("127.0.0.1", web.port))
    connection.request("GET", "/v1/shape?table=hymns&offset=-1")
    response = connection.getresponse()
    yield response
    connection.close()


async def test_who_reads_slowly_hinders_nobody(web: WebProcess) -> None:
    place = Place(web)
    with slow_reader(web) as first, slow_reader(web) as second:
        begun = [reader.read(1_000) for reader in (first, second)]
        waiting = place.wait()
        began = time.monotonic()
        whole = await place.ask(table="hymns", offset="-1")
        news = await asyncio.to_thread(place.write)
        assert news in (await waiting).text
        assert time.monotonic() - began < 5
        assert len(whole.content) > 7_000_000
        for reader, beginning in zip((first, second), begun, strict=True):
            assert beginning + await asyncio.to_thread(reader.read) == whole.content

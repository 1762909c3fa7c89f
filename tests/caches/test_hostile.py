"""Behind a cache that lies the official client gets over it or says so; it never asks for ever."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from tests.caches.hostile import HostileProxy
from tests.clients.conftest import HERE as CLIENTS
from tests.clients.conftest import installed
from tests.support.node import NodeClient, NodeShape
from tests.support.server import ElectricServer

pytestmark = pytest.mark.client
PATIENCE = 20.0
WATCHED = 1
"""Seconds."""


@pytest.fixture
def client() -> Iterator[NodeClient]:
    with NodeClient(CLIENTS / "driver.mjs", installed("newest")) as running:
        yield running


def ends_well(shape: NodeShape, rows: list[str], seconds: float) -> bool:
    """Whether the client comes to these rows in time; False once it has said what is wrong."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report = shape.report()
        if report["faults"]:
            print("the client says:", report["faults"])
            return False
        if report["upToDate"] and report["ids"] == rows:
            return True
        time.sleep(0.1)
    raise AssertionError(f"neither {rows} nor an error: {report}")


def asks_no_more_than_it_should(proxy: HostileProxy) -> None:
    """Long polls, and retries with pauses."""
    before = len(proxy.requests)
    time.sleep(WATCHED)
    asked = proxy.requests[before:]
    assert len(asked) < 10 * WATCHED, asked[:20]


def table_in(server: ElectricServer) -> str:
    table = f"hostile_{uuid.uuid4().hex[:8]}"
    server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    return table


def test_one_that_keeps_everything(cached_server: ElectricServer, client: NodeClient) -> None:
    table = table_in(cached_server)
    with HostileProxy(cached_server.url) as proxy:
        shape = client.follow(proxy.url, table=table)
        assert ends_well(shape, ["1"], PATIENCE)
        cached_server.sql(f"INSERT INTO {table} VALUES (2)")
        assert ends_well(shape, ["1", "2"], PATIENCE)
        cached_server.sql(f"TRUNCATE {table}", f"INSERT INTO {table} VALUES (3)")
        assert ends_well(shape, ["3"], PATIENCE)
        cached_server.sql(f"INSERT INTO {table} VALUES (4)")
        assert ends_well(shape, ["3", "4"], PATIENCE)
        asks_no_more_than_it_should(proxy)


@pytest.mark.parametrize("keeps", [True, False], ids=["cached", "passed on"])
@pytest.mark.parametrize("lost", ["cursor", "handle", "offset", "live", "everything"])
def test_one_that_loses_parameters(
    cached_server: ElectricServer, client: NodeClient, lost: str, keeps: bool
) -> None:
    table = table_in(cached_server)

    def loses(name: str) -> bool:
        return name != "table" if lost == "everything" else name == lost

    with HostileProxy(cached_server.url, keeps=keeps, loses=loses) as proxy:
        shape = client.follow(proxy.url, table=table)
        for rows, change in (
            (["1"], f"INSERT INTO {table} VALUES (2)"),
            (["1", "2"], f"TRUNCATE {table}"),
            ([], f"INSERT INTO {table} VALUES (3)"),
            (["3"], f"INSERT INTO {table} VALUES (4)"),
        ):
            if not ends_well(shape, rows, PATIENCE):
                break
            cached_server.sql(change)
        asks_no_more_than_it_should(proxy)

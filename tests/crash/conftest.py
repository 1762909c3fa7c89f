"""Servers that tests of this folder may mistreat."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

import pytest

from example_project.embedded_postgres import Cluster, postgres
from tests.crash.hurried import HurriedServer
from tests.support.followers import Followers
from tests.support.server import ElectricServer

ENVIRONMENT: Final = {
    "ELECTRIC_LONG_POLL_TIMEOUT": "400",
    "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true",
}


@pytest.fixture(scope="module")
def crash_server(postgres_cluster: Cluster) -> Iterator[ElectricServer]:
    """The server of one file of tests; each test leaves its processes running."""
    with ElectricServer(postgres_cluster, ENVIRONMENT) as server:
        yield server


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster whose settings the tests of one file may change."""
    with postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def hurried_server() -> Iterator[HurriedServer]:
    """A cluster and a server for all who ill-treat them one after the other, in one ``xdist_group``."""
    with (
        postgres(max_prepared_transactions=5) as cluster,
        HurriedServer(cluster, ENVIRONMENT) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def own_cluster_server(own_cluster: Cluster) -> Iterator[ElectricServer]:
    with ElectricServer(own_cluster, ENVIRONMENT) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the server's processes said."""
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, ElectricServer):
                report.sections.append(("the server's logs", value.logs()))
    return report


@pytest.fixture
def follow_all() -> Iterator[Callable[[ElectricServer], Followers]]:
    """``follow_all(server)``: followers that are stopped at the end, and must not have seen a fault."""
    made: list[Followers] = []

    def make(server: ElectricServer) -> Followers:
        followers = Followers(server)
        followers.__enter__()
        made.append(followers)
        return followers

    yield make
    try:
        for followers in made:
            followers.check()
    finally:
        for followers in made:
            followers.__exit__()

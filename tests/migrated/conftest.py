"""The server whose tables are migrated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from example_project.embedded_postgres import Cluster
from tests.migrated.least_server import LeastServer
from tests.support.followers import Followers


@pytest.fixture(scope="session")
def least(postgres_cluster: Cluster) -> Iterator[LeastServer]:
    with LeastServer(postgres_cluster) as server:
        yield server


@pytest.fixture
def followers(least: LeastServer) -> Iterator[Followers]:
    """They must not have seen a fault."""
    with Followers(least) as followers:
        yield followers
        followers.check()

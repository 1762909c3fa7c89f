"""The server of the oracles, and how Hypothesis chooses for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer

_MUTE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example,
         HealthCheck.function_scoped_fixture]  # fmt: skip
# Nothing is shrunk: a run that failed would not fail again at the same place.
ORACLE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=_MUTE,
)
# Small chunks, so that logs have many; short polls, so that silent shapes say soon how far they are.
ENVIRONMENT = {
    "ELECTRIC_LONG_POLL_TIMEOUT": "600",
    "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD": "150000",
}


@pytest.fixture(scope="session")
def oracle_server(postgres_cluster: Cluster) -> Iterator[ElectricServer]:
    with ElectricServer(postgres_cluster, ENVIRONMENT) as server:
        yield server

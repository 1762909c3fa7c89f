"""One running server for each road, and what cuts that road in the middle."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from django_electric.wakeup import socket_path
from example_project.embedded_postgres import Cluster
from tests.support.redis import RedisServer
from tests.support.server import ElectricServer
from tests.wakeup.proxy import Proxy

POLL_SECONDS = 4.0
"""Long, so that an answer that comes sooner was woken and did not look by itself."""
ENVIRONMENT = {
    "ELECTRIC_POLL_INTERVAL": f"{POLL_SECONDS}s",
    "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true",
}
LAYERED = {
    "DJANGO_SETTINGS_MODULE": "tests.wakeup.layered_settings",
    "ELECTRIC_WAKEUP": "channels",
    "ELECTRIC_CHANNEL_LAYER": "wakeups",
}


class Stage:
    """A server whose worker wakes its web process over one road."""

    def __init__(
        self,
        server: ElectricServer,
        cut: Callable[[], None],
        mend: Callable[[], None] = lambda: None,
    ) -> None:
        self.server = server
        self.cut = cut
        """Break the road without harming anything else."""
        self.mend = mend
        """What is needed to make it usable again."""


class OneProcess(ElectricServer):
    """The worker lives in the web process."""

    application = "tests.wakeup.one_process:application"

    def start_worker(self) -> None:  # type: ignore[override]  # there is no process
        if self.web is not None:
            self.command("worker/start")

    def stop_worker(self) -> int | None:
        if self.web is not None and self.web.poll() is None:
            self.command("worker/stop")
        return 0

    def command(self, name: str) -> None:
        httpx.post(f"{self.url}/{name}", timeout=30).raise_for_status()


class TwoWays(ElectricServer):
    """The web process sees the same directory by a name too long for a socket, which then lies elsewhere."""

    def start_web(self) -> subprocess.Popen[bytes]:
        env, self.env = self.env, {**self.env, "ELECTRIC_STORAGE_DIR": str(self.detour)}
        try:
            return super().start_web()
        finally:
            self.env = env

    @property
    def detour(self) -> Path:
        return self.directory / ("x" * 100)


@contextmanager
def over_a_socket(cluster: Cluster) -> Iterator[Stage]:
    server = TwoWays(cluster, ENVIRONMENT)
    server.detour.symlink_to(server.storage)
    place = socket_path(server.detour / server.stream_id)
    with Proxy(place, socket_path(server.storage / server.stream_id)) as proxy, server:
        yield Stage(server, proxy.cut, proxy.mend)


@contextmanager
def over_notify(cluster: Cluster) -> Iterator[Stage]:
    with ElectricServer(cluster, {**ENVIRONMENT, "ELECTRIC_WAKEUP": "notify"}) as server:

        def cut() -> None:
            ended = server.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN (%s, %s)",
                [f"electric_{server.stream_id}_web", f"electric_{server.stream_id}_worker"],
            )
            assert ended == [(True,), (True,)]

        yield Stage(server, cut)


@contextmanager
def over_redis(cluster: Cluster) -> Iterator[Stage]:
    with RedisServer() as redis:
        layer = {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [redis.url]},
        }
        with ElectricServer(cluster, _with_layer(layer)) as server:
            yield Stage(server, redis.kill, redis.start)


@contextmanager
def over_memory(cluster: Cluster) -> Iterator[Stage]:
    layer = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    with OneProcess(cluster, _with_layer(layer)) as server:
        yield Stage(server, lambda: server.command("road/cut"))


def _with_layer(layer: Mapping[str, object]) -> dict[str, str]:
    return {**ENVIRONMENT, **LAYERED, "TEST_CHANNEL_LAYER": json.dumps(layer)}


ROADS = {
    "socket": over_a_socket,
    "notify": over_notify,
    "channels-redis": over_redis,
    "channels-memory": over_memory,
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the server's processes said."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.when == "call" and report.failed and stage is not None:
        report.sections.append(("the server's logs", stage.server.logs()))
    return report


@pytest.fixture(scope="module", params=ROADS)
def stage(request: pytest.FixtureRequest, postgres_cluster: Cluster) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield stack.enter_context(ROADS[request.param](postgres_cluster))

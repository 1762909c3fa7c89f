"""A database and a worker, and beside it the web process of every server program and mount."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.servers.web_process import COMMANDS, WebProcess, serving
from tests.support.server import ElectricServer

ROOM = 200
"""Requests that may wait in one process."""
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.servers.settings",
    "ELECTRIC_MAX_CONCURRENT_REQUESTS": f'{{"initial": 50, "existing": {ROOM}}}',
}
TABLES = (
    "CREATE TABLE songs (id int PRIMARY KEY, title text)",
    "INSERT INTO songs SELECT n, 'song ' || n FROM generate_series(1, 50) AS n",
    "CREATE TABLE verses (id serial PRIMARY KEY, text text)",
    "CREATE TABLE hymns (id int PRIMARY KEY, text text)",
    "INSERT INTO hymns SELECT n, repeat('la ', 150) FROM generate_series(1, 16000) AS n",
)
"""Some kilobytes, and more than the buffers between two sockets hold."""
WEBS = [(program, mount) for mount in ("wrapped", "plain") for program in COMMANDS]


class Webs:
    """The web processes of one server, each started when it is asked for."""

    def __init__(self, server: ElectricServer) -> None:
        self._server = server
        self._running: dict[tuple[str, str], WebProcess] = {}

    def get(self, program: str, mount: str) -> WebProcess:
        key = program, mount
        if key not in self._running:
            arguments = serving(program, mount)
            self._running[key] = WebProcess(self._server, "-".join(key), *arguments)
            self._running[key].wait_until_active()
        return self._running[key]

    def take(self, program: str, mount: str) -> WebProcess:
        """One that the caller will end."""
        self.get(program, mount)
        return self._running.pop((program, mount))

    def end(self) -> None:
        for web in self._running.values():
            web.end(patience=5)


@pytest.fixture(scope="session")
def stage(electric_server: Callable[..., ElectricServer]) -> ElectricServer:
    """The server that all of them belong to; its own web process is uvicorn, wrapped."""
    return electric_server(ENVIRONMENT, before_start=TABLES)


@pytest.fixture(scope="session")
def webs(stage: ElectricServer) -> Iterator[Webs]:
    webs = Webs(stage)
    yield webs
    webs.end()


@pytest.fixture(params=WEBS, ids="-".join)
def web(request: pytest.FixtureRequest, webs: Webs) -> WebProcess:
    """Each of them in turn."""
    return webs.get(*request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the web process said."""
    report = yield
    web = getattr(item, "funcargs", {}).get("web")
    if report.when == "call" and report.failed and web is not None:
        report.sections.append((f"the log of {web.name}", web.log[-4000:]))
    return report

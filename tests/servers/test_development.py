"""``manage.py runserver`` as a whole installation: the worker comes and goes with it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("servers")

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


class Development(ElectricServer):
    """A project that somebody works on: its settings are a file that can be touched."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.settings_file = directory / "settings_of_somebody.py"
        self.settings_file.write_text("from example_project.settings import *\n")
        super().__init__(
            cluster,
            {
                "ELECTRIC_WORKER_IN_RUNSERVER": "true",
                "DJANGO_DEBUG": "true",
                "DJANGO_SETTINGS_MODULE": self.settings_file.stem,
                "PYTHONPATH": str(directory),
            },
            before_start=("CREATE TABLE songs (id int PRIMARY KEY, title text)",),
        )

    def start_worker(self) -> subprocess.Popen[bytes]:  # type: ignore[override]  # one command does all
        return self.start_web()

    def start_web(self) -> subprocess.Popen[bytes]:
        if self.web is None:
            self.web = self.start("web", "manage.py", "runserver", str(self.port))
        return self.web

    def workers(self) -> set[int]:
        """Process ids of the workers of this installation."""
        return self._processes("run_electric_replication")

    def servers(self) -> set[int]:
        """The process that serves, and the one that only starts it anew."""
        return self._processes("runserver")

    def _processes(self, word: str) -> set[int]:
        mark = f"ELECTRIC_REPLICATION_STREAM_ID={self.stream_id}\0".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                if word.encode() in (path / "cmdline").read_bytes():
                    found |= {int(path.name)} if mark in (path / "environ").read_bytes() else set()
        return found


@pytest.fixture(scope="module")
def development(
    postgres_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Development]:
    with Development(postgres_cluster, tmp_path_factory.mktemp("project")) as server:
        yield server


def follow(server: Development) -> tuple[str, dict[str, str]]:
    """All that there is to read, and what to ask for next."""
    query = {"table": "songs", "offset": "-1"}
    text = ""
    while True:
        answer = httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)
        text += answer.text
        query["handle"] = answer.headers["electric-handle"]
        query["offset"] = answer.headers["electric-offset"]
        if "electric-up-to-date" in answer.headers:
            return text, query


def test_one_command_serves_shapes_and_what_is_written_to_them(development: Development) -> None:
    follow(development)
    development.sql("INSERT INTO songs VALUES (1, 'first') ON CONFLICT DO NOTHING")
    eventually(lambda: "first" in follow(development)[0], "the worker has written it to the log")
    assert len(development.workers()) == 1


def test_a_reload_leaves_one_worker_and_it_is_another(development: Development) -> None:
    before = development.workers()

    def has_gone() -> bool:
        # Again and again: what is touched before the reloader has looked at all files once goes unnoticed.
        later = time.time() + 5
        os.utime(development.settings_file, (later, later))
        return not before & development.workers()

    eventually(has_gone, "the worker went with its server", seconds=60)
    eventually(development.workers, "another one comes")
    development.wait_until_active()
    assert len(development.workers()) == 1
    assert len(development.servers()) == 2


def test_a_worker_that_dies_is_started_again(development: Development) -> None:
    (worker,) = development.workers()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: development.workers() - {worker}, "another one comes")
    development.wait_until_active()
    assert "the worker ended with exit code -9" in development.logs()


async def test_the_sixth_live_request_of_a_browser_is_warned_of(development: Development) -> None:
    _, query = await asyncio.to_thread(follow, development)
    async with httpx.AsyncClient(headers={"user-agent": BROWSER}, timeout=60) as client:
        url = f"{development.url}/v1/shape"
        waiting = [
            asyncio.create_task(client.get(url, params={**query, "live": "true"})) for _ in range(6)
        ]
        await asyncio.to_thread(
            eventually, lambda: "6 live shape requests of one browser" in development.logs()
        )
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_a_server_that_is_killed_leaves_no_worker_behind(development: Development) -> None:
    assert development.workers()
    for server in development.servers():
        os.kill(server, signal.SIGKILL)
    eventually(lambda: not development.workers(), "the worker hears that it is alone")
    assert development.web is not None
    development.web.wait()
    development.web = None
    development.start_web()
    development.wait_until_active()

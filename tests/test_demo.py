"""``make demo``: it comes up, shows rows that change, goes down, and comes up again; and says what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from example_project import run_demo
from example_project.embedded_postgres import Cluster

PATIENCE = 120.0
SHAPE_URL = r"curl '([^?]+)\?"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where a demo keeps its data; a path with a space in it, as on many a desktop."""
    place = tmp_path / "my demo"
    yield place
    Cluster(place / "pg").remove()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((run_demo.HOST, 0)) as server:
        yield server.getsockname()[1]


class RunningDemo:
    """A demo in a process of its own, and what it has printed so far."""

    def __init__(self, directory: Path, port: int, **env: str) -> None:
        command = [sys.executable, "-m", "example_project.run_demo"]
        inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        self.output = ""
        self.process = subprocess.Popen(
            [*command, "--directory", str(directory), "--port", str(port)],
            cwd=run_demo.PROJECT,
            env={**inherited, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Read all the time, else the demo would stand still once the pipe is full.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, pattern: str) -> re.Match[str]:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.output)):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, self.output
            time.sleep(0.05)
        return found

    def end(self, how: signal.Signals | None = None) -> int:
        """Wait for the end, after a signal if one is given; the exit code."""
        if how:
            self.process.send_signal(how)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the demo goes on:\n{self.output}")
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()
        return code


@pytest.fixture
def demos() -> Iterator[list[RunningDemo]]:
    """The demos of a test, ended whatever happens."""
    started: list[RunningDemo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)


def titles(url: str) -> dict[str, str]:
    """The titles of the issues by key, walked from the beginning of the log to its end."""
    found: dict[str, str] = {}
    position = {"offset": "-1"}
    while True:
        query = urllib.parse.urlencode({"table": "demo_issue", **position})
        with urllib.request.urlopen(f"{url}?{query}", timeout=30) as response:
            messages = json.load(response)
            headers = response.headers
        for message in messages:
            if "title" in message.get("value", {}):
                found[message["key"]] = message["value"]["title"]
        if "electric-up-to-date" in headers:
            return found
        position = {"offset": headers["electric-offset"], "handle": headers["electric-handle"]}


# --- The whole of it ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(600)
def test_it_starts_serves_rows_stops_and_goes_on(
    directory: Path, taken_port: int, demos: list[RunningDemo]
) -> None:
    first = RunningDemo(directory, taken_port)
    demos.append(first)
    url = first.wait_for(SHAPE_URL)[1]
    assert f"Port {taken_port} is taken; using " in first.output
    assert len(titles(url)) >= 300
    with psycopg.connect(Cluster(directory / "pg").url(run_demo.DATABASE)) as connection:
        connection.execute("UPDATE demo_issue SET title = 'changed' WHERE id = 1")
    with urllib.request.urlopen(re.sub(r"/v1/.*", "/demo/", url)) as page:
        assert page.status == 200
    assert first.end(signal.SIGINT) == 0
    assert not Cluster(directory / "pg").is_running()

    second = RunningDemo(directory, taken_port)
    demos.append(second)
    url = second.wait_for(SHAPE_URL)[1]
    end = time.monotonic() + PATIENCE
    while "changed" not in titles(url).values():
        assert time.monotonic() < end, second.output
    assert second.end(signal.SIGTERM) == 0
    assert not Cluster(directory / "pg").is_running()


@pytest.mark.slow
@pytest.mark.postgres
def test_a_worker_that_dies_is_named_with_the_end_of_its_log(
    directory: Path, taken_port: int, demos: list[RunningDemo]
) -> None:
    # A server that was not set up for it: its stream would have no values in it.
    cluster = Cluster(directory / "pg", wal_level="replica").join()
    demo = RunningDemo(directory, taken_port)
    demos.append(demo)
    assert demo.end() == 1
    assert "The worker has ended with exit code" in demo.output
    assert "wal_level" in demo.output
    cluster.leave()


def test_a_database_that_cannot_be_reached_ends_it_at_once(
    directory: Path, taken_port: int, demos: list[RunningDemo]
) -> None:
    nowhere = f"postgres://nobody@127.0.0.1:{taken_port}/nothing?connect_timeout=1"
    demo = RunningDemo(directory, taken_port, DATABASE_URL=nowhere)
    demos.append(demo)
    assert demo.end() == 1
    assert "manage.py migrate" in demo.output
    assert not (directory / "pg").exists()


# --- Its parts ------------------------------------------------------------------------------------


def test_a_free_port_is_taken_as_wanted(taken_port: int) -> None:
    free = run_demo.free_port(taken_port)
    assert free > taken_port
    assert run_demo.free_port(free) == free


def test_every_process_is_open_and_has_the_logs_of_its_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ELECTRIC_SECRET", "from another project")
    monkeypatch.delenv("ELECTRIC_STORAGE_DIR", raising=False)
    database = run_demo.Database("postgres://me@/app", "psql", "storage")
    env = run_demo.environment(database, tmp_path)
    assert env["ELECTRIC_INSECURE"] == "true"
    assert env["ELECTRIC_STORAGE_DIR"] == str(tmp_path / "storage")
    assert "ELECTRIC_SECRET" not in env


def test_a_database_of_the_users_own_has_logs_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storages = set()
    for name in ("one", "two"):
        monkeypatch.setenv("DATABASE_URL", f"postgres://me@/{name}")
        with run_demo.database(tmp_path) as database:
            assert database.url == f"postgres://me@/{name}"
            storages.add(database.storage)
    assert len(storages) == 2
    assert "storage" not in storages


def test_a_child_that_has_ended_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "print('all is lost'); raise SystemExit(7)"]
    with run_demo.child("worker", program, os.environ, tmp_path / "worker.log") as child:
        child.process.wait(PATIENCE)
        with pytest.raises(
            run_demo.DemoError, match=r"worker has ended with exit code 7[\s\S]*all is lost"
        ):
            child.check()


def test_a_child_that_will_not_go_is_made_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_demo, "STOP_WITHIN", 0.1)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    log = tmp_path / "log"
    with run_demo.child("worker", [sys.executable, "-c", stubborn], os.environ, log) as child:
        while not log.read_text():
            time.sleep(0.01)
    assert child.process.returncode == -signal.SIGKILL


def test_a_server_that_nobody_has_started_is_not_listening_yet(taken_port: int) -> None:
    assert run_demo.health(run_demo.free_port(taken_port)) == "not listening yet"

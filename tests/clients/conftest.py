"""Clients from npm, installed once into .cache/npm and run under node by ``driver.mjs``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from example_project.embedded_postgres import Cluster
from tests.support.node import NodeClient
from tests.support.server import ROOT, ElectricServer

HERE = Path(__file__).parent
OLDEST_NODE = 18


def installed(name: str) -> Path:
    """The folder with the package.json of ``tests/clients/<name>`` and its node_modules; skips without."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: the clients from npm are NOT tested")
    version = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(
            f"node {version.strip()} is older than {OLDEST_NODE}: the clients from npm are NOT tested"
        )
    package = (HERE / name / "package.json").read_bytes()
    cache = ROOT / ".cache" / "npm"
    folder = cache / f"{name}-{hashlib.sha256(package).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder, package)
    return folder


def _install(folder: Path, package: bytes) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_bytes(package)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=240, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm install takes too long: the clients from npm are NOT tested")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"npm install fails: the clients from npm are NOT tested ({last})")
    (folder / "complete").touch()


@pytest.fixture(scope="session", params=["newest", "oldest"])
def client_folder(request: pytest.FixtureRequest) -> Path:
    """Every test that uses a client runs once for each version."""
    return installed(request.param)


@pytest.fixture
def client(client_folder: Path) -> Iterator[NodeClient]:
    """A node process with the client."""
    with NodeClient(HERE / "driver.mjs", client_folder) as running:
        yield running


@pytest.fixture(scope="session")
def mistreated_server(postgres_cluster: Cluster) -> Iterator[ElectricServer]:
    """A server whose processes tests kill and restart; each leaves it running."""
    with ElectricServer(postgres_cluster) as server:
        yield server


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Callable[[ElectricServer], str]:
    """``table(server)``: a new table of issues, whose name no other test has."""

    def make(server: ElectricServer) -> str:
        digest = hashlib.sha256(request.node.nodeid.encode() + os.urandom(8)).hexdigest()[:10]
        name = f"issues_{digest}"
        server.sql(
            f"""CREATE TABLE {name} (
                id bigint PRIMARY KEY, title text NOT NULL, project int, done boolean NOT NULL DEFAULT false,
                weight float8, price numeric(10, 2), created timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05+00'
            )"""
        )
        return name

    return make

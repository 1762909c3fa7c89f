"""Clients from npm, installed once into .cache/npm and run under node by the drivers ``*.mjs`` here."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from example_project.embedded_postgres import Cluster
from tests.support.node import NodeClient, NodeProcess
from tests.support.server import ROOT, ElectricServer
from tests.support.write_api import WriteApi

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
        _link_drivers(folder)
    return folder


def _link_drivers(folder: Path) -> None:
    """``folder/drivers`` is this package: the drivers' imports look for packages from there upwards."""
    link = folder / "drivers"
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(HERE, folder))


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


class Variant(NamedTuple):
    """A version of @electric-sql/client and how it asks for news."""

    folder: str
    options: dict[str, object]
    before: tuple[str, ...] = ()


VARIANTS = {
    "newest": Variant("newest", {}),
    "oldest": Variant("oldest", {}),
    "newest by SSE": Variant("newest", {"liveSse": True}),
    # pglite-sync brings 1.0.14, which knows only the first name of the parameter.
    "1.0.14 by SSE": Variant("pglite", {"experimentalLiveSse": True}, ("pretend_document",)),
}


@pytest.fixture(params=["newest", "oldest", "newest by SSE"])
def client(request: pytest.FixtureRequest) -> Iterator[NodeClient]:
    """A node process with the client; every test that uses it runs once for each of these variants."""
    variant = VARIANTS[request.param]
    with NodeClient(HERE / "driver.mjs", installed(variant.folder), variant.options) as running:
        for command in variant.before:
            running.call(command)
        yield running


@pytest.fixture
def start_driver() -> Iterator[Callable[[str], NodeProcess]]:
    """``start_driver("react")``: node with ``react.mjs`` and the packages of the folder ``react``."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(NodeProcess(HERE / f"{name}.mjs", installed(name)))


@pytest.fixture
def write_api() -> Iterator[WriteApi]:
    with WriteApi() as api:
        yield api


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

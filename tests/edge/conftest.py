"""What checks tokens before a request comes to us: Caddy, nginx and an edge function, each as the docs configure it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from example_project.embedded_postgres import Cluster
from tests.caches.conftest import configure
from tests.caches.conftest import main_configuration as nginx_main
from tests.clients.test_gatekeeper import PEOPLE
from tests.support.server import ROOT, ElectricServer, free_port
from tests.support.waiting import eventually
from tests.test_tokens import pems

HOW_TO = ROOT / "docs" / "how-to"
SERVE = Path(__file__).with_name("serve.mjs")
SECRET = "edge-secret-" * 4
OLD_KEY = "old" * 20
PRIVATE, PUBLIC = pems(ec.generate_private_key(ec.SECP256R1()))


@dataclass
class Guarded:
    """The server behind, and a session of ann."""

    server: ElectricServer
    session: str

    def ticket(self, name: str = "demo_issue", **body: Any) -> dict[str, Any]:
        csrf = "a" * 32
        answer = httpx.post(
            f"{self.server.url}/gatekeeper/{name}/",
            cookies={"sessionid": self.session, "csrftoken": csrf},
            headers={"x-csrftoken": csrf},
            json=body,
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json()
        given["params"]["columns"] = ",".join(given["params"]["columns"])
        return given


@pytest.fixture(scope="package")
def guarded(postgres_cluster: Cluster) -> Iterator[Guarded]:
    env = {
        "ELECTRIC_SECRET": SECRET,
        "ELECTRIC_GATEKEEPER_KEYS": f"{PRIVATE},{OLD_KEY}".replace("\n", "\\n"),
    }
    with ElectricServer(postgres_cluster, env) as server:
        said = server.manage("shell", "-v0", "-c", PEOPLE)
        yield Guarded(server, said.strip().splitlines()[-1])


def needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed: its configuration is NOT tested")
    return found


def caddy(guarded: Guarded, folder: Path, port: int) -> list[str]:
    program = needs("caddy")
    text = (HOW_TO / "gatekeeper.Caddyfile").read_text()
    assert text.count("127.0.0.1:8000") == 3
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{guarded.server.port}")
    text = configure(text, {":80 {": f"http://127.0.0.1:{port} {{"})
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tgrace_period 1s\n}\n" + text)
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def nginx(guarded: Guarded, folder: Path, port: int) -> list[str]:
    program = needs("nginx")
    replacements = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{guarded.server.port};",
        "THE-SECRET": SECRET,
    }
    text = configure((HOW_TO / "gatekeeper-nginx.conf").read_text(), replacements)
    (folder / "electric.conf").write_text(text)
    (folder / "nginx.conf").write_text(nginx_main(folder))
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def edge(guarded: Guarded, folder: Path, port: int) -> list[str]:
    return [needs("node"), str(SERVE), str(HOW_TO / "gatekeeper-edge.mjs"), str(port)]


GATES: dict[str, Callable[[Guarded, Path, int], list[str]]] = {
    "caddy": caddy,
    "nginx": nginx,
    "edge": edge,
}


@pytest.fixture(scope="package", params=GATES)
def gate(request: pytest.FixtureRequest, guarded: Guarded) -> Iterator[str]:
    """Where each of them listens."""
    port = free_port()
    env = {
        **os.environ,
        "ELECTRIC_SECRET": SECRET,
        "ORIGIN": guarded.server.url,
        "SECRET": SECRET,
        "AUDIENCE": guarded.server.stream_id,
        "KEYS": json.dumps([PUBLIC, OLD_KEY]),
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-", dir="/tmp")))
        env |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        command = GATES[request.param](guarded, folder, port)
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(
                lambda: _answers(url) or process.poll() is not None, f"{request.param} is there"
            )
            assert process.poll() is None, (folder / "log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/shape", timeout=5).status_code == 401
    except httpx.HTTPError:
        return False

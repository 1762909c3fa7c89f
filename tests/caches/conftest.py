"""A real nginx with the configuration of docs/how-to, and proxies that cache as nobody should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import ROOT, ElectricServer, free_port
from tests.support.waiting import eventually

CONFIGURATION = ROOT / "docs" / "how-to" / "nginx.conf"
_MAIN = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_format told '$upstream_cache_status $status $request_uri';
    access_log {folder}/access.log told;
    include {folder}/electric.conf;
}}
"""


class Nginx:
    """nginx in front of one web server; the lines of its log say what it asked that server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def log(self, containing: str) -> list[tuple[str, int, str]]:
        """Cache status, HTTP status and URL of the requests so far whose URL contains a text."""
        lines = (self.folder / "access.log").read_text().splitlines()
        parts = [line.split(" ", 2) for line in lines if containing in line]
        return [(status, int(code), url) for status, code, url in parts]

    def statuses(self, containing: str) -> Counter[str]:
        """How the cache served these requests: ``HIT``, ``MISS``, …"""
        return Counter(status for status, _, _ in self.log(containing))


def configure(text: str, replacements: dict[str, str]) -> str:
    """The shipped configuration with the marked places filled in."""
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {CONFIGURATION}"
        text = text.replace(old, new)
    return text


def main_configuration(folder: Path) -> str:
    """What stands around ``electric.conf`` in *folder*."""
    return _MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else "")


@pytest.fixture(scope="session")
def nginx_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[ElectricServer], Nginx]]:
    """``nginx_before(server)``: an nginx of this test run in front of a server."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed: the cache in front of us is NOT tested")
    running: list[subprocess.Popen[bytes]] = []

    def start(server: ElectricServer) -> Nginx:
        folder = tmp_path_factory.mktemp("nginx")
        port = free_port()
        replacements = {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{server.port};",
            "/var/cache/nginx/electric": f"{folder}/cache",
        }
        (folder / "electric.conf").write_text(configure(CONFIGURATION.read_text(), replacements))
        (folder / "nginx.conf").write_text(main_configuration(folder))
        (folder / "access.log").touch()
        command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        nginx = Nginx(folder, port)
        eventually(lambda: _answers(nginx) or process.poll(), "nginx is there")
        assert process.poll() is None, (folder / "error.log").read_text()
        return nginx

    yield start
    for process in running:
        process.terminate()
        process.wait()


def _answers(nginx: Nginx) -> bool:
    try:
        return httpx.get(f"{nginx.url}/v1/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def cached_server(electric_server: Callable[..., ElectricServer]) -> ElectricServer:
    """A server with small chunks, so that an initial sync takes several answers."""
    return electric_server(
        {
            "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true",
            "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD": "100000",
        }
    )


@pytest.fixture(scope="session")
def nginx(nginx_before: Callable[[ElectricServer], Nginx], cached_server: ElectricServer) -> Nginx:
    return nginx_before(cached_server)


def rows_in(body: str) -> list[str]:
    """The ids in a body of messages."""
    return re.findall(r'"value":\{"id":"(\d+)"', body)

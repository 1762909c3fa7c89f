"""One server with every way to serve a shape, in both mounts, and the people who ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer, free_port
from tests.support.waiting import eventually

SECRET = "matrix-secret"
GATEKEEPER_KEYS = ("new" * 20, "old" * 20)
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.access.settings",
    "ELECTRIC_SECRET": SECRET,
    "ELECTRIC_GATEKEEPER_KEYS": ",".join(GATEKEEPER_KEYS),
    # A client that waits asks again soon, and a rule that has changed holds.
    "ELECTRIC_LONG_POLL_TIMEOUT": "1000",
    "ELECTRIC_GRANT_TTL": "1000",
}


@dataclass
class Site:
    """Where it is, and the session of each person."""

    server: ElectricServer
    mounts: dict[str, str]
    sessions: dict[str, str]
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def client(self, person: str) -> httpx.Client:
        """One who has signed in, unless it is nobody."""
        if person not in self.clients:
            cookies = {"sessionid": self.sessions[person]} if person in self.sessions else {}
            # Where a POST has to say that it comes from the site's own pages, it does.
            cookies |= {"csrftoken": "a" * 32}
            headers = {"X-CSRFToken": "a" * 32}
            self.clients[person] = httpx.Client(cookies=cookies, headers=headers, timeout=30)
        return self.clients[person]

    def ask(
        self,
        person: str,
        path: str,
        *,
        mount: str = "first",
        method: str = "GET",
        body: Any = None,
        **query: str,
    ) -> httpx.Response:
        """One request, as it is written: no redirects, no normal form of the path."""
        separator = "&" if "?" in path else "?"
        params = str(httpx.QueryParams({"offset": "-1", **query}))
        return self.client(person).request(
            method, f"{self.mounts[mount]}{path}{separator}{params}", json=body
        )

    def read(
        self, person: str, path: str, **query: str
    ) -> tuple[httpx.Response, list[dict[str, Any]]]:
        """The last answer and all messages up to the end of the log, or to an answer that is none."""
        messages: list[dict[str, Any]] = []
        place: dict[str, str] = {}
        while True:
            answer = self.ask(person, path, **query, **place)
            if answer.status_code != 200:
                return answer, messages
            messages += answer.json()
            place = {
                "offset": answer.headers["electric-offset"],
                "handle": answer.headers["electric-handle"],
            }
            if "electric-up-to-date" in answer.headers:
                return answer, messages


@pytest.fixture(scope="package")
def site(postgres_cluster: Cluster) -> Iterator[Site]:
    with ElectricServer(postgres_cluster, ENVIRONMENT) as server:
        made = server.manage("shell", "-v0", "-c", "from tests.access.people import make; make()")
        with serving(server, "plain") as plain:
            mounts = {"first": server.url, "plain": plain}
            site = Site(server, mounts, json.loads(made.strip().splitlines()[-1]))
            try:
                yield site
            finally:
                for client in site.clients.values():
                    client.close()


@contextmanager
def serving(server: ElectricServer, mount: str, **changes: str) -> Iterator[str]:
    """One more web process of *server* with one of the mounts, and other settings; its URL."""
    port = free_port()
    words = ["-m", "uvicorn", f"tests.servers.mounts:{mount}", "--port", str(port)]
    before, server.env = server.env, {**server.env, **changes}
    process = server.start(f"{mount}-{port}", *words, "--no-access-log")
    server.env = before
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), f"the mount {mount} answers")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/health").status_code == 200
    except httpx.TransportError:
        return False

"""The official client with tokens that expire and keys that change: it fetches another one and loses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from example_project.embedded_postgres import Cluster
from tests.clients.test_clients import rows
from tests.support.node import NodeClient, NodeShape
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]

LONG, MARGIN = "60s", 59.5
"""A restart of the server takes no longer, and a ticket is renewed after half a second all the same."""
OLD, NEW = "old" * 20, "new" * 20
MINE = "assignee = 'ann'"
COLUMNS = ("id", "title", "status", "project_id")
PEOPLE = """
from django.contrib.auth.models import User
from django.test import Client
from example_project.demo.models import Issue, Project
client = Client()
client.force_login(User.objects.create_user("ann"))
project = Project.objects.create(name="P", key="P")
for n in range(20):
    Issue.objects.create(project=project, title=f"issue {n}", assignee=("ann", "bob")[n % 2])
print(client.session.session_key)
"""


@pytest.fixture(scope="module")
def guarded(postgres_cluster: Cluster) -> Iterator[tuple[ElectricServer, str]]:
    """A server, and the session of ann."""
    env = {
        "ELECTRIC_SECRET": "s" * 40,
        "ELECTRIC_GATEKEEPER_KEYS": OLD,
        "ELECTRIC_TOKEN_TTL": LONG,
    }
    with ElectricServer(postgres_cluster, env) as server:
        said = server.manage("shell", "-v0", "-c", PEOPLE)
        yield server, said.strip().splitlines()[-1]


def follow(
    client: NodeClient, server: ElectricServer, session: str, *, margin: float | None
) -> NodeShape:
    csrf = "a" * 32
    gatekeeper = {
        "url": f"{server.url}/gatekeeper/demo_issue/?columns={','.join(COLUMNS)}",
        "headers": {"cookie": f"sessionid={session}; csrftoken={csrf}", "x-csrftoken": csrf},
        "margin": margin,
    }
    return client.follow(server.url, {"gatekeeper": gatekeeper})


def write(server: ElectricServer, text: str) -> None:
    server.sql(
        f"UPDATE demo_issue SET title = '{text} ' || id",
        "INSERT INTO demo_issue (project_id, title, description, status, priority, assignee, position, created, updated)"
        f" SELECT project_id, '{text}', '', status, priority, assignee, 0, now(), now() FROM demo_issue ORDER BY id LIMIT 2",
    )


def restart(server: ElectricServer, keys: str, ttl: str = LONG) -> None:
    server.stop_web()
    server.env |= {"ELECTRIC_GATEKEEPER_KEYS": keys, "ELECTRIC_TOKEN_TTL": ttl}
    server.start_web()
    server.wait_until_active()


class Follower:
    """One that loses nothing and gets nothing twice, while rows change."""

    def __init__(
        self, client: NodeClient, guarded: tuple[ElectricServer, str], *, margin: float | None
    ) -> None:
        self.server, session = guarded
        self.shape = follow(client, self.server, session, margin=margin)
        self.report = self.expect()

    def expect(self) -> dict[str, Any]:
        self.report = self.shape.expect(rows(self.server, "demo_issue", MINE, COLUMNS))
        assert self.report["mustRefetch"] == 0
        return self.report

    def write_until(self, tickets: int) -> None:
        """Rows change until so many more tickets were given out."""
        wanted, end = self.report["tickets"] + tickets, time.monotonic() + 30
        while self.expect()["tickets"] < wanted:
            assert time.monotonic() < end, self.report
            write(self.server, f"at {end - time.monotonic():.2f}")
            time.sleep(0.2)


@pytest.mark.parametrize(
    ("client", "keys_change"), [("newest", True), ("oldest", False)], indirect=["client"]
)
def test_a_token_that_is_renewed_in_time_is_never_refused(
    client: NodeClient, guarded: tuple[ElectricServer, str], keys_change: bool
) -> None:
    """Nor are keys that change one after the other."""
    server, _ = guarded
    follower = Follower(client, guarded, margin=MARGIN)
    follower.write_until(tickets=2)
    old = server.env["ELECTRIC_GATEKEEPER_KEYS"]
    new = NEW if old == OLD else OLD
    for keys in (f"{new},{old}", new) if keys_change else ():
        restart(server, keys)
        follower.write_until(tickets=2)
    assert follower.report["errors"] == []
    assert set(follower.report["statuses"]) == {"200"}
    follower.shape.stop()


@pytest.mark.parametrize("client", ["newest", "newest by SSE"], indirect=True)
def test_a_token_that_is_refused_is_replaced(
    client: NodeClient, guarded: tuple[ElectricServer, str]
) -> None:
    """The oldest client begins anew after any error, and is not told to forget what it has."""
    server, _ = guarded
    restart(server, OLD, ttl="1s")
    follower = Follower(client, guarded, margin=None)
    follower.write_until(tickets=2)
    restart(server, NEW)
    follower.write_until(tickets=1)
    assert set(follower.report["errors"]) == {401}
    follower.shape.stop()

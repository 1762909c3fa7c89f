"""Electric's own client, at shapes that the project guards: it names no table, and follows when the rule changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.conftest import Site
from tests.clients.conftest import HERE, installed
from tests.support.node import NodeClient

pytestmark = [pytest.mark.client, pytest.mark.slow, pytest.mark.xdist_group("access")]


@pytest.fixture
def client() -> Iterator[NodeClient]:
    with NodeClient(HERE / "driver.mjs", installed("newest")) as running:
        yield running


def signed_in(site: Site, person: str) -> dict[str, object]:
    return {"headers": {"Cookie": f"sessionid={site.sessions[person]}"}}


def rows(site: Site, table: str, columns: str, condition: str) -> list[dict[str, str | None]]:
    texts = ", ".join(f"{name}::text" for name in columns.split())
    found = site.server.query(f"SELECT {texts} FROM {table} WHERE {condition}")
    return [
        {
            name: None if value is None else str(value)
            for name, value in zip(columns.split(), row, strict=True)
        }
        for row in found
    ]


@pytest.mark.parametrize("mount", ["first", "plain"])
def test_a_declared_shape(site: Site, client: NodeClient, mount: str) -> None:
    mine = "assignee = 'ann' AND status NOT IN ('done', 'canceled')"
    columns = "id project_id title status priority"
    shape = client.follow_at(f"{site.mounts[mount]}/shapes/my-issues/", signed_in(site, "ann"))
    narrowed = client.follow_at(
        f"{site.mounts[mount]}/shapes/my-issues/",
        signed_in(site, "ann"),
        where="status = $1",
        params=["todo"],
    )
    shape.expect(rows(site, "demo_issue", columns, mine))
    (one,) = site.server.query(f"SELECT id FROM demo_issue WHERE {mine} LIMIT 1")
    site.server.sql(f"UPDATE demo_issue SET assignee = 'bob' WHERE id = {one[0]}")
    shape.expect(rows(site, "demo_issue", columns, mine))
    site.server.sql(f"UPDATE demo_issue SET assignee = 'ann', status = 'todo' WHERE id = {one[0]}")
    report = shape.expect(rows(site, "demo_issue", columns, mine))
    assert report["mustRefetch"] == 0
    narrowed.expect(rows(site, "demo_issue", columns, f"{mine} AND status = 'todo'"))


def test_when_the_rule_allows_more_the_client_starts_again(site: Site, client: NodeClient) -> None:
    columns = "id name key color description created"
    shape = client.follow_at(f"{site.server.url}/shapes/granted-projects/", signed_in(site, "bob"))
    shape.expect([])
    grant = (
        "from django.contrib.auth.models import User; from guardian.shortcuts import assign_perm;"
        "from example_project.demo.models import Project;"
        "assign_perm('view_project', User.objects.get(username='bob'), Project.objects.get(key='P0'))"
    )
    take = grant.replace("assign_perm", "remove_perm")
    site.server.manage("shell", "-v0", "-c", grant)
    try:
        shape.expect(rows(site, "demo_project", columns, "key = 'P0'"))
    finally:
        site.server.manage("shell", "-v0", "-c", take)
    report = shape.expect([])
    assert report["mustRefetch"] == 2


def test_without_a_user_the_client_hears_401(site: Site, client: NodeClient) -> None:
    shape = client.follow_at(f"{site.server.url}/shapes/my-issues/")
    assert shape.ends()["errors"] == [401]

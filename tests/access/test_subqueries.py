"""Rules whose QuerySets hold QuerySets: rows come to whoever may read them now, and go when he may no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.access.conftest import Site
from tests.access.test_client import rows, signed_in
from tests.clients.conftest import HERE, installed
from tests.support.node import NodeClient, NodeShape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("access")]
PATH = "/shapes/my-conversations/"
COLUMNS = "id issue_id author body created"


@pytest.fixture
def client() -> Iterator[NodeClient]:
    with NodeClient(HERE / "driver.mjs", installed("newest")) as running:
        yield running


def said_to(site: Site, person: str) -> list[dict[str, str | None]]:
    mine = f"issue_id IN (SELECT id FROM demo_issue WHERE assignee = '{person}')"
    return rows(site, "demo_comment", COLUMNS, mine)


@pytest.mark.client
@pytest.mark.parametrize("sse", [False, True], ids=["long poll", "SSE"])
@pytest.mark.parametrize("mount", ["first", "plain"])
def test_rows_come_and_go_with_what_the_rule_depends_on(
    site: Site, client: NodeClient, mount: str, sse: bool
) -> None:
    def follow(person: str) -> NodeShape:
        options = {**signed_in(site, person), "byTags": True, "liveSse": sse}
        return client.follow_at(f"{site.mounts[mount]}{PATH}", options)

    def check() -> None:
        for person, shape in shapes.items():
            shape.expect(said_to(site, person))

    (issue,) = site.server.query("SELECT max(id) FROM demo_issue WHERE assignee = 'ann'")[0]
    shapes = {person: follow(person) for person in ("ann", "bob", "eve")}
    check()
    secret = f"for bob alone {mount} {sse}"
    try:
        site.server.sql(f"UPDATE demo_issue SET assignee = 'bob' WHERE id = {issue}")
        check()
        site.server.sql(
            "INSERT INTO demo_comment (issue_id, author, body, created)"
            f" VALUES ({issue}, 'bob', '{secret}', now())"
        )
        check()
        assert secret in json.dumps(said_to(site, "bob"))
    finally:
        site.server.sql(
            f"DELETE FROM demo_comment WHERE body = '{secret}'",
            f"UPDATE demo_issue SET assignee = 'ann' WHERE id = {issue}",
        )
    check()
    for person, shape in shapes.items():
        report = shape.report()
        assert report["mustRefetch"] == 0
        assert set(report["statuses"]) == {"200"}
        assert (report["events"]["move-in"] > 0) == (person != "eve")
    for person in ("ann", "eve"):
        _, messages = site.read(person, PATH, mount=mount)
        assert secret not in json.dumps(messages), "the logs of others never had it"
    _, messages = site.read("bob", PATH, mount=mount)
    assert secret in json.dumps(messages)


def test_the_clients_own_part_of_a_condition_asks_no_other_table(site: Site) -> None:
    """What it adds is AND-ed with the rule; in a subquery it could ask for what it may not read."""
    everybodys = "issue_id IN (SELECT id FROM demo_issue WHERE assignee = 'ann')"
    for query in ({"where": everybodys}, {"subset__where": everybodys}):
        answer = site.ask("eve", PATH, **query)
        assert answer.status_code == 400, answer.text
        assert "ubquer" in answer.text
    assert site.ask("eve", PATH, where="author = 'bob'").status_code == 200
    subset = site.ask("ann", PATH, subset__where="author = 'ann'").json()["data"]
    assert subset
    assert all(row["headers"]["active_conditions"] == [True] for row in subset)


def test_who_asks_in_another_name_is_told_of_his_own_rows(site: Site) -> None:
    handle = site.ask("ann", PATH).headers["electric-handle"]
    answer = site.ask("eve", PATH, offset="0_0", handle=handle)
    assert answer.status_code == 409
    assert answer.headers["electric-handle"] != handle

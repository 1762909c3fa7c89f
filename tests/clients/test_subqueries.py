"""Rows that come and go because of other tables, as the clients from npm take them (PROTOCOL section 12).

Of those only the collections of TanStack DB look at tags and moves: what they hold must equal a SELECT at every
step. The class ``Shape`` of @electric-sql/client, and with it ``useShape``, takes what moves in and keeps what
moves out, in every version: that is written down here, so that a version that lets go of it is noticed. Its
ShapeStream passes on all that is needed; `moves.mjs` has the few lines that make rows of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.clients.conftest import VARIANTS
from tests.clients.test_clients import rows
from tests.support.node import NodeClient, NodeProcess
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.client, pytest.mark.slow]

COLUMNS = ("id", "title", "project", "weight", "done")
CONDITIONS = {
    "in": "project IN (SELECT id FROM {projects} WHERE is_open)",
    "not in": "project NOT IN (SELECT id FROM {projects} WHERE NOT is_open)",
    "nested": "project IN (SELECT id FROM {projects} WHERE team IN (SELECT id FROM {teams} WHERE is_active))",
    "or": "project IN (SELECT id FROM {projects} WHERE is_open) OR weight > 10",
    "and not": "done = false AND NOT (project IN (SELECT id FROM {projects} WHERE NOT is_open) AND weight > 3)",
}
STEPS = (
    # Projects, and teams, that begin and cease to match, alone and several at once.
    "UPDATE {projects} SET is_open = true WHERE id = 2",
    "UPDATE {projects} SET is_open = false WHERE id = 1",
    "UPDATE {teams} SET is_active = NOT is_active",
    "UPDATE {projects} SET is_open = NOT is_open WHERE id < 5",
    # Issues that go from project to project, whether it matches or not.
    "UPDATE {issues} SET project = 2 WHERE id = 11",
    "UPDATE {issues} SET project = 3, title = 'moved' WHERE project = 1",
    "UPDATE {issues} SET project = NULL WHERE id = 4",
    "INSERT INTO {issues} VALUES (100, 'new', 3, 11), (101, 'new', 4, 2)",
    # Both at once, and a row that only stays.
    "WITH p AS (UPDATE {projects} SET is_open = NOT is_open RETURNING id)"
    " UPDATE {issues} SET project = project + 1, title = 'at once' WHERE project IN (SELECT id FROM p) AND id % 3 = 0",
    "UPDATE {issues} SET title = title || '!', id = id + 1000 WHERE id % 10 = 7",
    "UPDATE {projects} SET team = 3 - team",
    "DELETE FROM {projects} WHERE id = 3",
    "DELETE FROM {issues} WHERE id % 5 = 0",
    "INSERT INTO {projects} VALUES (3, 1, true)",
)


class Tables:
    """Issues of projects of teams."""

    def __init__(self, server: ElectricServer) -> None:
        self.server = server
        suffix = os.urandom(5).hex()
        self.names = {name: f"{name}_{suffix}" for name in ("teams", "projects", "issues")}
        self.issues = self.names["issues"]
        self.run(
            "CREATE TABLE {teams} (id int PRIMARY KEY, is_active boolean NOT NULL)",
            "CREATE TABLE {projects} (id int PRIMARY KEY, team int, is_open boolean NOT NULL)",
            "CREATE TABLE {issues} (id int PRIMARY KEY, title text NOT NULL, project int, weight float8,"
            " done boolean NOT NULL DEFAULT false)",
            "INSERT INTO {teams} VALUES (1, true), (2, false)",
            "INSERT INTO {projects} SELECT g, 1 + g % 2, g % 2 = 1 FROM generate_series(1, 6) g",
            "INSERT INTO {issues} SELECT g, 'issue ' || g, 1 + g % 7, g / 4.0 FROM generate_series(1, 60) g",
        )

    def filled(self, text: str) -> str:
        return text.format(**self.names)

    def run(self, *statements: str) -> None:
        self.server.sql(*map(self.filled, statements))

    def rows(self, where: str) -> list[dict[str, str | None]]:
        return rows(self.server, self.issues, self.filled(where), COLUMNS)


@pytest.fixture
def tables(server: ElectricServer) -> Tables:
    return Tables(server)


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("client", VARIANTS, indirect=True)
def test_messages_tell_of_all_that_comes_and_goes(
    client: NodeClient, server: ElectricServer, tables: Tables, name: str
) -> None:
    """All versions pass tags and moves on, also those that know nothing of them."""
    where = CONDITIONS[name]
    shape = client.follow(
        server.url, {"byTags": True}, table=tables.issues, where=tables.filled(where)
    )
    shape.expect(tables.rows(where))
    for statement in STEPS:
        tables.run(statement)
        shape.expect(tables.rows(where))
    report = shape.report()
    assert report["mustRefetch"] == 0
    assert report["events"]["move-in"] > 1
    assert report["events"]["move-out"] > 1


@pytest.mark.parametrize("client", VARIANTS, indirect=True)
def test_its_shape_keeps_what_moves_out(
    client: NodeClient, server: ElectricServer, tables: Tables
) -> None:
    """What is seen, not what is wanted; and other shapes of the same client are as right as ever."""
    where = CONDITIONS["in"]
    shape = client.follow(server.url, table=tables.issues, where=tables.filled(where))
    by_tags = client.follow(
        server.url, {"byTags": True}, table=tables.issues, where=tables.filled(where)
    )
    other = client.follow(server.url, table=tables.issues)
    before = tables.rows(where)
    shape.expect(before)
    tables.run("UPDATE {projects} SET is_open = true WHERE id = 2")
    shape.expect(tables.rows(where))
    tables.run("UPDATE {projects} SET is_open = false WHERE id = 1")
    by_tags.expect(tables.rows(where))
    kept = [row for row in before if row["project"] == "1"]
    assert kept
    shape.expect([*tables.rows(where), *kept])
    # A row that it holds wrongly comes in again, and is then as it is now.
    tables.run(
        "UPDATE {issues} SET title = 'not heard of' WHERE project = 1",
        "UPDATE {projects} SET is_open = true WHERE id = 1",
    )
    shape.expect(tables.rows(where))
    other.expect(tables.rows("true"))
    assert shape.report()["mustRefetch"] == 0


def test_components_show_what_moves_in(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, tables: Tables
) -> None:
    """useShape is made of Shape: see above."""
    where = CONDITIONS["in"]
    page = start_driver("react")
    initial = {"table": tables.issues, "where": tables.filled(where)}
    part = {"component": "List", "id": "open", "url": f"{server.url}/v1/shape", "initial": initial}
    page.call("render", parts=[part])
    before = tables.rows(where)
    page.expect(before, part="open")
    tables.run("UPDATE {projects} SET is_open = true WHERE id = 2")
    page.expect(tables.rows(where), part="open")
    tables.run(
        "UPDATE {projects} SET is_open = false WHERE id = 1",
        "UPDATE {issues} SET title = 'later' WHERE project = 3",
    )
    kept = [row for row in before if row["project"] == "1"]
    page.expect([*tables.rows(where), *kept], part="open")


# --- TanStack DB --------------------------------------------------------------------------------------


def collect(
    node: NodeProcess, server: ElectricServer, tables: Tables, where: str, mode: str, **more: object
) -> None:
    params = {"where": tables.filled(where)}
    if mode == "on-demand":
        # Or else it passes over an update of a row that it has not asked for: it could not show the row.
        params["replica"] = "full"
    node.call(
        "collect",
        name="issues",
        url=f"{server.url}/v1/shape",
        table=tables.issues,
        params=params,
        syncMode=mode,
        **more,
    )


@pytest.mark.parametrize("sse", [False, True], ids=["long poll", "SSE"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_collections_hold_what_a_select_gives(
    start_driver: Callable[[str], NodeProcess],
    server: ElectricServer,
    tables: Tables,
    name: str,
    sse: bool,
) -> None:
    where = CONDITIONS[name]
    node = start_driver("tanstack")
    collect(node, server, tables, where, "eager", liveSse=sse)
    node.call("preload", name="issues")
    node.call("query", name="two", of="issues", project=2)
    node.expect(tables.rows(where), name="issues")
    for statement in STEPS:
        tables.run(statement)
        node.expect(tables.rows(where), name="issues")
        node.expect(tables.rows(f"({where}) AND project = 2"), name="two")


@pytest.mark.parametrize("name", CONDITIONS)
def test_collections_on_demand(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, tables: Tables, name: str
) -> None:
    """The rows come by subsets, whose tags say what takes them away again."""
    where = CONDITIONS[name]
    node = start_driver("tanstack")
    collect(node, server, tables, where, "on-demand")
    for project in (1, 2, 3):
        node.call("query", name=f"of {project}", of="issues", project=project)
        node.expect(tables.rows(f"({where}) AND project = {project}"), name=f"of {project}")
    for statement in STEPS:
        tables.run(statement)
        for project in (1, 2, 3):
            node.expect(tables.rows(f"({where}) AND project = {project}"), name=f"of {project}")
    requests = node.call("requests", name="issues")
    assert any(request["isSubset"] for request in requests)
    assert not any(r["offset"] == "-1" for r in requests if not r["isSubset"]), "never the whole"


@pytest.mark.parametrize("name", CONDITIONS)
def test_progressive_collections(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, tables: Tables, name: str
) -> None:
    """What moves while the whole is on its way, moves in the whole."""
    where = CONDITIONS[name]
    node = start_driver("tanstack")
    collect(node, server, tables, where, "progressive", held=True)
    node.call("query", name="two", of="issues", project=1)
    node.expect(tables.rows(f"({where}) AND project = 1"), name="two")
    tables.run(*STEPS[:4])
    node.call("release", name="issues")
    eventually(lambda: node.call("ready", name="issues") == "ready", "all rows came")
    node.expect(tables.rows(where), name="issues")
    for statement in STEPS[4:]:
        tables.run(statement)
        node.expect(tables.rows(where), name="issues")

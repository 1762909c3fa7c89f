"""Shapes with subqueries in a browser: the demo's own client takes rows away, the admin's log shows why."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_admin import CREATE, PASSWORD
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOLLOW = """async ([table, where]) => {
  const { Shape } = await import("/static/demo/shape.js");
  window.followed = new Shape({ table, where });
  window.followed.start();
}"""
HELD = "[...window.followed.rows.values()].map(({ id, n }) => `${id}:${n}`).sort().join()"


class Tables:
    """Children whose parents say whether they belong to the shape."""

    def __init__(self, server: ElectricServer) -> None:
        suffix = os.urandom(4).hex()
        self.server = server
        self.parent, self.child = f"parents_{suffix}", f"children_{suffix}"
        self.where = f"p IN (SELECT id FROM {self.parent} WHERE yes) OR n > 90"
        server.sql(
            f"CREATE TABLE {self.parent} (id int PRIMARY KEY, yes boolean NOT NULL)",
            f"CREATE TABLE {self.child} (id int PRIMARY KEY, p int, n int NOT NULL)",
            f"INSERT INTO {self.parent} VALUES (1, true), (2, false)",
            f"INSERT INTO {self.child} VALUES (1, 1, 10), (2, 2, 20), (3, 1, 99), (4, 2, 40)",
        )

    def select(self) -> str:
        found = self.server.query(f"SELECT id || ':' || n FROM {self.child} WHERE {self.where}")
        return ",".join(sorted(str(text) for (text,) in found))


@pytest.fixture
def tables(seeded_server: ElectricServer) -> Tables:
    return Tables(seeded_server)


def test_the_demos_client_holds_what_a_select_gives(page: Page, tables: Tables) -> None:
    page.evaluate(FOLLOW, [tables.child, tables.where])
    eventually(lambda: page.evaluate(HELD) == tables.select(), "the first rows")
    for statement in (
        f"UPDATE {tables.parent} SET yes = NOT yes",
        f"UPDATE {tables.child} SET n = n + 60 WHERE id = 4",
        f"UPDATE {tables.parent} SET yes = false",
        f"UPDATE {tables.child} SET n = 5 WHERE id = 3",
        f"UPDATE {tables.parent} SET yes = true WHERE id = 1",
        f"TRUNCATE {tables.parent}",
        f"INSERT INTO {tables.parent} VALUES (2, true)",
    ):
        tables.server.sql(statement)
        eventually(lambda: page.evaluate(HELD) == tables.select(), statement)
    assert page.evaluate("window.followed.state") == "live"


def test_the_admins_log_tells_live_of_moves(
    page: Page, seeded_server: ElectricServer, tables: Tables, screenshots: Path
) -> None:
    seeded_server.manage("shell", "-v0", "-c", CREATE)
    query = {"table": tables.child, "where": tables.where, "offset": "-1"}
    handle = httpx.get(f"{seeded_server.url}/v1/shape", params=query).headers["electric-handle"]
    page.goto(f"{seeded_server.url}/admin/login/?next=/admin/django_electric/shape/")
    page.fill("#id_username", "root")
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    page.click(f"a:text-is('{handle}')")
    expect(page.locator(".field-road")).to_contain_text("kept in the worker's memory")
    page.screenshot(path=screenshots / "admin-shape-with-subquery.png", full_page=True)
    page.click(".object-tools a:text-is('Log')")
    expect(page.locator("#electric-tail")).to_have_text("live")
    seeded_server.sql(f"UPDATE {tables.parent} SET yes = NOT yes")
    new = page.locator("tr.electric-new")
    expect(new).to_have_count(4)
    page.screenshot(path=screenshots / "admin-log-live-moves.png", full_page=True)
    expect(page.locator("tr.electric-move-out")).to_contain_text('{"pos":0,"value":"')
    expect(page.locator("tr.electric-move-out td").first).to_have_text("")
    expect(new.filter(has_text="moved in")).to_have_count(2)
    page.reload()
    expect(page.locator("td", has_text="insert (moved in)")).to_have_count(2)
    page.locator("tr", has_text="moved in").first.locator("a", has_text=tables.child).click()
    expect(page.locator("#electric-entries tr")).to_have_count(1)
    seeded_server.sql(f"UPDATE {tables.parent} SET yes = false")
    entries = page.locator("#electric-entries tr")
    eventually(lambda: page.reload() and entries.count() == 2, "it went with its parent")
    expect(entries.last).to_contain_text("move-out")
    entries.last.locator("td:last-child a").click()
    expect(entries.last).to_contain_text("move-out")
    page.screenshot(path=screenshots / "admin-log-txid.png", full_page=True)

"""The admin's pages in a browser, under a strict content security policy, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import violations
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POLICY = "default-src 'self'; frame-ancestors 'none'"
Scheme = Literal["light", "dark"]
PASSWORD = "correct horse battery staple"
CREATE = (
    "from django.contrib.auth.models import User;"
    f"User.objects.filter(username='root').exists() or User.objects.create_superuser('root', password='{PASSWORD}')"
)


@pytest.fixture(scope="module")
def handle(seeded_server: ElectricServer) -> str:
    """A shape whose log has some entries of each kind; somebody who may look at it."""
    seeded_server.manage("shell", "-c", CREATE)
    seeded_server.sql(
        "CREATE TABLE plants (id int PRIMARY KEY, name text, height numeric(6, 2))",
        "INSERT INTO plants SELECT n, 'plant ' || n, n * 1.5 FROM generate_series(1, 30) n",
    )
    query = {"table": "plants", "offset": "-1", "where": "height < 1000 AND name LIKE 'plant%'"}
    found = get(seeded_server, query).headers["electric-handle"]
    seeded_server.sql(
        "UPDATE plants SET height = height + 0.25 WHERE id < 20",
        "INSERT INTO plants VALUES (31, 'plant <i>31</i>', 0)",
        "DELETE FROM plants WHERE id = 7",
    )
    after = {**query, "handle": found, "offset": "0_inf"}
    eventually(lambda: "delete" in get(seeded_server, after).text, "the changes are in the log")
    return str(found)


def get(server: ElectricServer, query: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)


def under_policy(route: Route) -> None:
    """The document as the server sends it, with a header that forbids whatever is not in a file."""
    if route.request.resource_type != "document":
        route.continue_()
        return
    answer = route.fetch(max_redirects=0)
    route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": POLICY})


@pytest.fixture
def page(seeded_server: ElectricServer, handle: str, context: BrowserContext) -> Iterator[Page]:
    """The list of shapes, for somebody who has logged in."""
    faults: list[str] = []
    context.route("**/admin/**", under_policy)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.extend(violations(message)))
    page.goto(f"{seeded_server.url}/admin/login/?next=/admin/django_electric/shape/")
    page.fill("#id_username", "root")
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    expect(page.locator("#result_list")).to_be_visible()
    yield page
    assert not faults, faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_list_detail_log_and_replication_are_there_to_be_looked_at(
    page: Page, seeded_server: ElectricServer, handle: str, screenshots: Path, scheme: Scheme
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1600, "height": 900})
    page.reload()  # else colours are still on their way from light to dark
    expect(page.locator("#result_list")).to_contain_text(handle)
    page.screenshot(path=screenshots / f"admin-list-{scheme}.png", full_page=True)
    page.click(f"a:text-is('{handle}')")
    expect(page.locator(".field-road")).to_contain_text("found by an index")
    page.screenshot(path=screenshots / f"admin-shape-{scheme}.png", full_page=True)
    page.click(".object-tools a:text-is('Log')")
    expect(page.locator("#electric-tail")).to_have_text("live")
    page.screenshot(path=screenshots / f"admin-log-{scheme}.png", full_page=True)
    page.goto(f"{seeded_server.url}/admin/django_electric/shape/replication/")
    expect(page.locator("#electric-worker")).to_have_text("active")
    eventually(lambda: page.reload() and page.locator("polyline").count(), "the worker has samples")
    page.screenshot(path=screenshots / f"admin-replication-{scheme}.png", full_page=True)


def test_what_is_written_appears_in_the_log_and_can_be_traced(
    page: Page, seeded_server: ElectricServer, handle: str
) -> None:
    page.click(f"a:text-is('{handle}')")
    page.click(".object-tools a:text-is('Log')")
    expect(page.locator("#electric-tail")).to_have_text("live")
    seeded_server.sql("UPDATE plants SET name = 'plant <b>bold</b>' WHERE id = 3")
    new = page.locator("tr.electric-new")
    expect(new).to_contain_text("plant <b>bold</b>")
    new.locator("a", has_text='"plants"').click()
    entries = page.locator("#electric-entries tr")
    expect(entries.first).to_contain_text("insert")
    expect(entries.last).to_contain_text("plant <b>bold</b>")
    entries.last.locator("td:last-child a").click()
    expect(entries).to_have_count(1)

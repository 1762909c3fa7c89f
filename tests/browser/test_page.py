"""The demo page in a browser: what is written anywhere is on the page, and the other way round."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.support.server import ElectricServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OpenPage = Callable[..., Page]


@pytest.fixture
def title() -> str:
    """A title that no other issue has."""
    return f"Issue {uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=20_000)


def row(page: Page, title: str) -> Locator:
    return page.locator(
        ".row", has=page.locator(".title", has_text=re.compile(f"^{re.escape(title)}$"))
    )


def choose(page: Page, name: str) -> None:
    """Choose a filter. The radio button itself is invisible: its label is what people click."""
    page.locator("#filters label", has_text=re.compile(rf"^\s*{name}\s*$")).click()


def field(page: Page, name: str) -> Locator:
    """A field of the issue that is open."""
    return page.locator("#detail").get_by_label(name, exact=True)


def insert(server: ElectricServer, title: str, project: str = "ATL", status: str = "todo") -> int:
    """A new issue, written past Django; its id."""
    server.psql(
        f"INSERT INTO demo_issue (project_id, title, status) SELECT id, '{title}', '{status}' "
        f"FROM demo_project WHERE key = '{project}'"
    )
    [(issue,)] = server.query(f"SELECT id FROM demo_issue WHERE title = '{title}'")
    return int(str(issue))


def count(server: ElectricServer, where: str = "true") -> str:
    [(number,)] = server.query(
        f"SELECT count(*) FROM demo_issue i JOIN demo_project p ON p.id = project_id WHERE {where}"
    )
    return f"{number:,}"


# --- Reading -----------------------------------------------------------------------------------------


def test_all_issues_are_on_the_page(page: Page, seeded_server: ElectricServer) -> None:
    expect(page.locator("#row-count")).to_have_text(count(seeded_server))
    expect(page.locator("#handle")).to_have_text(re.compile(r"^\d+-\d+$"))
    expect(page.locator("#offset")).to_have_text(re.compile(r"^\d+_(\d+|inf)$"))
    expect(page.locator("#state")).to_have_text("Live")


def test_change_in_psql_appears_without_reload(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    page.evaluate("window.isTheSamePage = true")
    issue = insert(seeded_server, title)
    expect(row(page, title)).to_be_visible()
    expect(row(page, title)).to_have_class(re.compile("flash-insert"))
    seeded_server.psql(
        f"UPDATE demo_issue SET title = '{title} again', status = 'done' WHERE id = {issue}"
    )
    expect(row(page, f"{title} again")).to_have_class(re.compile("flash-update"))
    expect(row(page, f"{title} again").locator(".status-done")).to_be_visible()
    expect(page.locator("#last-change")).to_contain_text(f"ATL-{issue} update")
    seeded_server.psql(f"DELETE FROM demo_issue WHERE id = {issue}")
    expect(row(page, f"{title} again")).to_have_count(0)
    assert page.evaluate("window.isTheSamePage")


def test_offset_moves_with_each_change(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    before = page.inner_text("#offset")
    insert(seeded_server, title)
    expect(row(page, title)).to_be_visible()
    expect(page.locator("#offset")).not_to_have_text(before)


def test_renamed_project_is_renamed_everywhere(page: Page, seeded_server: ElectricServer) -> None:
    seeded_server.psql("UPDATE demo_project SET name = 'Lighthouse', key = 'LHT' WHERE key = 'BCN'")
    expect(page.locator("#projects")).to_contain_text("Lighthouse")
    expect(page.locator(".row .name", has_text="LHT-").first).to_be_visible()
    seeded_server.psql("UPDATE demo_project SET name = 'Beacon', key = 'BCN' WHERE key = 'LHT'")
    expect(page.locator("#projects")).to_contain_text("Beacon")


def test_page_starts_over_when_the_shape_is_gone(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    handle = page.inner_text("#handle")
    deleted = httpx.delete(
        f"{seeded_server.url}/v1/shape", params={"table": "demo_issue", "handle": handle}
    )
    assert deleted.status_code == 202
    expect(page.locator("#handle")).not_to_have_text(handle)
    insert(seeded_server, title)
    expect(row(page, title)).to_be_visible()
    expect(page.locator("#row-count")).to_have_text(count(seeded_server))


def test_page_comes_back_after_the_network_was_away(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    page.context.set_offline(True)
    expect(page.locator("#state")).to_have_text("Offline")
    insert(seeded_server, title)
    page.context.set_offline(False)
    expect(page.locator("#state")).to_have_text("Live")
    expect(row(page, title)).to_be_visible()


def test_failing_server_is_asked_again(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    page.route(
        "**/v1/shape?*", lambda route: route.fulfill(status=503, json={"message": "Not now"})
    )
    insert(seeded_server, title)
    expect(page.locator("#state")).to_have_text("Reconnecting")
    expect(page.locator("#state")).to_have_attribute("title", "503 Not now")
    page.unroute("**/v1/shape?*")
    expect(page.locator("#state")).to_have_text("Live")
    expect(row(page, title)).to_be_visible()


def test_hidden_tab_gives_its_connections_up(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "table=demo_issue" in request.url):
        page.evaluate(hide, True)
    expect(page.locator("#state")).to_have_text("Live")
    insert(seeded_server, title)
    page.evaluate(hide, False)
    expect(row(page, title)).to_be_visible()


def test_refusal_is_shown_with_the_remedy(
    context: BrowserContext, seeded_server: ElectricServer
) -> None:
    refused = {"message": "Unauthorized - Invalid API secret"}
    context.route("**/v1/shape?*", lambda route: route.fulfill(status=401, json=refused))
    page = context.new_page()
    page.goto(f"{seeded_server.url}/demo/")
    expect(page.locator("#state")).to_have_text("Stopped")
    expect(page.get_by_role("alert")).to_contain_text("ELECTRIC_INSECURE=true")


# --- Filtering ---------------------------------------------------------------------------------------


def test_filters_are_shapes(page: Page, seeded_server: ElectricServer, title: str) -> None:
    choose(page, "Harbor")
    expect(page.locator("#definition")).to_contain_text("project_id = $1 [")
    expect(page.locator("#row-count")).to_have_text(count(seeded_server, "key = 'HRB'"))
    choose(page, "In progress")
    expect(page.locator("#definition")).to_contain_text("project_id = $1 AND status = $2 [")
    expect(page.locator("#row-count")).to_have_text(
        count(seeded_server, "key = 'HRB' AND status = 'in_progress'")
    )
    issue = insert(seeded_server, title, "HRB", "in_progress")
    insert(seeded_server, f"{title} elsewhere", "ATL", "in_progress")
    expect(row(page, title)).to_be_visible()
    expect(row(page, f"{title} elsewhere")).to_have_count(0)
    seeded_server.psql(f"UPDATE demo_issue SET status = 'done' WHERE id = {issue}")
    expect(row(page, title)).to_have_count(0)


def test_filters_are_kept_in_the_address(page: Page, seeded_server: ElectricServer) -> None:
    choose(page, "Courier")
    choose(page, "Done")
    page.reload()
    expect(page.locator("#row-count")).to_have_text(
        count(seeded_server, "key = 'CUR' AND status = 'done'")
    )
    expect(page.get_by_role("radio", name="Courier")).to_be_checked()
    expect(page.get_by_role("radio", name="Done")).to_be_checked()


def test_empty_shape_says_so_and_fills(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    seeded_server.psql(
        "DELETE FROM demo_comment USING demo_issue i, demo_project p WHERE i.id = issue_id AND p.id = project_id "
        "AND key = 'MRD' AND status = 'canceled'",
        "DELETE FROM demo_issue USING demo_project p WHERE p.id = project_id AND key = 'MRD' AND status = 'canceled'",
    )
    choose(page, "Meridian")
    choose(page, "Canceled")
    expect(page.locator("#empty")).to_be_visible()
    insert(seeded_server, title, "MRD", "canceled")
    expect(row(page, title)).to_be_visible()
    expect(page.locator("#empty")).to_be_hidden()


# --- Writing -----------------------------------------------------------------------------------------


def create(page: Page, title: str) -> None:
    page.get_by_role("button", name="New issue").click()
    page.locator("#create").get_by_label("Title").fill(title)
    page.get_by_role("button", name="Create issue").click()


def test_issue_is_created_through_the_page(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    create(page, title)
    expect(row(page, title)).to_be_visible()
    expect(page.locator("#edit-title")).to_have_value(title)
    assert seeded_server.query(f"SELECT status FROM demo_issue WHERE title = '{title}'") == [
        ("todo",)
    ]


def test_what_is_wrong_is_shown_at_the_field(page: Page, title: str) -> None:
    create(page, " ")
    title_field = page.locator("#create").get_by_label("Title")
    expect(page.locator("#new-title-error")).to_have_text("This field is required.")
    expect(title_field).to_be_focused()
    expect(title_field).to_have_attribute("aria-invalid", "true")
    title_field.fill(title)
    page.get_by_role("button", name="Create issue").click()
    expect(page.locator("#create")).to_be_hidden()


def test_issue_is_edited_commented_and_deleted(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    issue = insert(seeded_server, title)
    row(page, title).click()
    field(page, "Title").fill(f"{title} edited")
    page.get_by_role("button", name="Save").click()
    expect(row(page, f"{title} edited")).to_be_visible()
    field(page, "Priority").select_option("Urgent")
    expect(row(page, f"{title} edited").locator(".priority-4")).to_be_visible()
    field(page, "Add a comment").fill("Looks good")
    field(page, "Your name").fill("Ada")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".comments")).to_contain_text("Looks good")
    seeded_server.psql(
        f"INSERT INTO demo_comment (issue_id, author, body) VALUES ({issue}, 'psql', 'Me too')"
    )
    expect(page.locator(".comments")).to_contain_text("Me too")
    expect(page.locator("#comments-title")).to_have_text("2 comments")
    page.locator("#detail").get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(row(page, f"{title} edited")).to_have_count(0)
    expect(page.locator("#detail")).to_be_hidden()
    assert seeded_server.query(f"SELECT 1 FROM demo_comment WHERE issue_id = {issue}") == []


def test_unsaved_edit_survives_a_change_from_outside(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    issue = insert(seeded_server, title)
    row(page, title).click()
    field(page, "Title").fill("Half a sentence")
    seeded_server.psql(
        f"UPDATE demo_issue SET title = 'From outside', assignee = 'Grace' WHERE id = {issue}"
    )
    expect(field(page, "Assignee")).to_have_value("Grace")
    expect(field(page, "Title")).to_have_value("Half a sentence")
    page.get_by_role("button", name="Revert").click()
    expect(field(page, "Title")).to_have_value("From outside")


def test_issue_that_leaves_the_shape_says_so(
    page: Page, seeded_server: ElectricServer, title: str
) -> None:
    issue = insert(seeded_server, title)
    row(page, title).click()
    seeded_server.psql(f"DELETE FROM demo_issue WHERE id = {issue}")
    expect(page.locator("#detail .note")).to_be_visible()
    field(page, "Status").select_option("Done")
    expect(page.locator("#detail form.issue")).to_contain_text("This issue is gone")


def test_two_tabs_see_what_the_other_does(
    open_page: OpenPage, seeded_server: ElectricServer, title: str
) -> None:
    """Three live requests each take all six connections of a browser, and writing still works."""
    insert(seeded_server, title)
    one, other = open_page(), open_page()
    for tab in (one, other):
        tab.bring_to_front()
        row(tab, title).click()
        expect(tab.locator("#comments-title")).to_have_text("0 comments")
    one.bring_to_front()
    field(one, "Title").fill(f"{title} by one")
    one.get_by_role("button", name="Save").click()
    expect(one.get_by_role("button", name="Save")).to_be_disabled()
    other.bring_to_front()
    expect(row(other, f"{title} by one")).to_be_visible()
    expect(field(other, "Title")).to_have_value(f"{title} by one")
    field(other, "Title").fill(f"{title} by other")
    other.get_by_role("button", name="Save").click()
    one.bring_to_front()
    expect(row(one, f"{title} by other")).to_be_visible()


# --- Handling ----------------------------------------------------------------------------------------


def test_list_is_walked_and_opened_by_keyboard(page: Page) -> None:
    page.locator("#issues").focus()
    for key in ("ArrowDown", "End", "Home", "PageDown", "ArrowUp"):
        page.keyboard.press(key)
    active = page.locator(".row.active")
    expect(active).to_be_in_viewport()
    name = active.locator(".name").inner_text()
    expect(page.locator("#issues")).to_have_attribute(
        "aria-activedescendant", active.get_attribute("id") or ""
    )
    page.keyboard.press("Enter")
    expect(page.locator("#detail-name")).to_have_text(name)
    expect(page.locator("#detail-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#issues")).to_be_focused()


def test_only_rows_in_view_are_drawn(page: Page, seeded_server: ElectricServer, title: str) -> None:
    seeded_server.psql(
        "INSERT INTO demo_issue (project_id, title) SELECT (SELECT min(id) FROM demo_project), "
        f"'{title} ' || n FROM generate_series(1, 5000) n"
    )
    expect(page.locator("#row-count")).to_have_text(count(seeded_server))
    assert page.locator(".row").count() < 60
    page.locator("#issues").evaluate("viewport => { viewport.scrollTop = 1000 * 44; }")
    thousandth = page.locator('.row[aria-posinset="1001"]')
    expect(thousandth).to_be_in_viewport()
    before, name = thousandth.bounding_box(), thousandth.locator(".name").inner_text()
    insert(seeded_server, title)
    expect(page.locator('.row[aria-posinset="1002"] .name')).to_have_text(name)
    assert page.locator('.row[aria-posinset="1002"]').bounding_box() == before, (
        "the view stands still"
    )
    seeded_server.psql(f"DELETE FROM demo_issue WHERE title LIKE '{title}%'")
    expect(page.locator("#row-count")).to_have_text(count(seeded_server))


@pytest.mark.parametrize("width", [1280, 900, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_screen(
    open_page: OpenPage, screenshots: Path, scheme: str, width: int
) -> None:
    page = open_page(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.screenshot(path=screenshots / f"list-{scheme}-{width}.png")
    page.locator(".row").nth(2).click()
    expect(page.locator("#comments-title")).to_have_text(re.compile(r"^[\d,]+ comments?$"))
    page.screenshot(path=screenshots / f"detail-{scheme}-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#detail").evaluate("panel => panel.scrollWidth <= panel.clientWidth")

"""The page of who has signed in: the rows of a declared shape, as the policy cuts them."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, expect

from tests.support.server import ElectricServer

SIGN_IN = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.get_or_create(username="Mia")[0])
print("session", client.session.session_key)
"""


def test_my_issues_come_and_go(seeded_server: ElectricServer, context: BrowserContext) -> None:
    server = seeded_server
    server.sql(
        "UPDATE demo_issue SET assignee = 'Mia', status = 'todo', title = 'Mine ' || id"
        " WHERE id IN (SELECT id FROM demo_issue ORDER BY id LIMIT 3)"
    )
    session = server.manage("shell", "-v0", "-c", SIGN_IN).split("session ")[1].strip()
    page = context.new_page()
    page.goto(f"{server.url}/demo/mine/")
    assert "/accounts/login/" in page.url, "signed out, the page is not shown"
    context.add_cookies([{"name": "sessionid", "value": session, "url": server.url}])
    page.goto(f"{server.url}/demo/mine/")
    items = page.locator("#issues li")
    expect(items).to_have_count(3)
    expect(items.first).to_contain_text("Mine")
    server.sql("UPDATE demo_issue SET assignee = 'Max' WHERE title = 'Mine 1'")
    expect(items).to_have_count(2)
    server.sql("UPDATE demo_issue SET status = 'done' WHERE assignee = 'Mia'")
    expect(items).to_have_count(0)
    expect(page.locator("#state")).to_have_attribute("data-state", "live")

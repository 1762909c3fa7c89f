"""A headless Chromium, the server that it looks at, and pages that complain when a script fails.

Playwright's own download is not used: the tests take the Chromium or Chrome that the machine has, and
say so when it has none.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    sync_playwright,
)

from tests.support.server import ElectricServer

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
# What a slow machine may take for one thing to appear; a fast one does not wait for it.
PATIENCE_MS = 20_000

OpenPage = Callable[..., Page]


def chromium() -> str | None:
    """The first browser on PATH that we can drive."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


# One browser a module and not one a session: while it runs, playwright's event loop counts as running
# in this thread, and the asynchronous tests of other modules could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip(
            f"no browser: none of {', '.join(PROGRAMS)} is on PATH (apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def seeded_server(server: ElectricServer) -> ElectricServer:
    """The shared server, with the demo's rows in its database."""
    server.manage("seed")
    return server


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: no cookies, no cache, nothing remembered."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def open_page(seeded_server: ElectricServer, context: BrowserContext) -> Iterator[OpenPage]:
    """``open_page("?status=todo")``: the demo page in a new tab, once it is live."""
    faults: list[str] = []

    def open_page(query: str = "", **options: Any) -> Page:
        page = context.new_page()
        if options:
            page.emulate_media(**options)
        page.on("pageerror", lambda error: faults.append(_described(error)))
        page.on("console", lambda message: faults.extend(violations(message)))
        page.goto(f"{seeded_server.url}/demo/{query}")
        page.wait_for_selector("#state[data-state=live]")
        page.wait_for_selector("#issues[aria-busy=false]")
        return page

    yield open_page
    assert not faults, faults


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The demo page, live."""
    return open_page()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go; pytest keeps the folders of its last three runs."""
    return tmp_path_factory.mktemp("screenshots")


def _described(error: Error) -> str:
    return f"{error.message}\n{error.stack}"


def violations(message: ConsoleMessage) -> list[str]:
    """Errors of the page. Failed requests are part of some tests, and Chromium reports them."""
    is_fault = message.type == "error" and not message.text.startswith("Failed to load resource")
    return [message.text] if is_fault else []

"""``manage.py runserver``, which daphne replaces, serves shapes while one develops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.servers.place import Place
from tests.servers.web_process import WebProcess
from tests.support.server import ElectricServer

pytestmark = pytest.mark.xdist_group("servers")


@pytest.fixture
def web(stage: ElectricServer) -> Iterator[WebProcess]:
    web = WebProcess(stage, "runserver", "manage.py", "runserver", "8000")
    web.wait_until_active()
    yield web
    web.end()


async def test_news_come(web: WebProcess) -> None:
    place = Place(web)
    waiting = place.wait()
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    news = await asyncio.to_thread(place.write)
    assert news in (await waiting).text
    assert "Starting ASGI/Daphne" in web.log

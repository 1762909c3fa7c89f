"""The log of a shape in the admin."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Callable

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory, Client
from django.urls import reverse

from django_electric.admin import ShapeAdmin
from django_electric.admin.log import tail
from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.storage import FileStorage
from tests.admin.conftest import entry

KEY = '"public"."items"/"1"'


def look(client: Client, shape: Shape, **query: str) -> str:
    url = reverse("admin:django_electric_shape_log", args=[shape.pk])
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def rows(page: str) -> list[str]:
    """The first cell of each entry."""
    return re.findall(
        r'<tr class="electric-[\w-]+">\s*<td class="electric-narrow"><a [^>]*>([^<]*)</a>', page
    )


def test_the_newest_entries_are_shown_first_of_all(admin: Client, shape: Shape) -> None:
    page = look(admin, shape)
    assert rows(page) == ["snapshot-0", *rows(page)[1:3], "4242_0", "4242_2"]
    assert html.escape('{"id": "1", "text": "<b>text 1</b>"}') in page
    assert "<b>text" not in page
    assert 'data-offset="4242_2"' in page


def test_one_jumps_to_an_offset_a_transaction_or_a_row(admin: Client, shape: Shape) -> None:
    assert rows(look(admin, shape, offset="4242_2")) == ["4242_2"]
    assert rows(look(admin, shape, txid="77")) == ["4242_0", "4242_2"]
    assert rows(look(admin, shape, txid="78")) == []
    history = look(admin, shape, key=KEY)
    assert len(rows(history)) == 2
    assert rows(history)[-1] == "4242_2"
    assert "log.js" not in history


def test_moves_are_shown_and_the_rows_that_they_bring(admin: Client, shape: Shape) -> None:
    storage = FileStorage(electric_settings().root)
    writer = storage.writer(shape.handle, durable_tx=4242)
    tag = {"tags": ["abc"], "active_conditions": [True]}
    writer.append(5_000, [0, 1], [move("move-in"), entry(7, is_move_in=True, **tag)])
    writer.append(5_001, [0], [move("move-out")])
    storage.publish()
    storage.close()
    page = look(admin, shape)
    operations = re.findall(r'<td class="electric-narrow">((?:move-|insert)[^<]*)</td>', page)
    assert operations[-3:] == ["move-in", "insert (moved in)", "move-out"]
    assert html.escape('[{"pos": 0, "value": "abc"}]') in page
    assert '<a href="?txid=90">90</a>, <a href="?txid=91">91</a>' in page
    found = rows(look(admin, shape, txid="91"))
    assert len(found) == 2
    assert found[0].startswith("log-")
    history = look(admin, shape, key='"public"."items"/"7"')
    assert re.findall(r'<tr class="electric-([\w-]+)">', history) == ["insert", "move-out"]
    assert rows(look(admin, shape, offset="5000_1"))[0] == rows(history)[0]


def move(event: str) -> bytes:
    patterns = [{"pos": 0, "value": "abc"}]
    message = {"headers": {"event": event, "patterns": patterns, "txids": [90, 91]}}
    return b"," + json.dumps(message, separators=(",", ":")).encode() + b"\n"


def test_long_logs_have_pages(admin: Client, shape: Shape) -> None:
    storage = FileStorage(electric_settings().root)
    writer = storage.writer(shape.handle, durable_tx=4242)
    for tx in range(5_000, 5_100):
        writer.append(tx, [0], [entry(1, lsn=str(tx), op_position=0, txids=[tx])])
    storage.publish()
    storage.close()
    last = look(admin, shape)
    assert (rows(last)[0], rows(last)[-1]) == ("5050_0", "5099_0")
    before = look(admin, shape, before=re.findall(r"\?before=([\w-]+)", last)[0])
    assert (rows(before)[0], rows(before)[-1]) == ("5000_0", "5049_0")
    assert "log.js" not in before
    first = look(admin, shape, place="snapshot-0")
    after = re.findall(r"place=(log-\d+)\"", first)[-1]
    assert rows(look(admin, shape, place=after))[0] == "5045_0"


@pytest.mark.parametrize(
    "query",
    [{"offset": "x"}, {"place": "x"}, {"before": "log-x"}, {"txid": "7x"}, {"place": "log-3"}],
)
def test_what_names_no_place_is_said_to(admin: Client, shape: Shape, query: dict[str, str]) -> None:
    page = look(admin, shape, **query)
    assert "errornote" in page
    assert rows(page) == []


def test_a_shape_without_a_log_says_why(admin: Client, shape: Shape) -> None:
    FileStorage(electric_settings().root).delete(shape.handle)
    assert "The shape has no log" in look(admin, shape)


@pytest.mark.parametrize("name", ["log", "tail"])
def test_the_rows_in_a_log_are_for_those_who_may_view_them(
    guest: Client, shape: Shape, name: str
) -> None:
    url = reverse(f"admin:django_electric_shape_{name}", args=[shape.pk])
    page = reverse("admin:django_electric_shape_change", args=[shape.pk])
    allow("view_shape")
    assert guest.get(url).status_code == 403
    assert (
        reverse("admin:django_electric_shape_log", args=[shape.pk])
        not in guest.get(page).content.decode()
    )
    allow("view_shape_log")
    assert guest.get(url).status_code == (501 if name == "tail" else 200)
    assert (
        reverse("admin:django_electric_shape_log", args=[shape.pk])
        in guest.get(page).content.decode()
    )
    guest.logout()
    assert guest.get(url).status_code == 302


def allow(codename: str) -> None:
    guest = User.objects.get(username="guest")
    guest.user_permissions.add(Permission.objects.get(codename=codename))


@pytest.mark.parametrize("name", ["log", "tail"])
def test_a_shape_that_is_not_there_is_not_found(admin: Client, shape: Shape, name: str) -> None:
    url = reverse(f"admin:django_electric_shape_{name}", args=[shape.pk + 1])
    assert admin.get(url).status_code == 404


def test_a_live_log_needs_asgi(admin: Client, shape: Shape) -> None:
    url = reverse("admin:django_electric_shape_tail", args=[shape.pk])
    assert admin.get(url, {"offset": "-1"}).status_code == 501


@pytest.fixture
def live(shape: Shape) -> Callable[[str], HttpResponseBase]:
    """The answer to somebody who follows the log from an offset, over ASGI."""
    user = User.objects.create_superuser("root")

    def answer(offset: str) -> HttpResponseBase:
        request = AsyncRequestFactory().get("/", {"offset": offset})
        request.user = user
        return tail(ShapeAdmin(Shape, site), request, shape.pk)

    return answer


def test_the_live_log_tells_what_is_added(
    shape: Shape, live: Callable[[str], HttpResponseBase]
) -> None:
    answer = live("4242_0")
    assert answer["Content-Type"] == "text/event-stream"
    assert isinstance(answer, StreamingHttpResponse)
    asyncio.run(follow(shape, aiter(answer.streaming_content)))  # type: ignore[arg-type]


async def follow(shape: Shape, pieces: AsyncIterator[bytes]) -> None:
    assert '"op_position":2' in await until_news(pieces)
    storage = FileStorage(electric_settings().root)
    writer = storage.writer(shape.handle, durable_tx=4242)
    writer.append(5_000, [0], [entry(9, lsn="5000", op_position=0, txids=[9])])
    storage.publish()
    storage.close()
    assert '"lsn":"5000"' in await until_news(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]


def test_a_live_log_from_nowhere_is_refused(live: Callable[[str], HttpResponseBase]) -> None:
    assert live("x").status_code == 400


async def until_news(pieces: AsyncIterator[bytes]) -> str:
    async with asyncio.timeout(20):
        async for piece in pieces:
            if b'"operation"' in piece:
                return piece.decode()
    raise AssertionError("the stream ended")

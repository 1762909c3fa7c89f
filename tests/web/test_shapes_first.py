"""shapes_first: Django decides, the wrapper answers; what comes out is what the plain mount gives."""

from __future__ import annotations

import asyncio
import doctest
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import override_settings

from django_electric.web import shapes_first, views
from django_electric.web.shapes_first import ShapesFirst
from tests.web.conftest import Bench
from tests.web.conftest import entry as log_entry

ORIGIN = (b"origin", b"http://app.example")
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def test_the_examples_are_right() -> None:
    assert doctest.testmod(shapes_first).failed == 0


class Answer:
    """What an ASGI application sent."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = {
            name.decode().lower(): value.decode() for name, value in messages[0]["headers"]
        }
        self.body = b"".join(m.get("body", b"") for m in messages[1:])
        self.is_whole = not messages[-1].get("more_body", False)


class Caller:
    """An ASGI server with one client."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application
        self.messages: list[dict[str, Any]] = []
        self.disconnect = asyncio.Event()

    async def call(
        self, *headers: tuple[bytes, bytes], method: str = "GET", **query: str
    ) -> Answer:
        self.messages = []
        text = "&".join(f"{k}={v}" for k, v in {"table": "items", "offset": "-1", **query}.items())
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not said:
                said.append({"type": "http.request", "body": b"", "more_body": False})
                return said[0]
            # As from a queue: once, and not lost when whoever asks is cancelled.
            await self.disconnect.wait()
            if len(said) > 1:
                await asyncio.Event().wait()
            said.append({"type": "http.disconnect"})
            return said[1]

        async def send(message: dict[str, Any]) -> None:
            self.messages.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": "/v1/shape", "raw_path": b"/v1/shape", "root_path": "",
            "query_string": text.encode(), "headers": [(b"host", b"testserver"), *headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        await self.application(scope, receive, send)
        return Answer(self.messages)


class Counting:
    """Middleware that counts, adds a header, and turns away whom it does not know."""

    calls = 0
    turns_away = False

    async_capable, sync_capable = True, False

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        from asgiref.sync import markcoroutinefunction

        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        type(self).calls += 1
        if "x-unknown" in request.headers:
            return HttpResponse("who are you", status=403)
        response = await self.get_response(request)
        if self.turns_away:
            return HttpResponse("not after all", status=403)
        response.headers["X-Project"] = "yes"
        if "x-cookie" in request.headers:
            response.set_cookie("seen", "1")
        return response


@pytest.fixture
def django(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[ASGIHandler]:
    """A project with the service of the test, before the middleware is loaded."""
    bench.use(grant_ttl=5_000)
    for module in (views, shapes_first):
        monkeypatch.setattr(module, "electric_settings", lambda: bench.settings)
    monkeypatch.setattr(views, "shape_service", lambda settings: bench.service)
    monkeypatch.setattr(bench.service.ending, "hear", lambda: None)
    monkeypatch.setattr(Counting, "calls", 0)
    monkeypatch.setattr(Counting, "turns_away", False)
    middleware = [
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        f"{__name__}.Counting",
    ]
    with override_settings(
        ROOT_URLCONF="django_electric.urls", MIDDLEWARE=middleware, ALLOWED_HOSTS=["testserver"]
    ):
        yield ASGIHandler()


@pytest.fixture
async def first(django: ASGIHandler) -> Caller:
    return Caller(ShapesFirst(django))


@pytest.fixture
async def plain(django: ASGIHandler) -> Caller:
    return Caller(django)


DIFFERENT = ("content-length", "electric-cursor", "x-request-id")
"""What a server adds, and what differs from one answer to the next."""


def comparable(headers: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k not in DIFFERENT}


async def test_both_mounts_give_the_same(bench: Bench, plain: Caller, first: Caller) -> None:
    bench.worker.rows = [log_entry(n, "x" * 30) for n in range(100)]
    for query in (
        {},
        {"offset": "now"},
        {"offset": "banana"},
        {"where": "nope=1"},
        {"offset": "0_0", "handle": "1-1"},
        {"where": "id=1"},
    ):
        for headers in ((), (ORIGIN,), ((b"accept-encoding", b"gzip"),)):
            one = await plain.call(*headers, **query)
            for _ in range(2):  # through Django, then by the grant
                other = await first.call(*headers, **query)
                assert (other.status, other.body) == (one.status, one.body)
                if query != {"offset": "now"}:  # its tag is used once
                    assert comparable(other.headers) == comparable(one.headers)
                assert other.headers["x-project"] == "yes"


async def test_equal_requests_do_not_enter_django(first: Caller) -> None:
    answer = await first.call()
    assert Counting.calls == 1
    handle = answer.headers["electric-handle"]
    assert (await first.call(offset="0_0", handle=handle)).status == 200
    assert (await first.call(ORIGIN)).headers["access-control-allow-origin"] == ORIGIN[1].decode()
    assert Counting.calls == 2, "another origin asks Django again"
    assert (await first.call(where="id=1")).status == 200
    assert Counting.calls == 3


async def test_whom_the_project_turns_away_is_turned_away(first: Caller) -> None:
    assert (await first.call()).status == 200
    answer = await first.call((b"x-unknown", b"1"))
    assert (answer.status, answer.body) == (403, b"who are you")
    Counting.turns_away = True
    answer = await first.call(where="id=1")
    assert (answer.status, answer.body) == (403, b"not after all")
    # No grant came of it.
    Counting.turns_away = False
    calls = Counting.calls
    assert (await first.call(where="id=1")).status == 200
    assert Counting.calls == calls + 1


async def test_a_cookie_is_for_one_answer(first: Caller) -> None:
    for calls in (1, 2):
        answer = await first.call((b"x-cookie", b"1"))
        assert "seen=1" in answer.headers["set-cookie"]
        assert Counting.calls == calls


async def test_no_time_to_live_asks_django_every_time(bench: Bench, first: Caller) -> None:
    bench.use(grant_ttl=0)
    for calls in (1, 2):
        assert (await first.call()).status == 200
        assert Counting.calls == calls


async def test_other_methods_go_through(first: Caller) -> None:
    assert (await first.call()).status == 200
    assert (await first.call(method="OPTIONS")).status == 204
    assert (await first.call(method="PUT")).status == 404
    assert (await first.call(method="DELETE")).status == 202


async def test_a_head_has_no_body(first: Caller) -> None:
    """But says how long a GET's would be."""
    whole = await first.call()
    for _ in range(2):
        answer = await first.call(method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(len(whole.body))


async def test_a_live_request_waits_outside_django(bench: Bench, first: Caller) -> None:
    bench.use(long_poll_timeout=5_000)
    handle, offset = await bench.follow()
    waiting = asyncio.create_task(first.call(offset=offset, handle=handle, live="true"))
    while not bench.service.listener.waiting:
        await asyncio.sleep(0.01)
    bench.worker.append(handle, 7)
    answer = await waiting
    assert json.loads(answer.body)[0]["key"] == "7"
    assert answer.is_whole


async def test_a_client_that_goes_frees_everything(bench: Bench, first: Caller) -> None:
    bench.use(long_poll_timeout=60_000)
    handle, offset = await bench.follow()
    for query in ({"live": "true"}, {"live": "true", "live_sse": "true"}):
        first.disconnect.clear()
        waiting = asyncio.create_task(first.call(offset=offset, handle=handle, **query))
        while not bench.service.listener.waiting:
            await asyncio.sleep(0.01)
        assert bench.service.admission.under_way["existing"] == 1
        first.disconnect.set()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.done()
        assert not bench.service.listener.waiting
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}


async def test_events_are_not_compressed(bench: Bench, plain: Caller, first: Caller) -> None:
    handle, offset = await bench.follow()
    bench.worker.append(handle, 7)
    query = {"offset": offset, "handle": handle, "live": "true", "live_sse": "true"}
    for caller in (plain, first):
        answer = await caller.call((b"accept-encoding", b"gzip"), **query)
        assert "content-encoding" not in answer.headers
        assert answer.body.startswith(b'data: {"key":"7"')


@pytest.mark.parametrize("rows", [100, 20_000])
async def test_a_chunk_is_compressed_when_asked(bench: Bench, first: Caller, rows: int) -> None:
    bench.worker.rows = [log_entry(n, "x" * 30) for n in range(rows)]
    answer = await first.call()
    assert "content-encoding" not in answer.headers
    zipped = await first.call((b"accept-encoding", b"br, gzip;q=0.8"))
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["vary"] == answer.headers["vary"] == "accept-encoding"
    assert zipped.headers["etag"] == f"W/{answer.headers['etag']}"
    assert gzip.decompress(zipped.body) == answer.body
    assert len(zipped.body) < len(answer.body) / 5
    again = await first.call(
        (b"accept-encoding", b"gzip"), (b"if-none-match", zipped.headers["etag"].encode())
    )
    assert again.status == 304
    for name in ("etag", "vary", "cache-control"):
        assert again.headers[name] == zipped.headers[name]


async def test_who_goes_while_django_decides_is_not_waited_for(
    bench: Bench, django: ASGIHandler
) -> None:
    """Some servers say it once, and Django has heard it."""
    bench.use(long_poll_timeout=60_000)
    handle, offset = await bench.follow()

    async def project(scope: Any, receive: Any, send: Any) -> None:
        await django(scope, receive, send)
        caller.disconnect.set()
        assert (await receive())["type"] == "http.disconnect"

    caller = Caller(ShapesFirst(project))
    waiting = asyncio.create_task(caller.call(offset=offset, handle=handle, live="true"))
    await asyncio.wait([waiting], timeout=2)
    assert waiting.done()
    assert not caller.messages

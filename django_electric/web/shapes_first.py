"""ShapesFirst: an ASGI application that answers shape requests without entering Django.

A Django view that waits holds a thread, and the way through the middleware costs more than an answer.
So a request goes through Django once, to be authorised; the view hands it back (`handover`), and
until the grant expires requests that are equal to it do not enter Django at all (`grants`).
Everything else goes through as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from django_electric.conf import electric_settings
from django_electric.protocol.body import BadBody
from django_electric.revocations import Leave
from django_electric.web.exchange import Answer, WebRequest, WebResponse, query_pairs
from django_electric.web.grants import Grants, RawHeaders, Scope, grant_key
from django_electric.web.handover import SCOPE_KEY, Handover, added_headers
from django_electric.web.lifespan import Message, Receive, Send, serve_lifespan

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks type the three arguments of an ASGI application in ways that do not fit together."""

_METHODS: Final = ("GET", "HEAD")
_SET_COOKIE: Final = b"set-cookie"


class ShapesFirst:
    """Wraps *application*, which must lead to Django; see `django_electric.asgi.shapes_first`."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application
        self._paths: set[str] = set()
        """Where grants were given: on other paths nobody looks for one."""
        self.grants = Grants()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in _METHODS:
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await serve_lifespan(self._application, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._paths:
            grant = self.grants.get(grant_key(scope))
            if grant is not None:
                await _answer(grant.answer, scope, receive, send, grant.headers)
                return
        handover = Handover()
        way = _WayThroughDjango(handover, receive, send)
        await self._application({**scope, SCOPE_KEY: handover}, way.receive, way.send)
        if handover.answer is None or way.headers is None or way.has_disconnected:
            return
        added = added_headers(way.headers)
        self._grant(scope, handover.answer, added, handover.leave)
        await _answer(handover.answer, scope, receive, send, added)

    def _grant(self, scope: Scope, answer: Answer, added: RawHeaders, leave: Leave) -> None:
        # A cookie is for one answer: whoever gets one comes through Django again.
        if any(name == _SET_COOKIE for name, _ in added):
            return
        self._paths.add(scope["path"])
        seconds = electric_settings().grant_ttl / 1000
        self.grants.put(grant_key(scope), answer, added, seconds, leave)


class _WayThroughDjango:
    """Takes the placeholder away from what Django sends; passes everything else on."""

    def __init__(self, handover: Handover, receive: Receive, send: Send) -> None:
        self._handover = handover
        self._receive = receive
        self._send = send
        self.headers: Iterable[tuple[bytes, bytes]] | None = None
        """Those of the placeholder, once it came."""
        self.has_disconnected = False
        """The client has gone: most servers say so only once, and Django has heard it."""

    async def receive(self) -> Message:
        message = await self._receive()
        self.has_disconnected = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if self._handover.is_placeholder(message["status"], headers):
                self.headers = headers
        if self.headers is None:
            await self._send(message)


# --- One request --------------------------------------------------------------------------------


async def _answer(
    answer: Answer, scope: Scope, receive: Receive, send: Send, added: RawHeaders
) -> None:
    """Answer a request that has been authorised; end as soon as the client goes."""
    watch = _DisconnectWatch(receive)
    try:
        response = await answer(_web_request(scope, receive, watch.start))
        await _send_response(scope, response, send, added, watch)
    except asyncio.CancelledError:
        if not watch.has_disconnected:
            raise
    finally:
        watch.stop()


def _web_request(scope: Scope, receive: Receive, on_wait: Callable[[], None]) -> WebRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    client = scope.get("client")

    async def read_body(limit: int) -> bytes:
        return await _read_body(receive, limit)

    return WebRequest(
        method=scope["method"],
        query=query_pairs(scope.get("query_string", b"").decode("latin-1")),
        headers=headers,
        read_body=read_body,
        on_wait=on_wait,
        http_version=scope.get("http_version", ""),
        client=client[0] if client else None,
    )


async def _read_body(receive: Receive, limit: int) -> bytes:
    body = b""
    while len(body) < limit:
        message = await receive()
        if message["type"] != "http.request":
            raise BadBody("Failed to read request body")
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body[:limit]


async def _send_response(
    scope: Scope, response: WebResponse, send: Send, added: RawHeaders, watch: _DisconnectWatch
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": _raw_headers(scope, response, added),
        }
    )
    if response.stream is None:
        await send({"type": "http.response.body", "body": response.body})
        return
    watch.start()
    try:
        async for piece in response.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        response.close()


def _raw_headers(
    scope: Scope, response: WebResponse, added: RawHeaders
) -> list[tuple[bytes, bytes]]:
    """The answer's own headers, then those of the project that it does not have itself."""
    own = dict(response.headers)
    if not scope.get("http_version", "1.1").startswith("1"):
        own.pop("connection", None)  # from HTTP/2 on it is nobody's business
    if "vary" in own:
        varies = [
            own["vary"],
            *(value.decode("latin-1") for name, value in added if name == b"vary"),
        ]
        own["vary"] = _without_repetition(varies)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]
    if scope["method"] == "GET" and response.stream is None and response.status != 304:
        headers.append((b"content-length", str(len(response.body)).encode()))
    return headers + [(name, value) for name, value in added if name.decode("latin-1") not in own]


def _without_repetition(lists: Iterable[str]) -> str:
    """Comma lists of names as one, each name as it was written first.

    >>> _without_repetition(["accept-encoding, cookie", "Cookie, Origin"])
    'accept-encoding, cookie, Origin'
    """
    names: dict[str, str] = {}
    for name in ",".join(lists).split(","):
        names.setdefault(name.strip().lower(), name.strip())
    return ", ".join(names.values())


class _DisconnectWatch:
    """Cancels the task that answers when the client goes; costs nothing until it is started."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self.has_disconnected = False

    def start(self) -> None:
        """From within the task that answers. Harmless when called twice."""
        if self._task is None:
            answering = asyncio.current_task()
            assert answering is not None
            self._task = asyncio.get_running_loop().create_task(self._watch(answering))

    async def _watch(self, answering: asyncio.Task[Any]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_disconnected = True
        answering.cancel()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

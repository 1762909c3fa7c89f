"""ShapesFirst: an ASGI application that answers shape requests without entering Django.

A Django view that waits holds a thread, and the way through the middleware costs more than an answer.
So a request goes through Django once, to be authorised; the view hands it back (`handover`), and
until the grant expires requests that are equal to it do not enter Django at all (`grants`).
Everything else goes through as it is.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from django_electric.conf import electric_settings
from django_electric.protocol.body import BadBody
from django_electric.web.exchange import Answer, WebRequest, WebResponse, query_pairs
from django_electric.web.grants import Grants, RawHeaders, Scope, grant_key
from django_electric.web.handover import SCOPE_KEY, Handover, added_headers
from django_electric.web.service import shape_service

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
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
        if scope["type"] == "lifespan":
            await _Lifespan(self._application, receive, send).run(scope)
        elif scope["type"] != "http" or scope["method"] not in _METHODS:
            await self._application(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._paths:
            grant = self.grants.get(grant_key(scope))
            if grant is not None:
                await _answer(grant.answer, scope, receive, send, grant.headers)
                return
        handover = Handover()
        way = _WayThroughDjango(handover, send)
        await self._application({**scope, SCOPE_KEY: handover}, receive, way.send)
        if handover.answer is None or way.headers is None:
            return
        added = added_headers(way.headers)
        self._grant(scope, handover.answer, added)
        await _answer(handover.answer, scope, receive, send, added)

    def _grant(self, scope: Scope, answer: Answer, added: RawHeaders) -> None:
        # A cookie is for one answer: whoever gets one comes through Django again.
        if any(name == _SET_COOKIE for name, _ in added):
            return
        self._paths.add(scope["path"])
        seconds = electric_settings().grant_ttl / 1000
        self.grants.put(grant_key(scope), answer, added, seconds)


class _WayThroughDjango:
    """Takes the placeholder away from what Django sends; passes everything else on."""

    def __init__(self, handover: Handover, send: Send) -> None:
        self._handover = handover
        self._send = send
        self.headers: Iterable[tuple[bytes, bytes]] | None = None
        """Those of the placeholder, once it came."""

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

    async def read_body(limit: int) -> bytes:
        return await _read_body(receive, limit)

    return WebRequest(
        method=scope["method"],
        query=query_pairs(scope.get("query_string", b"").decode("latin-1")),
        headers=headers,
        read_body=read_body,
        on_wait=on_wait,
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
    own = response.headers
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]
    if scope["method"] == "GET" and response.stream is None and response.status != 304:
        headers.append((b"content-length", str(len(response.body)).encode()))
    for name, value in added:
        if name == b"vary" and "vary" in own:
            headers.remove((b"vary", own["vary"].encode()))
            headers.append((b"vary", own["vary"].encode() + b", " + value))
        elif name.decode("latin-1") not in own:
            headers.append((name, value))
    return headers


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


# --- Lifespan -----------------------------------------------------------------------------------


class _Lifespan:
    """The server's start and end, for us and for an application that wants to know of them.

    Servers wait for open requests before they say that they end, and live requests would stay for a long
    poll. So the signals that end a server are heard here too: whoever waits is answered at once.
    """

    def __init__(self, application: AsgiApplication, receive: Receive, send: Send) -> None:
        self._application = application
        self._receive = receive
        self._send = send
        self._has_started = False

    async def run(self, scope: Scope) -> None:
        try:
            await self._application(scope, self._heard, self._sent)
        except Exception as error:
            if self._has_started:
                raise
            # Django has no lifespan: it refuses the scope before it asks for anything.
            logger.debug("the application has no lifespan: %s", error)
            await self._alone()

    async def _alone(self) -> None:
        while True:
            message = await self._heard()
            await self._sent({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _heard(self) -> Message:
        message = await self._receive()
        if message["type"] == "lifespan.startup":
            _end_waits_on_signals()
        else:
            end_waits()
        return message

    async def _sent(self, message: Message) -> None:
        self._has_started = True
        await self._send(message)


def end_waits() -> None:
    """Answer all who wait: this process is about to end."""
    with suppress(Exception):  # settings that are wrong have been complained of elsewhere
        shape_service(electric_settings()).close()


def _end_waits_on_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        _chain(number)


def _chain(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    if before is None:  # set by something else than Python: it cannot be called from here
        return

    def on_signal(received: int, frame: FrameType | None) -> None:
        end_waits()
        if callable(before):
            before(received, frame)
        elif before == signal.SIG_DFL:
            signal.signal(received, signal.SIG_DFL)
            signal.raise_signal(received)

    signal.signal(number, on_signal)

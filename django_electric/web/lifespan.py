"""Lifespan: the part of ASGI in which a server says that it begins and that it ends.

Django does not speak it. Servers then go on without, and some log an error at each start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Overheard:
    """Hands on what the server says, and knows whether anybody has asked for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.was_asked = False

    async def receive(self) -> Message:
        self.was_asked = True
        return await self._receive()


async def serve_lifespan(
    application: Callable[[Any, Any, Any], Awaitable[None]],
    scope: Mapping[str, Any],
    receive: Receive,
    send: Send,
) -> None:
    """Let *application* answer the server; answer in its place if it does not speak the protocol.

    Whoever ends before it has asked what the server says does not speak it. An error that comes later is the
    application's, and for the server to hear.
    """
    overheard = _Overheard(receive)
    try:
        await application(scope, overheard.receive, send)
    except Exception:
        if overheard.was_asked:
            raise
    if not overheard.was_asked:
        await _agree(receive, send)


async def _agree(receive: Receive, send: Send) -> None:
    """There is nothing to be done at the beginning, nor at the end."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})

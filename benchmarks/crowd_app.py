"""The floors of the scenario *waiting*, as ASGI applications.

``/wait`` answers nobody until ``/go`` is asked for, then everybody with the same few bytes. ``/large`` sends the bytes
of a file in one piece, which is what a server holds for a slow reader that nobody thought of.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

BODY = Path(os.environ["BENCH_BODY"])
NEWS = b'[{"go":true}]'
go = asyncio.Event()


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Send
) -> None:
    """Answer a request."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/large":
        await _answer(send, BODY.read_bytes())
        return
    if scope["path"] == "/go":
        go.set()
    elif scope["path"] == "/wait":
        await go.wait()
    await _answer(send, NEWS)

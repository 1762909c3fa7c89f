"""What a server hears when it says that it begins and ends, whether or not the wrapped application speaks of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application

from django_electric.web.shapes_first import ShapesFirst

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

SCOPE = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
LIFE = ("lifespan.startup", "lifespan.shutdown")


async def live(application: Application) -> list[str]:
    """A server's whole life; what the application, wrapped, says to it."""
    said: list[str] = []
    life: Iterator[str] = iter(LIFE)

    async def receive() -> Message:
        return {"type": next(life)}

    async def send(message: Message) -> None:
        said.append(message["type"])

    await ShapesFirst(application)(SCOPE, receive, send)
    return said


async def with_resources(scope: Any, receive: Receive, send: Send) -> None:
    """Speaks of it itself."""
    scope["state"]["opened"] = True
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete", "mine": True})
    await send({"type": "lifespan.shutdown.failed"})


async def of_http_only(scope: Any, receive: Receive, send: Send) -> None:
    """Passes over what it does not know."""


async def without_luck(scope: Any, receive: Receive, send: Send) -> None:
    """Cannot begin, and says so."""
    await receive()
    await send({"type": "lifespan.startup.failed"})


async def broken(scope: Any, receive: Receive, send: Send) -> None:
    """Wanted to speak, and failed."""
    await receive()
    raise LookupError("no database")


@pytest.mark.parametrize("application", [get_asgi_application(), of_http_only])
async def test_for_an_application_that_does_not_speak_of_it_the_wrapper_does(
    application: Application,
) -> None:
    assert await live(application) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_application_that_speaks_of_it_is_heard_and_nobody_else() -> None:
    assert await live(with_resources) == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert SCOPE["state"] == {"opened": True}
    assert await live(without_luck) == ["lifespan.startup.failed"]


async def test_its_errors_are_for_the_server_to_hear() -> None:
    with pytest.raises(LookupError, match="no database"):
        await live(broken)

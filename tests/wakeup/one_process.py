"""The example project with the worker in a thread of the web process; paths of its own govern the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from channels.layers import channel_layers

from example_project.asgi import application as project

# isort: split
# Django is set up now, and what has models can be imported.
from django_electric.conf import electric_settings
from django_electric.replication.background import WorkerThread
from django_electric.wakeup import layer

worker: WorkerThread | None = None


def start() -> None:
    global worker
    worker = WorkerThread(electric_settings())
    worker.start()


def stop() -> None:
    assert worker is not None
    assert worker.stop()


def cut() -> None:
    """The layer forgets its groups, as one in a server forgets them that is started anew."""
    layer._local(channel_layers["wakeups"])._groups.clear()


COMMANDS: dict[str, Callable[[], None]] = {
    "/worker/start": start,
    "/worker/stop": stop,
    "/road/cut": cut,
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    command = COMMANDS.get(scope.get("path", ""))
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif command is None:
        await project(scope, receive, send)
    else:
        await asyncio.to_thread(command)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await asyncio.to_thread(start if message["type"] == "lifespan.startup" else stop)
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return

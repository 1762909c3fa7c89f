"""The web process's end of each road by which the worker wakes it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.wakeup import LineBuffer, Road, socket_path
from django_electric.wakeup.layer import LayerRoad
from django_electric.wakeup.names import layer_groups, notify_channels
from django_electric.wakeup.notify import NotifyRoad, conninfo_of

_READ_SIZE: Final = 1 << 16


class SocketRoad(Road):
    """A connection to the worker's Unix socket; the worker sees who comes and who goes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._writer: asyncio.StreamWriter | None = None

    async def converse(self) -> None:
        try:
            reader, self._writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return  # the worker is not there
        try:
            self.connected()
            self._send_all(self._writer)
            await self._listen(reader)
        except OSError:
            pass  # the worker went away
        finally:
            self._writer.close()
            self._writer = None

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        lines = LineBuffer()
        while data := await reader.read(_READ_SIZE):
            for line in lines.feed(data):
                self.end.hear(line)

    def send(self, lines: bytes) -> None:
        self.outbox.put(lines.splitlines())
        if self._writer is not None and not self._writer.is_closing():
            self._send_all(self._writer)

    def _send_all(self, writer: asyncio.StreamWriter) -> None:
        writer.writelines(line + b"\n" for line in self.outbox.take())


def web_road(settings: ElectricSettings) -> Road:
    """The road that the setting ``WAKEUP`` chose. Raises ConfigurationError."""
    if settings.wakeup == "notify":
        params = connections[settings.alias].get_connection_params()
        channels = notify_channels(settings.replication_stream_id)
        return NotifyRoad(
            conninfo_of(params), channels.to_web, channels.to_worker, settings.slot_name
        )
    if settings.wakeup == "channels":
        groups = layer_groups(settings.replication_stream_id)
        return LayerRoad(settings.channel_layer, groups.to_web, groups.to_worker)
    return SocketRoad(socket_path(settings.root))

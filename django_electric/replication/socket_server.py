"""SocketServer: the worker's end of the wake-up by a Unix socket, in the main thread's selector."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django_electric.wakeup import LineBuffer, decode

_MOST_UNSENT: Final = 4 << 20
"""A web process that does not read loses its connection; it comes back and looks at the files."""


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = LineBuffer()
        self.unsent = b""


class SocketServer:
    """Listens; each web process connects, hears the greeting, and then all that is said."""

    def __init__(
        self, path: Path, selector: selectors.BaseSelector, on_message: Callable[[str, str], None]
    ) -> None:
        self._path = path
        self._selector = selector
        self._on_message = on_message
        self._greeting: Callable[[], bytes] = bytes
        self._listener: socket.socket | None = None
        self._clients: dict[int, _Client] = {}

    def open(self, greeting: Callable[[], bytes]) -> None:
        """Listen. Only the worker that holds the locks may: it takes over the path."""
        self.close()
        self._greeting = greeting
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o660)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def is_heard(self) -> bool:
        return bool(self._clients)

    def say(self, lines: bytes) -> None:
        """Send *lines* to every web process."""
        for client in list(self._clients.values()):
            self._send(client, lines)

    def close(self) -> None:
        """Stop listening; web processes fall back to looking. Harmless when called twice."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    def _accept(self, _: int) -> None:
        try:
            connection = self._listener.accept()[0] if self._listener else None
        except OSError:
            return
        if connection is None:
            return
        connection.setblocking(False)
        client = _Client(connection)
        self._clients[connection.fileno()] = client
        self._selector.register(
            connection, selectors.EVENT_READ, lambda mask: self._serve(client, mask)
        )
        self._send(client, self._greeting())

    def _serve(self, client: _Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._send(client, b"")
        if mask & selectors.EVENT_READ:
            self._read(client)

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        for line in client.lines.feed(data):
            self._on_message(*decode(line))

    def _send(self, client: _Client, data: bytes) -> None:
        had_unsent = bool(client.unsent)
        unsent = client.unsent + data
        try:
            sent = client.connection.send(unsent) if unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = unsent[sent:]
        if len(client.unsent) > _MOST_UNSENT:
            self._drop(client)
        elif bool(client.unsent) != had_unsent:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
            key = self._selector.get_key(client.connection)
            self._selector.modify(client.connection, events, key.data)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.connection.fileno(), None):
            self._selector.unregister(client.connection)
            client.connection.close()

"""Markers: logical messages of our own. When one arrives, the stream has passed all that committed before."""

from __future__ import annotations

import threading
import uuid

from django_electric.replication.publication import Connection
from django_electric.shapes.transactions import MESSAGE_PREFIX


class Markers:
    """Which of our markers the stream has passed. Any thread."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, threading.Event] = {}
        self._lock = threading.Lock()

    def expect(self, token: bytes) -> threading.Event:
        with self._lock:
            return self._waiting.setdefault(token, threading.Event())

    def passed(self, token: bytes) -> None:
        """The stream holds the message. It may come before anybody expects it."""
        self.expect(token).set()

    def forget(self, token: bytes) -> None:
        with self._lock:
            self._waiting.pop(token, None)


def send_marker(connection: Connection) -> bytes:
    """Write a marker with the transaction under way, or with one of its own; its token."""
    token = uuid.uuid4().bytes
    connection.execute(
        "SELECT pg_logical_emit_message(true, %s, %s::bytea)", [MESSAGE_PREFIX, token]
    )
    return token

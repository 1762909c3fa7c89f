"""Announcer: what the worker tells the web processes, whatever the road (``wakeup`` has the messages)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Protocol

from django_electric.wakeup import batches, encode
from django_electric.wakeup.lines import LONGEST_LINE


class Carrier(Protocol):
    """The worker's end of a road. No call but `close` waits."""

    @property
    def is_heard(self) -> bool:
        """False if certainly nobody listens."""

    def open(self, greeting: Callable[[], bytes]) -> None:
        """Begin; whoever comes is told the *greeting*, which may be asked for in any thread."""

    def say(self, lines: bytes) -> None:
        """Tell everybody."""

    def close(self) -> None:
        """End, as if it had never been open; may be called twice."""


class Announcer:
    """Turns news into lines; every call is made by the main thread."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._state = "starting"
        self._lsn = 0

    def open(self) -> None:
        """Begin to speak, as ``starting``."""
        self._state = "starting"
        self._carrier.open(self._greeting)

    def set_state(self, state: str) -> None:
        """``starting`` or ``active``."""
        if state != self._state:
            self._state = state
            self._carrier.say(encode("state", state))

    def moved(self, handles: Iterable[str]) -> None:
        """These shapes can be read further."""
        self._say_handles("moved", handles)

    def gone(self, handles: Iterable[str]) -> None:
        """These shapes were rotated."""
        self._say_handles("gone", handles)

    def failed(self, handle: str, details: str) -> None:
        """The first rows of this shape could not be read; *details* is JSON in ASCII."""
        self._carrier.say(encode("failed", handle, _shortened(details)))

    def reached(self, lsn: int) -> None:
        """Everything up to *lsn* is published."""
        if lsn > self._lsn:
            self._lsn = lsn
            self._carrier.say(encode("lsn", str(lsn)))

    def close(self) -> None:
        """Stop; web processes fall back to looking. Harmless when called twice."""
        self._carrier.close()

    def _greeting(self) -> bytes:
        return encode("state", self._state) + encode("lsn", str(self._lsn))

    def _say_handles(self, verb: str, handles: Iterable[str]) -> None:
        if self._carrier.is_heard:
            lines = b"".join(encode(verb, *batch) for batch in batches(handles))
            if lines:
                self._carrier.say(lines)


def _shortened(details: str) -> str:
    """*details* with as much of its message as a line can carry."""
    while len(details) > LONGEST_LINE - 100:
        body = json.loads(details)
        body["message"] = body["message"][: len(body["message"]) // 2]
        details = json.dumps(body)
    return details

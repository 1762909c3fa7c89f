"""Control messages, and how messages become a body: a JSON array, or server-sent events.

An entry of a log is ``,{…}`` and a newline. A body is ``[``, a range of entries without its first
comma, perhaps a control message, and ``]`` (PROTOCOL sections 4 and 5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

MUST_REFETCH: Final = b'[{"headers":{"control":"must-refetch"}}]'
OPEN: Final = b"["
CLOSE: Final = b"]"
KEEP_ALIVE: Final = b": keep-alive\n\n"


def up_to_date(lsn: int) -> bytes:
    """Everything committed up to *lsn* that concerns the shape has been delivered."""
    return b'{"headers":{"control":"up-to-date","global_last_seen_lsn":"%d"}}' % lsn


def tail(control: bytes | None, *, follows_entries: bool) -> bytes:
    """What ends an array: *control*, with a comma if entries stand before it.

    >>> tail(b"{}", follows_entries=True)
    b',{}]'
    """
    if control is None:
        return CLOSE
    return (b"," if follows_entries else b"") + control + CLOSE


def array(entries: bytes, control: bytes | None = None) -> bytes:
    """A whole body.

    >>> array(b',{"a":1}\\n,{"a":2}\\n', b"{}")
    b'[{"a":1}\\n,{"a":2}\\n,{}]'
    >>> array(b"")
    b'[]'
    """
    return OPEN + entries[1:] + tail(control, follows_entries=bool(entries))


def event(message: bytes) -> bytes:
    """One server-sent event (section 7.2)."""
    return b"data: " + message + b"\n\n"


def events(entries: bytes) -> Iterator[bytes]:
    """One event for each whole entry.

    >>> list(events(b',{"a":1}\\n,{"a":2}\\n'))
    [b'data: {"a":1}\\n\\n', b'data: {"a":2}\\n\\n']
    """
    for line in entries.split(b"\n")[:-1]:
        yield event(line[1:])


def encode(value: object) -> bytes:
    """*value* as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

"""Frames inside CopyData of the streaming replication protocol (Postgres docs, chapter 55.4).

::

    XLogData              'w'  wal start (8)  wal end (8)  clock (8)  payload
    Primary keepalive     'k'  wal end (8)    clock (8)    reply asked (1)
    Standby status update 'r'  written (8)    flushed (8)  applied (8)  clock (8)  reply asked (1)
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

XLOG_DATA: Final = ord("w")
KEEPALIVE: Final = ord("k")
PAYLOAD_AT: Final = 25
"""Byte at which the payload of XLogData begins."""

_KEEPALIVE = struct.Struct(">QQB")
_WAL_RANGE = struct.Struct(">QQ")
_STATUS = struct.Struct(">cQQQQB")
_EPOCH_SHIFT_US = 946_684_800_000_000
"""Microseconds between 1970-01-01 and 2000-01-01, where Postgres's clock begins."""


class Keepalive(NamedTuple):
    """The server is alive and has sent everything up to *wal_end*."""

    wal_end: int
    wants_reply: bool


def decode_keepalive(frame: bytes) -> Keepalive:
    """Read a frame whose first byte is `KEEPALIVE`."""
    wal_end, _, wants_reply = _KEEPALIVE.unpack_from(frame, 1)
    return Keepalive(wal_end, bool(wants_reply))


def encode_xlog_data(wal_start: int, wal_end: int, payload: bytes) -> bytes:
    """A frame as the server sends it; for tests."""
    return b"w" + _WAL_RANGE.pack(wal_start, wal_end) + bytes(8) + payload


def encode_status_update(
    written: int, flushed: int, now_us: int, *, wants_reply: bool = False
) -> bytes:
    """Tell the server how far we are. *now_us*: microseconds since 1970."""
    return _STATUS.pack(b"r", written, flushed, flushed, now_us - _EPOCH_SHIFT_US, wants_reply)

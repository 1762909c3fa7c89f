"""The bytes that Postgres's pgoutput plugin would send for a message: the decoder's other half, for tests.

Written from chapter 55.9 of the Postgres documentation, "Logical Replication Message Formats", protocol
version 1, and not from the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from django_electric.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Ignored,
    Insert,
    LogicalMessage,
    Message,
    RelationMessage,
    Row,
    Truncate,
    Update,
)

CLOCK = 812_345_678_901_234
"""Microseconds since 2000; nobody reads it."""


def string(text: str) -> bytes:
    return text.encode() + b"\0"


def tuple_data(row: Row) -> bytes:
    """TupleData: the number of columns, then each of them."""
    return struct.pack(">h", len(row)) + b"".join(map(_value, row))


def _value(value: str | None) -> bytes:
    if value is None:
        return b"n"
    if value == UNCHANGED:
        return b"u"
    data = value.encode()
    return b"t" + struct.pack(">i", len(data)) + data


def _begin(m: Begin) -> bytes:
    return b"B" + struct.pack(">QqI", m.final_lsn, CLOCK, m.xid)


def _commit(m: Commit) -> bytes:
    return b"C" + struct.pack(">bQQq", 0, m.lsn, m.end_lsn, CLOCK)


def _relation(m: RelationMessage) -> bytes:
    head = b"R" + struct.pack(">I", m.oid)
    head += string("" if m.schema == "pg_catalog" else m.schema) + string(m.name)
    head += m.replica_identity.encode() + struct.pack(">h", len(m.columns))
    return head + b"".join(
        struct.pack(">b", c.is_key)
        + string(c.name)
        + struct.pack(">Ii", c.type_oid, c.type_modifier)
        for c in m.columns
    )


def _insert(m: Insert) -> bytes:
    return b"I" + struct.pack(">I", m.oid) + b"N" + tuple_data(m.new)


def _update(m: Update) -> bytes:
    old = b"" if m.old is None else b"O" + tuple_data(m.old)
    return b"U" + struct.pack(">I", m.oid) + old + b"N" + tuple_data(m.new)


def update_with_key(oid: int, key: Row, new: Row) -> bytes:
    """An update that carries the old key only, as without REPLICA IDENTITY FULL."""
    return b"U" + struct.pack(">I", oid) + b"K" + tuple_data(key) + b"N" + tuple_data(new)


def delete_with_key(oid: int, key: Row) -> bytes:
    """A deletion that carries the old key only."""
    return b"D" + struct.pack(">I", oid) + b"K" + tuple_data(key)


def _delete(m: Delete) -> bytes:
    if m.old is None:
        return delete_with_key(m.oid, ())
    return b"D" + struct.pack(">I", m.oid) + b"O" + tuple_data(m.old)


def _truncate(m: Truncate) -> bytes:
    return (
        b"T" + struct.pack(">ib", len(m.oids), 0) + b"".join(struct.pack(">I", o) for o in m.oids)
    )


def _message(m: LogicalMessage) -> bytes:
    head = b"M" + struct.pack(">bQ", m.is_transactional, 77) + string(m.prefix)
    return head + struct.pack(">i", len(m.content)) + m.content


def _ignored(m: Ignored) -> bytes:
    if m.kind == "Origin":
        return b"O" + struct.pack(">Q", 5) + string("elsewhere")
    return b"Y" + struct.pack(">I", 16_999) + string("public") + string("mood")


_ENCODERS: dict[type, Callable[..., bytes]] = {
    Begin: _begin,
    Commit: _commit,
    RelationMessage: _relation,
    Insert: _insert,
    Update: _update,
    Delete: _delete,
    Truncate: _truncate,
    LogicalMessage: _message,
    Ignored: _ignored,
}


def encode(message: Message) -> bytes:
    """The bytes of *message*."""
    return _ENCODERS[type(message)](message)

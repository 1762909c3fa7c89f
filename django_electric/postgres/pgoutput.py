"""Decoder of the pgoutput plugin's messages (Postgres docs, chapter 55.9), protocol version 1, text format.

Bytes go in, values come out; nothing is read or waited for. A message of a kind that is not known
is an error that says which: a change must never pass unseen.

Tuples are decoded by a function generated for their number of columns, twice as fast as a loop.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from django_electric.errors import DecodeError

Row = tuple[str | None, ...]
"""The text of each column's value; None for NULL, `UNCHANGED` for a TOASTed value not sent."""

UNCHANGED: Final = "\0unchanged"
"""Stands for a value that an UPDATE left in the TOAST table; no Postgres text holds a NUL."""

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_BEGIN = struct.Struct(">QQI")
_COMMIT = struct.Struct(">BQQQ")
_MESSAGE = struct.Struct(">BQ")
_COLUMN = struct.Struct(">Ii")
_TRUNCATE = struct.Struct(">IB")


class Begin(NamedTuple):
    """A transaction that committed begins."""

    final_lsn: int
    """LSN of its commit: the ``tx`` of its offsets."""
    xid: int


class Commit(NamedTuple):
    """It is complete."""

    lsn: int
    end_lsn: int


class RelationColumn(NamedTuple):
    """A column as the stream describes it."""

    name: str
    type_oid: int
    type_modifier: int
    is_key: bool


class RelationMessage(NamedTuple):
    """How the tuples that follow for this table are laid out."""

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


class Insert(NamedTuple):
    """A row was inserted."""

    oid: int
    new: Row


class Update(NamedTuple):
    """A row was updated; *old* is None unless the replica identity is FULL."""

    oid: int
    old: Row | None
    new: Row


class Delete(NamedTuple):
    """A row was deleted; *old* is None unless the replica identity is FULL."""

    oid: int
    old: Row | None


class Truncate(NamedTuple):
    """Tables were emptied."""

    oids: tuple[int, ...]


class LogicalMessage(NamedTuple):
    """What ``pg_logical_emit_message`` wrote."""

    is_transactional: bool
    prefix: str
    content: bytes


class Ignored(NamedTuple):
    """Origin and Type messages: known, and of no use here."""

    kind: str


Message = (
    Begin
    | Commit
    | RelationMessage
    | Insert
    | Update
    | Delete
    | Truncate
    | LogicalMessage
    | Ignored
)
_TupleDecoder = Callable[[bytes, int], tuple[Row, int]]


@cache
def tuple_decoder(width: int) -> _TupleDecoder:
    """A function (buffer, position after the column count) → (row, position after the tuple)."""
    lines = ["def decode(buffer, at):"]
    for i in range(width):
        lines += [
            "    kind = buffer[at]",
            "    if kind == 116:",
            "        start = at + 5",
            "        at = start + u32(buffer, at + 1)[0]",
            f"        c{i} = buffer[start:at].decode()",
            "    else:",
            f"        c{i} = absent(kind, {i})",
            "        at += 1",
        ]
    names = "".join(f"c{i}, " for i in range(width))
    lines.append(f"    return ({names}), at")
    space: dict[str, object] = {"u32": _U32.unpack_from, "absent": _absent}
    exec(compile("\n".join(lines), f"<pgoutput tuple of {width}>", "exec"), space)  # noqa: S102  # text made above
    return space["decode"]  # type: ignore[return-value]  # made by exec


def _absent(kind: int, column: int) -> str | None:
    if kind == 0x6E:  # n
        return None
    if kind == 0x75:  # u
        return UNCHANGED
    raise DecodeError(f"column {column + 1} has the format {chr(kind)!r}; only text was asked for")


def _tuple(buffer: bytes, at: int) -> tuple[Row, int]:
    row, at = tuple_decoder(_U16.unpack_from(buffer, at)[0])(buffer, at + 2)
    if at > len(buffer):
        raise IndexError("its last value ends too early")
    return row, at


def _string(buffer: bytes, at: int) -> tuple[str, int]:
    end = buffer.index(0, at)
    return buffer[at:end].decode(), end + 1


def _begin(buffer: bytes, at: int) -> Begin:
    final_lsn, _, xid = _BEGIN.unpack_from(buffer, at)
    return Begin(final_lsn, xid)


def _commit(buffer: bytes, at: int) -> Commit:
    _, lsn, end_lsn, _ = _COMMIT.unpack_from(buffer, at)
    return Commit(lsn, end_lsn)


def _relation(buffer: bytes, at: int) -> RelationMessage:
    oid = _U32.unpack_from(buffer, at)[0]
    schema, at = _string(buffer, at + 4)
    name, at = _string(buffer, at)
    identity = chr(buffer[at])
    count = _U16.unpack_from(buffer, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        is_key = bool(buffer[at] & 1)
        column, at = _string(buffer, at + 1)
        type_oid, modifier = _COLUMN.unpack_from(buffer, at)
        columns.append(RelationColumn(column, type_oid, modifier, is_key))
        at += _COLUMN.size
    # The empty schema stands for pg_catalog.
    return RelationMessage(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _insert(buffer: bytes, at: int) -> Insert:
    return Insert(_U32.unpack_from(buffer, at)[0], _tuple(buffer, at + 5)[0])


def _update(buffer: bytes, at: int) -> Update:
    oid = _U32.unpack_from(buffer, at)[0]
    at += 4
    old: Row | None = None
    if buffer[at] != 0x4E:  # N
        whole = buffer[at] == 0x4F  # O: the whole old row; K: its key only
        row, at = _tuple(buffer, at + 1)
        old = row if whole else None
    new, _ = _tuple(buffer, at + 1)
    if old is not None and UNCHANGED in new:
        new = tuple(o if n is UNCHANGED else n for o, n in zip(old, new, strict=True))
    return Update(oid, old, new)


def _delete(buffer: bytes, at: int) -> Delete:
    whole = buffer[at + 4] == 0x4F
    return Delete(_U32.unpack_from(buffer, at)[0], _tuple(buffer, at + 5)[0] if whole else None)


def _truncate(buffer: bytes, at: int) -> Truncate:
    count, _ = _TRUNCATE.unpack_from(buffer, at)
    return Truncate(struct.unpack_from(f">{count}I", buffer, at + _TRUNCATE.size))


def _message(buffer: bytes, at: int) -> LogicalMessage:
    flags, _ = _MESSAGE.unpack_from(buffer, at)
    prefix, at = _string(buffer, at + _MESSAGE.size)
    end = at + 4 + _U32.unpack_from(buffer, at)[0]
    if end > len(buffer):
        raise IndexError("its content ends too early")
    return LogicalMessage(bool(flags & 1), prefix, buffer[at + 4 : end])


_DECODERS: dict[int, Callable[[bytes, int], Message]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _message,
    ord("O"): lambda buffer, at: Ignored("Origin"),
    ord("Y"): lambda buffer, at: Ignored("Type"),
}


def decode(buffer: bytes, at: int = 0) -> Message:
    """The message at byte *at* of *buffer*. Raises DecodeError naming what is not understood."""
    try:
        return _DECODERS[buffer[at]](buffer, at + 1)
    except KeyError:
        raise DecodeError(f"pgoutput message of unknown kind {chr(buffer[at])!r}") from None
    except (IndexError, ValueError, struct.error) as error:
        kind = chr(buffer[at]) if at < len(buffer) else "empty"
        raise DecodeError(
            f"pgoutput message {kind!r} of {len(buffer) - at} bytes is malformed: {error}"
        ) from error

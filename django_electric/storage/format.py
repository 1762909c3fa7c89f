"""The bytes of the two index files; encode stands beside decode.

``log.index``, one record for each transaction and for each chunk end inside one (big-endian)::

     0        8        16       24      28      32
     ┌────────┬────────┬────────┬───────┬───────┐
     │   tx   │   op   │  stop  │ chunk │ crc32 │
     └────────┴────────┴────────┴───────┴───────┘

``tx`` and ``op``  offset of the last entry that the record covers
``stop``           byte of ``log.jsonl`` at which that entry ends
``chunk``          number of the chunk it belongs to (PROTOCOL section 3.5); chunks count from 0.
                   The highest bit says that the transaction goes on in the next record
``crc32``          of the bytes that the record covers: from the previous record's stop to its own

The last whole record that ends a transaction is the published end of the log. A record is written
after its bytes, so a reader that believes the index never sees half an entry, nor, because of the
highest bit, half a transaction. After a power cut the file system may have kept a record and not its bytes: that is what
the checksum finds.

``snapshot.index``, one record for each chunk::

     0        8        16
     ┌────────┬────────┐
     │  stop  │ flags  │      flags: 1 = the snapshot ends here; the high half is then the crc32
     └────────┴────────┘             of the whole ``snapshot.jsonl``
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

LOG_RECORD: Final = struct.Struct(">QQQII")
SNAPSHOT_RECORD: Final = struct.Struct(">QQ")
SNAPSHOT_COMPLETE: Final = 1
CONTINUES: Final = 1 << 31

pack_log_record = LOG_RECORD.pack


class LogRecord(NamedTuple):
    """One record of ``log.index``."""

    tx: int
    op: int
    stop: int
    chunk: int
    crc: int
    continues: bool


def unpack_log_record(data: bytes, at: int = 0) -> LogRecord:
    """The record at byte *at* of *data*."""
    tx, op, stop, chunk, crc = LOG_RECORD.unpack_from(data, at)
    return LogRecord(tx, op, stop, chunk & ~CONTINUES, crc, bool(chunk & CONTINUES))


class SnapshotRecord(NamedTuple):
    """One record of ``snapshot.index``."""

    stop: int
    flags: int

    @property
    def is_last(self) -> bool:
        return bool(self.flags & SNAPSHOT_COMPLETE)

    @property
    def crc(self) -> int:
        return self.flags >> 32


def pack_snapshot_record(stop: int, *, is_last: bool, crc: int = 0) -> bytes:
    """The record of a chunk that ends at byte *stop*; the last one has the *crc* of everything."""
    return SNAPSHOT_RECORD.pack(stop, crc << 32 | SNAPSHOT_COMPLETE if is_last else 0)


def unpack_snapshot_record(data: bytes, at: int = 0) -> SnapshotRecord:
    """The record at byte *at* of *data*."""
    return SnapshotRecord._make(SNAPSHOT_RECORD.unpack_from(data, at))

"""The bytes of the index files."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.storage.format import (
    CONTINUES,
    LOG_RECORD,
    SNAPSHOT_RECORD,
    LogRecord,
    pack_log_record,
    pack_snapshot_record,
    unpack_log_record,
    unpack_snapshot_record,
)

u64 = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, (1 << 32) - 1)


@settings(max_examples=50, deadline=None)
@given(
    tx=u64, op=u64, stop=u64, chunk=st.integers(0, (1 << 31) - 1), crc=u32, continues=st.booleans()
)
def test_a_log_record_reads_back_as_it_was_written(
    tx: int, op: int, stop: int, chunk: int, crc: int, continues: bool
) -> None:
    data = pack_log_record(tx, op, stop, chunk | (CONTINUES if continues else 0), crc)
    assert len(data) == LOG_RECORD.size == 32
    assert unpack_log_record(data) == LogRecord(tx, op, stop, chunk, crc, continues)
    assert unpack_log_record(b"\xff" * 5 + data + b"\xff", 5) == unpack_log_record(data)


@settings(max_examples=50, deadline=None)
@given(stop=u64, crc=u32)
def test_a_snapshot_record_reads_back_as_it_was_written(stop: int, crc: int) -> None:
    data = pack_snapshot_record(stop, is_last=True, crc=crc)
    assert len(data) == SNAPSHOT_RECORD.size == 16
    record = unpack_snapshot_record(data)
    assert (record.stop, record.is_last, record.crc) == (stop, True, crc)
    assert unpack_snapshot_record(b"?" + data, 1) == record
    assert not unpack_snapshot_record(pack_snapshot_record(stop, is_last=False)).is_last


def test_a_log_record_lies_in_the_file_as_it_is_drawn() -> None:
    data = pack_log_record(1, 2, 3, 4 | CONTINUES, 5)
    assert data == struct.pack(">QQQII", 1, 2, 3, 0x80000004, 5)

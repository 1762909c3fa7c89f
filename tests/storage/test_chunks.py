"""ChunkBuilder equals the specification's sentence about chunks, applied naively."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.storage.chunks import ChunkBuilder
from django_electric.storage.format import LogRecord, unpack_log_record
from tests.storage.cases import Model

transactions = st.lists(
    st.lists(st.binary(max_size=40).map(lambda data: b"," + data + b"\n"), min_size=1, max_size=6),
    max_size=12,
)


def build(
    builder: ChunkBuilder, groups: list[list[bytes]], threshold: int, pieces: int
) -> list[LogRecord]:
    """The records of *groups*, handed over in *pieces* entries at a time as a spill does."""
    records: list[bytes] = []
    for n, entries in enumerate(groups):
        tx, ops = 10 * (n + 1), list(range(0, 2 * len(entries), 2))
        if len(entries) == 1:
            records.append(builder.add_one(tx, 0, entries[0], threshold))
            continue
        for at in range(0, len(entries), pieces):
            stop = at + pieces
            records += builder.add(
                tx, ops[at:stop], entries[at:stop], threshold, ends=stop >= len(entries)
            )
    return [unpack_log_record(record) for record in records]


@settings(max_examples=50, deadline=None)
@given(transactions, st.integers(1, 120), st.integers(1, 6))
def test_the_records_name_the_chunks_that_the_specification_names(
    groups: list[list[bytes]], threshold: int, pieces: int
) -> None:
    builder = ChunkBuilder()
    records = build(builder, groups, threshold, pieces)
    model = Model(threshold)
    for n, entries in enumerate(groups):
        model.commit(10 * (n + 1), list(range(0, 2 * len(entries), 2)), entries)
    # A record is due where a chunk closes and where a transaction ends; it covers what came before.
    data, at, stop, due = b"".join(e for _, _, e in model.entries), 0, 0, []
    for i, (offset, chunk, entry) in enumerate(model.entries):
        stop += len(entry)
        following = model.entries[i + 1] if i + 1 < len(model.entries) else None
        ends = following is None or following[0].tx != offset.tx
        closes = (following[1] if following else builder.chunk) != chunk
        if ends or closes:
            due.append(LogRecord(*offset, stop, chunk, crc32(data[at:stop]), not ends))
            at = stop
    assert records == due
    assert builder.stop == len(data)


@settings(max_examples=50, deadline=None)
@given(transactions, transactions, st.integers(1, 120))
def test_a_copy_goes_its_own_way(
    groups: list[list[bytes]], more: list[list[bytes]], threshold: int
) -> None:
    builder = ChunkBuilder()
    build(builder, groups, threshold, 6)
    builder.add(5_000, [0], [b",half\n"], 10_000, ends=False)
    twin = builder.copy()
    first = build(builder, more, threshold, 6)
    assert build(twin, more, threshold, 6) == first


def test_entries_that_neither_close_a_chunk_nor_end_a_transaction_need_no_record() -> None:
    builder = ChunkBuilder()
    assert builder.add(1, [0, 2], [b",a\n", b",b\n"], 1000, ends=False) == []
    (record,) = builder.add(1, [4], [b",c\n"], 1000, ends=True)
    assert unpack_log_record(record) == LogRecord(1, 4, 9, 0, crc32(b",a\n,b\n,c\n"), False)

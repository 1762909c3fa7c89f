"""The promises of ``storage/base.py`` as cases; each storage runs all of them from its own test file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from django_electric.errors import ShapeGone
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, SNAPSHOT_END, LogOffset
from django_electric.storage import Chunk, LogState, ShapeLogReader, ShapeLogWriter, ShapeStorage

HANDLE = "1234-1700000000000000"
FRAME = 2
"""Bytes of an entry that are not its JSON."""


def entry(tx: int, op: int, padding: int = 0) -> bytes:
    """An entry as the worker writes it, as far as storage looks into it."""
    return b',{"headers":{"op_position":%d,"lsn":"%d","pad":"%s"}}\n' % (op, tx, b"x" * padding)


def row(n: int) -> bytes:
    """A row of a snapshot."""
    return b',{"row":"%d"}\n' % n


def commit(writer: ShapeLogWriter, tx: int, count: int = 1, padding: int = 0) -> list[bytes]:
    """Append a transaction of *count* entries at ops 0, 2, 4…; the entries."""
    ops = list(range(0, 2 * count, 2))
    entries = [entry(tx, op, padding) for op in ops]
    writer.append(tx, ops, entries)
    return entries


def complete_snapshot(writer: ShapeLogWriter, rows: int = 1) -> bytes:
    """Write and finish a snapshot of one chunk; its bytes."""
    data = b"".join(row(n) for n in range(rows))
    snapshot = writer.snapshot()
    snapshot.write(data)
    snapshot.finish()
    return data


def everything_after(reader: ShapeLogReader, offset: LogOffset) -> list[tuple[LogOffset, bytes]]:
    """Follow the log as a client does: the answers from *offset* to the end."""
    answers = []
    while True:
        chunk = reader.chunk_after(offset)
        assert chunk is not None
        data = reader.read(chunk, 0, chunk.size)
        if chunk.end == offset or not data:
            return answers
        answers.append((chunk.end, data))
        offset = chunk.end


def log_bytes(reader: ShapeLogReader) -> bytes:
    """The whole published log."""
    return b"".join(data for _, data in everything_after(reader, SNAPSHOT_END))


@dataclass
class Model:
    """A log as a list: PROTOCOL section 3.5 word by word."""

    threshold: int
    entries: list[tuple[LogOffset, int, bytes]] = field(default_factory=list)
    _chunk: int = 0
    _size: int = 0

    def commit(self, tx: int, ops: list[int], entries: list[bytes]) -> None:
        for op, data in zip(ops, entries, strict=True):
            self.entries.append((LogOffset(tx, op), self._chunk, data))
            self._size += len(data) - FRAME
            if self._size >= self.threshold:
                self._chunk, self._size = self._chunk + 1, 0

    @property
    def last_offset(self) -> LogOffset:
        return self.entries[-1][0] if self.entries else SNAPSHOT_END

    def answer(self, offset: LogOffset) -> tuple[LogOffset, bytes]:
        after = [e for e in self.entries if e[0] > offset]
        if not after:
            return self.last_offset, b""
        chunk = [e for e in after if e[1] == after[0][1]]
        return chunk[-1][0], b"".join(data for _, _, data in chunk)

    def interesting_offsets(self) -> list[LogOffset]:
        """Every offset, those beside them, and those between transactions."""
        found = {SNAPSHOT_END, LogOffset(1, 0), LogOffset(1 << 63, 0)}
        for (tx, op), _, _ in self.entries:
            found |= {LogOffset(tx, op + d) for d in (-1, 0, 1) if op + d >= 0}
            found |= {LogOffset(tx - 1, INFINITE), LogOffset(tx, INFINITE), LogOffset(tx + 1, 0)}
        return sorted(o for o in found if o.tx > 0 or o == SNAPSHOT_END)


def assert_answers_like(model: Model, reader: ShapeLogReader) -> None:
    """Whatever offset a client asks from, it hears what the model says."""
    for offset in model.interesting_offsets():
        chunk = reader.chunk_after(offset)
        assert chunk is not None
        assert (chunk.end, reader.read(chunk, 0, chunk.size)) == model.answer(offset), offset


Storages = Callable[..., ShapeStorage]


class StorageCases:
    """Subclassed by the tests of each storage, which give the fixture ``make``."""

    @pytest.fixture
    def make(self) -> Storages:
        """``make(chunk_bytes=…)``: an empty storage."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self, make: Storages) -> ShapeStorage:
        return make()

    @pytest.fixture
    def writer(self, storage: ShapeStorage) -> ShapeLogWriter:
        """Of a log whose snapshot is complete."""
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        return writer

    @pytest.fixture
    def reader(self, storage: ShapeStorage, writer: ShapeLogWriter) -> Iterator[ShapeLogReader]:
        reader = storage.reader(HANDLE)
        yield reader
        reader.close()

    # -- existence -------------------------------------------------------------------------------

    def test_a_log_that_was_never_made_is_gone(self, storage: ShapeStorage) -> None:
        with pytest.raises(ShapeGone):
            storage.reader(HANDLE)

    def test_a_new_log_is_listed_and_a_deleted_one_is_not(self, storage: ShapeStorage) -> None:
        assert storage.handles() == set()
        storage.writer(HANDLE)
        storage.writer("other")
        assert storage.handles() == {HANDLE, "other"}
        storage.delete("other")
        assert storage.handles() == {HANDLE}

    def test_recovering_a_log_that_is_missing_says_that_it_is_gone(
        self, storage: ShapeStorage
    ) -> None:
        with pytest.raises(ShapeGone):
            storage.writer(HANDLE, durable_tx=0)

    def test_deleting_a_log_that_does_not_exist_is_harmless(self, storage: ShapeStorage) -> None:
        storage.delete(HANDLE)
        assert storage.handles() == set()

    def test_every_look_of_a_reader_at_a_deleted_log_says_that_it_is_gone(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        commit(writer, 10)
        storage.publish()
        chunk = reader.chunk_after(SNAPSHOT_END)
        assert chunk is not None
        storage.delete(HANDLE)
        for look in (
            reader.state,
            lambda: reader.chunk_after(BEFORE_ALL),
            lambda: reader.chunk_after(SNAPSHOT_END),
            lambda: reader.read(chunk, 0, chunk.size),
            lambda: storage.reader(HANDLE),
        ):
            with pytest.raises(ShapeGone):
                look()

    def test_a_log_made_anew_under_its_handle_shows_a_reader_nothing_of_the_old_one(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        assert reader.state().snapshot_chunks == 1
        storage.delete(HANDLE)
        complete_snapshot(storage.writer(HANDLE), rows=3)
        try:
            chunk = reader.chunk_after(BEFORE_ALL)
            assert chunk is not None
            assert reader.read(chunk, 0, chunk.size) == row(0) + row(1) + row(2)
        except ShapeGone:
            pass  # just as good: the client starts again

    def test_closing_a_reader_twice_is_harmless(self, reader: ShapeLogReader) -> None:
        reader.state()
        reader.close()
        reader.close()

    # -- snapshot --------------------------------------------------------------------------------

    def test_a_new_log_has_nothing_to_read_and_its_first_chunk_is_awaited(
        self, storage: ShapeStorage
    ) -> None:
        storage.writer(HANDLE)
        reader = storage.reader(HANDLE)
        assert reader.state() == LogState(0, is_snapshot_complete=False)
        assert reader.chunk_after(BEFORE_ALL) is None

    def test_rows_are_not_shown_before_their_chunk_is_closed(self, storage: ShapeStorage) -> None:
        snapshot = storage.writer(HANDLE).snapshot()
        reader = storage.reader(HANDLE)
        snapshot.write(row(0))
        assert reader.state() == LogState(0, is_snapshot_complete=False)
        assert reader.chunk_after(BEFORE_ALL) is None
        snapshot.close_chunk()
        assert reader.state().snapshot_chunks == 1
        assert reader.state().size == len(row(0))
        snapshot.finish()

    def test_a_closed_chunk_is_read_while_the_next_is_written(self, storage: ShapeStorage) -> None:
        snapshot = storage.writer(HANDLE).snapshot()
        snapshot.write(row(0))
        snapshot.close_chunk()
        snapshot.write(row(1))
        reader = storage.reader(HANDLE)
        chunk = reader.chunk_after(BEFORE_ALL)
        assert chunk == Chunk(LogOffset(0, 0), "snapshot", 0, len(row(0)))
        assert reader.read(chunk, 0, chunk.size) == row(0)
        assert reader.chunk_after(LogOffset(0, 0)) is None
        snapshot.finish()

    def test_the_chunks_of_a_snapshot_are_numbered_and_the_log_follows_the_last(
        self, storage: ShapeStorage
    ) -> None:
        snapshot = storage.writer(HANDLE).snapshot()
        for n in range(3):
            snapshot.write(row(n))
            if n < 2:
                snapshot.close_chunk()
        snapshot.finish()
        reader = storage.reader(HANDLE)
        assert reader.state() == LogState(
            3, is_snapshot_complete=True, last_offset=SNAPSHOT_END, size=3 * len(row(0))
        )
        for n, offset in enumerate([BEFORE_ALL, LogOffset(0, 0), LogOffset(0, 1)]):
            chunk = reader.chunk_after(offset)
            assert chunk is not None
            assert chunk.end == LogOffset(0, n)
            assert reader.read(chunk, 0, chunk.size) == row(n)
        for offset in (LogOffset(0, 2), LogOffset(0, 99), SNAPSHOT_END):
            chunk = reader.chunk_after(offset)
            assert chunk is not None
            assert (chunk.end, chunk.size) == (SNAPSHOT_END, 0)

    def test_a_snapshot_begun_again_forgets_what_it_had(self, storage: ShapeStorage) -> None:
        writer = storage.writer(HANDLE)
        first = writer.snapshot()
        first.write(row(0))
        first.close_chunk()
        second = writer.snapshot()
        second.write(row(1))
        second.finish()
        reader = storage.reader(HANDLE)
        chunk = reader.chunk_after(BEFORE_ALL)
        assert chunk is not None
        assert reader.read(chunk, 0, chunk.size) == row(1)
        assert reader.state().snapshot_chunks == 1

    def test_a_log_is_not_shown_before_its_snapshot_is_complete(
        self, storage: ShapeStorage
    ) -> None:
        writer = storage.writer(HANDLE)
        snapshot = writer.snapshot()
        snapshot.write(row(0))
        snapshot.close_chunk()
        commit(writer, 10)
        storage.publish()
        reader = storage.reader(HANDLE)
        assert reader.state() == LogState(
            1, is_snapshot_complete=False, last_offset=SNAPSHOT_END, size=len(row(0))
        )
        assert reader.chunk_after(LogOffset(0, 0)) is None
        snapshot.finish()
        assert reader.state().last_offset == LogOffset(10, 0)

    # -- log -------------------------------------------------------------------------------------

    def test_what_is_appended_is_shown_when_it_is_published(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        entries = commit(writer, 10, 2)
        assert reader.state().last_offset == SNAPSHOT_END
        assert log_bytes(reader) == b""
        assert set(storage.publish()) == {HANDLE}
        assert reader.state().last_offset == LogOffset(10, 2)
        assert reader.state().size == len(row(0)) + len(b"".join(entries))
        assert log_bytes(reader) == b"".join(entries)

    def test_publishing_without_news_names_nobody(
        self, storage: ShapeStorage, writer: ShapeLogWriter
    ) -> None:
        assert not storage.publish()
        commit(writer, 10)
        assert set(storage.publish()) == {HANDLE}
        assert not storage.publish()

    def test_several_transactions_are_published_at_once_in_order(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        entries = commit(writer, 10, 1) + commit(writer, 20, 3) + commit(writer, 30, 1)
        assert writer.last_tx == 30
        storage.publish()
        assert log_bytes(reader) == b"".join(entries)

    def test_appending_a_transaction_again_does_nothing(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        entries = commit(writer, 10, 2) + commit(writer, 20)
        storage.publish()
        for tx in (10, 20, 15):
            commit(writer, tx, 3)
            writer.spill(tx, [0], [entry(tx, 0)])
        assert not storage.publish()
        assert log_bytes(reader) == b"".join(entries)

    def test_an_offset_at_or_past_the_end_gets_nothing_and_the_last_offset(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        commit(writer, 10, 2)
        storage.publish()
        for offset in (
            LogOffset(10, 2),
            LogOffset(10, 3),
            LogOffset(10, INFINITE),
            LogOffset(99, 0),
        ):
            chunk = reader.chunk_after(offset)
            assert chunk is not None
            assert (chunk.end, chunk.size) == (LogOffset(10, 2), 0)
            assert reader.read(chunk, 0, 100) == b""

    def test_a_chunk_is_read_piece_by_piece(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        commit(writer, 5)
        entries = commit(writer, 10, 3)
        storage.publish()
        chunk = reader.chunk_after(LogOffset(5, 0))
        assert chunk is not None
        pieces = [reader.read(chunk, at, 7) for at in range(0, chunk.size, 7)]
        assert b"".join(pieces) == b"".join(entries)
        assert reader.read(chunk, chunk.size, 7) == b""

    @pytest.mark.parametrize("threshold", [1, 10, 60, 150, 400, 10_000])
    def test_every_offset_is_answered_as_the_specification_says(
        self, make: Storages, threshold: int
    ) -> None:
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        model = Model(threshold)
        reader = storage.reader(HANDLE)
        for n, count in enumerate([1, 1, 4, 2, 9, 1, 1, 3]):
            tx = 100 * (n + 1)
            ops = list(range(0, 4 * count, 4))
            entries = [entry(tx, op, padding=(7 * op) % 50) for op in ops]
            writer.append(tx, ops, entries)
            model.commit(tx, ops, entries)
            if n % 3 != 0:
                storage.publish()
                assert_answers_like(model, reader)
        assert reader.state().last_offset == model.last_offset

    @pytest.mark.parametrize("threshold", [1, 60, 10_000])
    def test_nothing_is_passed_over_of_what_names_no_op_of_its_own(
        self, make: Storages, threshold: int
    ) -> None:
        """Moves, the rows that they bring, and changes that waited for those have an offset all the same."""
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        model = Model(threshold)
        reader = storage.reader(HANDLE)
        nameless = [b',{"headers":{"n":%d}}\n' % n for n in range(4)]
        for tx, ops, entries in (
            (100, [0, 2, 3, 4], [entry(100, 0), entry(100, 2), *nameless[:2]]),
            (200, [0, 1, 2, 3], nameless),
            (300, [0, 1, 2, 3, 4], [entry(290, 1), *nameless[:3], entry(295, 8)]),
            (400, [0], [entry(400, 0)]),
        ):
            writer.append(tx, ops, entries)
            model.commit(tx, ops, entries)
        storage.publish()
        for offset in model.interesting_offsets():
            got = b"".join(data for _, data in everything_after(reader, offset))
            wanted = b"".join(data for at, _, data in model.entries if at > offset)
            assert got.endswith(wanted), offset

    def test_the_two_halves_of_a_key_change_have_an_offset_each(self, make: Storages) -> None:
        storage = make(chunk_bytes=10)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        writer.append(10, [2, 3], [entry(10, 2), entry(10, 3)])
        storage.publish()
        assert everything_after(storage.reader(HANDLE), SNAPSHOT_END) == [
            (LogOffset(10, 2), entry(10, 2)),
            (LogOffset(10, 3), entry(10, 3)),
        ]

    def test_offsets_are_unsigned_numbers_of_64_bits(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        highest = (1 << 64) - 2
        for tx in ((1 << 63) - 1, 1 << 63, highest):
            commit(writer, tx)
        storage.publish()
        assert reader.state().last_offset == LogOffset(highest, 0)
        assert everything_after(reader, LogOffset(1 << 63, 0)) == [
            (LogOffset(highest, 0), entry(highest, 0))
        ]

    def test_two_logs_know_nothing_of_each_other(self, storage: ShapeStorage) -> None:
        one, other = storage.writer("one"), storage.writer("other")
        complete_snapshot(one)
        complete_snapshot(other)
        a = commit(one, 10, 2)
        b = commit(other, 10, 1)
        assert set(storage.publish()) == {"one", "other"}
        assert log_bytes(storage.reader("one")) == b"".join(a)
        assert log_bytes(storage.reader("other")) == b"".join(b)

    # -- spilling --------------------------------------------------------------------------------

    @pytest.mark.parametrize("threshold", [10, 100, 10_000])
    def test_a_spilled_transaction_is_published_as_a_whole_with_its_end(
        self, make: Storages, threshold: int
    ) -> None:
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        reader = storage.reader(HANDLE)
        model = Model(threshold)
        ops = list(range(0, 20, 2))
        entries = [entry(10, op) for op in ops]
        writer.spill(10, ops[:4], entries[:4])
        writer.spill(10, [], [])
        writer.spill(10, ops[4:9], entries[4:9])
        storage.publish()
        assert log_bytes(reader) == b""
        assert reader.state().last_offset == SNAPSHOT_END
        writer.append(10, ops[9:], entries[9:])
        assert log_bytes(reader) == b""
        assert set(storage.publish()) == {HANDLE}
        model.commit(10, ops, entries)
        assert_answers_like(model, reader)

    def test_what_was_appended_before_a_spill_is_not_lost_nor_reordered(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        before = commit(writer, 5, 2)
        writer.spill(10, [0, 2], [entry(10, 0), entry(10, 2)])
        assert set(storage.publish()) == {HANDLE}
        assert log_bytes(reader) == b"".join(before)
        writer.append(10, [4], [entry(10, 4)])
        after = commit(writer, 20)
        storage.publish()
        spilled = [entry(10, op) for op in (0, 2, 4)]
        assert log_bytes(reader) == b"".join(before + spilled + after)

    @pytest.mark.parametrize("threshold", [10, 10_000])
    @pytest.mark.parametrize("publishes", [False, True])
    def test_a_discarded_spill_leaves_no_trace(
        self, make: Storages, threshold: int, publishes: bool
    ) -> None:
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        reader = storage.reader(HANDLE)
        model = Model(threshold)
        model.commit(5, [0, 2], commit(writer, 5, 2))
        if not publishes:
            storage.publish()
        writer.spill(10, [0, 2, 4], [entry(10, op, 30) for op in (0, 2, 4)])
        if publishes:
            storage.publish()
        writer.discard()
        assert not storage.publish()
        assert_answers_like(model, reader)
        model.commit(10, [0, 2], commit(writer, 10, 2))
        model.commit(20, [0], commit(writer, 20))
        storage.publish()
        assert_answers_like(model, reader)

    def test_what_was_appended_stays_when_a_transaction_after_it_is_discarded(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        entries = commit(writer, 5)
        entries += commit(writer, 10, 3)
        writer.discard()
        assert writer.last_tx == 10
        storage.publish()
        assert log_bytes(reader) == b"".join(entries)

    def test_discarding_nothing_is_harmless(
        self, storage: ShapeStorage, writer: ShapeLogWriter, reader: ShapeLogReader
    ) -> None:
        writer.discard()
        entries = commit(writer, 10)
        storage.publish()
        writer.discard()
        assert log_bytes(reader) == b"".join(entries)

    # -- deletion while something is pending -------------------------------------------------------

    def test_a_deleted_log_is_not_published_any_more(
        self, storage: ShapeStorage, writer: ShapeLogWriter
    ) -> None:
        commit(writer, 10)
        storage.delete(HANDLE)
        assert not storage.publish()
        assert not storage.take_unsynced()
        assert storage.handles() == set()

    def test_a_writer_that_outlives_its_log_writes_nowhere(
        self, storage: ShapeStorage, writer: ShapeLogWriter
    ) -> None:
        """A shape can be deleted while a transaction that it takes part in is still arriving."""
        storage.delete(HANDLE)
        writer.spill(10, [0], [entry(10, 0)])
        commit(writer, 10)
        storage.publish()
        writer.discard()
        assert storage.handles() == set()
        with pytest.raises(ShapeGone):
            storage.reader(HANDLE)

    # -- syncing ---------------------------------------------------------------------------------

    def test_what_was_published_is_named_once_for_the_next_sync(
        self, storage: ShapeStorage, writer: ShapeLogWriter
    ) -> None:
        commit(writer, 10)
        assert not storage.take_unsynced()
        storage.publish()
        commit(writer, 20)
        storage.publish()
        handles = storage.take_unsynced()
        assert set(handles) == {HANDLE}
        storage.sync(handles)
        assert not storage.take_unsynced()

    def test_syncing_a_log_that_was_deleted_meanwhile_is_harmless(
        self, storage: ShapeStorage, writer: ShapeLogWriter
    ) -> None:
        commit(writer, 10)
        storage.publish()
        handles = storage.take_unsynced()
        storage.delete(HANDLE)
        storage.sync(handles)

    # -- starting again --------------------------------------------------------------------------

    @pytest.mark.parametrize("threshold", [10, 130, 10_000])
    def test_a_writer_made_again_goes_on_where_the_last_one_ended(
        self, make: Storages, threshold: int
    ) -> None:
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        entries = []
        for tx in (10, 20, 30, 40):
            entries += commit(writer, tx, 3)
            storage.publish()
            writer = storage.writer(HANDLE, durable_tx=20)
            assert writer.last_tx == tx
            commit(writer, tx, 3)
        assert not storage.publish()
        reader = storage.reader(HANDLE)
        assert log_bytes(reader) == b"".join(entries)
        assert reader.state().last_offset == LogOffset(40, 4)

    @pytest.mark.parametrize("threshold", [10, 130])
    def test_a_chunk_that_was_closed_stays_as_it_is_when_the_writer_is_made_again(
        self, make: Storages, threshold: int
    ) -> None:
        """The same request has one answer, so that it may be cached (PROTOCOL section 3.5)."""
        storage = make(chunk_bytes=threshold)
        writer = storage.writer(HANDLE)
        complete_snapshot(writer)
        reader = storage.reader(HANDLE)
        commit(writer, 10, 1)
        size = len(entry(10, 0)) - FRAME
        tx = 10
        while size < threshold:
            tx += 10
            commit(writer, tx)
            size += len(entry(tx, 0)) - FRAME
        storage.publish()
        closed = reader.chunk_after(SNAPSHOT_END)
        assert closed is not None
        assert closed.end == LogOffset(tx, 0)
        writer = storage.writer(HANDLE, durable_tx=tx)
        commit(writer, tx + 10)
        storage.publish()
        assert reader.chunk_after(SNAPSHOT_END) == closed

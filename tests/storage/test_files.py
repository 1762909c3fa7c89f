"""FileStorage keeps the promises of the interface, and what only files have to promise."""

from __future__ import annotations

import errno
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_electric.errors import ShapeGone, StorageError
from django_electric.shapes.offset import BEFORE_ALL, SNAPSHOT_END, LogOffset
from django_electric.storage import FileStorage, file_writers, files
from django_electric.storage.file_reader import FileLogReader
from django_electric.storage.file_writers import FileSnapshotWriter
from django_electric.storage.format import LOG_RECORD, unpack_log_record
from django_electric.storage.log_index import LogIndex
from tests.storage.cases import (
    HANDLE,
    Model,
    StorageCases,
    Storages,
    assert_answers_like,
    commit,
    complete_snapshot,
    entry,
    everything_after,
    log_bytes,
    row,
)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Storages]:
    made: list[FileStorage] = []

    def make_storage(**options: int) -> FileStorage:
        storage = FileStorage(tmp_path / f"storage-{len(made)}", **options)
        storage.prepare()
        made.append(storage)
        return storage

    yield make_storage
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Callable[..., FileStorage]) -> FileStorage:
    return make()


class TestFileStorage(StorageCases):
    @pytest.fixture
    def make(self, make: Storages) -> Storages:
        return make


class TestWithOneOpenFile(StorageCases):
    """Every log is closed as soon as another is written to."""

    @pytest.fixture
    def make(self, make: Storages) -> Storages:
        return lambda **options: make(open_files=1, **options)


# -- handles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "handle",
    ["../x", "..", ".", "", "a/b", "/etc/passwd", "a\0b", "x" * 65, "a b", "é", "a\n", "%2e%2e"],
)
def test_a_handle_that_is_not_one_names_no_file(storage: FileStorage, handle: str) -> None:
    outside = storage.directory.parent / "x"
    outside.mkdir()
    for use in (storage.reader, storage.writer, storage.folder, storage.delete):
        with pytest.raises(ShapeGone):
            use(handle)
    assert outside.is_dir()
    assert storage.handles() == set()


def test_only_directories_that_a_handle_can_name_are_logs(storage: FileStorage) -> None:
    storage.writer(HANDLE)
    (storage.directory / "lost+found").mkdir()
    assert storage.handles() == {HANDLE}


def test_a_storage_that_nobody_prepared_has_no_logs(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "nowhere")
    assert storage.handles() == set()
    with pytest.raises(ShapeGone):
        storage.reader(HANDLE)


def test_logs_are_not_for_others_to_read(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10)
    storage.publish()
    for path in storage.folder(HANDLE).iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO, path.name


def test_what_a_crash_left_in_the_trash_is_removed(storage: FileStorage) -> None:
    storage.writer(HANDLE)
    storage.folder(HANDLE).rename(storage.trash / HANDLE)
    storage.prepare()
    assert list(storage.trash.iterdir()) == []


def test_a_log_disappears_in_one_step_even_if_its_files_cannot_be_removed(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete_snapshot(storage.writer(HANDLE))
    reader = storage.reader(HANDLE)
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)
    storage.delete(HANDLE)
    with pytest.raises(ShapeGone):
        reader.state()
    reader.close()


# -- open files ----------------------------------------------------------------------------------


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_the_writer_keeps_no_more_files_open_than_it_may(make: Callable[..., FileStorage]) -> None:
    storage = make(open_files=3)
    writers = [storage.writer(f"h{n}") for n in range(10)]
    before = open_files()
    for tx in (10, 20):
        for writer in writers:
            commit(writer, tx)
        storage.publish()
    assert open_files() - before == 2 * 3
    storage.close()
    assert open_files() == before


def test_a_log_that_was_closed_to_make_room_is_opened_again(
    make: Callable[..., FileStorage],
) -> None:
    storage = make(open_files=3)
    writers = {f"h{n}": storage.writer(f"h{n}") for n in range(9)}
    for tx in range(10, 200, 10):
        for handle, writer in writers.items():
            commit(writer, tx)
            storage.publish()
            data, index = storage.files.get(handle)
            assert os.fstat(data).st_ino == (storage.folder(handle) / "log.jsonl").stat().st_ino
            assert os.fstat(index).st_ino == (storage.folder(handle) / "log.index").stat().st_ino
    storage.delete("h0")
    storage.delete("h8")
    commit(storage.writer("h0"), 10)
    storage.publish()
    assert log_bytes_of(storage, "h1") == b"".join(entry(tx, 0) for tx in range(10, 200, 10))


def log_bytes_of(storage: FileStorage, handle: str) -> bytes:
    return (storage.folder(handle) / "log.jsonl").read_bytes()


def test_many_logs_are_written_and_read_with_one_file_open(
    make: Callable[..., FileStorage],
) -> None:
    storage = make(open_files=1, chunk_bytes=100)
    chance = random.Random(7)
    writers = {f"h{n}": storage.writer(f"h{n}") for n in range(8)}
    models = {handle: Model(100) for handle in writers}
    for writer in writers.values():
        complete_snapshot(writer)
    for tx in range(10, 2000, 10):
        for handle in chance.sample(sorted(writers), 3):
            ops = list(range(0, 2 * chance.randint(1, 4), 2))
            entries = [entry(tx, op, chance.randint(0, 30)) for op in ops]
            half = chance.randint(0, len(ops) - 1)
            if half:
                writers[handle].spill(tx, ops[:half], entries[:half])
            writers[handle].append(tx, ops[half:], entries[half:])
            models[handle].commit(tx, ops, entries)
        if chance.random() < 0.3:
            storage.publish()
    storage.publish()
    for handle, model in models.items():
        reader = storage.reader(handle)
        assert_answers_like(model, reader)
        reader.close()


def test_a_reader_gives_its_files_back(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10)
    storage.publish()
    before = open_files()
    reader = storage.reader(HANDLE)
    everything_after(reader, BEFORE_ALL)
    assert open_files() > before
    del reader
    assert open_files() == before


def test_a_snapshot_writer_that_is_given_up_leaves_no_file_open(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    before = open_files()
    snapshot = writer.snapshot()
    snapshot.write(row(0))
    del snapshot
    assert open_files() == before


# -- bytes ---------------------------------------------------------------------------------------


def test_a_write_that_the_kernel_takes_in_parts_is_finished(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    whole = os.write
    monkeypatch.setattr(files.os, "write", lambda fd, data: whole(fd, bytes(data)[:5]))
    entries = commit(writer, 10, 3)
    storage.publish()
    assert log_bytes(storage.reader(HANDLE)) == b"".join(entries)


def test_after_a_write_that_failed_nothing_is_published_any_more(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for handle in "ab":
        commit(storage.writer(handle), 10)
    with monkeypatch.context() as context:
        context.setattr(file_writers.os, "write", full_disk)
        with pytest.raises(OSError, match="No space left"):
            storage.publish()
    with pytest.raises(StorageError, match="opened anew"):
        storage.publish()


def full_disk(_fd: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_data_file_holds_a_response_body_and_nothing_else(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    data = complete_snapshot(writer, rows=3)
    entries = commit(writer, 10, 2) + commit(writer, 20)
    storage.publish()
    folder = storage.folder(HANDLE)
    assert (folder / "snapshot.jsonl").read_bytes() == data
    assert (folder / "log.jsonl").read_bytes() == b"".join(entries)


def test_the_entries_reach_the_file_before_the_record_that_names_them(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10, 2)
    written: list[str] = []
    whole = os.write

    def write(fd: int, data: bytes) -> int:
        written.append(Path(f"/dev/fd/{fd}").readlink().name)
        return whole(fd, data)

    monkeypatch.setattr(files.os, "write", write)
    storage.publish()
    assert written == ["log.jsonl", "log.index"]


def test_a_reader_that_meets_a_log_shorter_than_its_index_says_so(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10, 2)
    storage.publish()
    os.truncate(storage.folder(HANDLE) / "log.jsonl", 3)
    reader = storage.reader(HANDLE)
    chunk = reader.chunk_after(SNAPSHOT_END)
    assert chunk is not None
    with pytest.raises(StorageError, match="shorter than its index"):
        reader.read(chunk, 0, chunk.size)


@pytest.mark.timeout(5, method="signal")
@pytest.mark.parametrize("size", [0, 3])
def test_an_offset_inside_a_transaction_of_a_log_that_is_too_short_is_an_error(
    storage: FileStorage, size: int
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10, 3)
    storage.publish()
    os.truncate(storage.folder(HANDLE) / "log.jsonl", size)
    with pytest.raises(StorageError):
        storage.reader(HANDLE).chunk_after(LogOffset(10, 2))


@pytest.mark.timeout(5, method="signal")
def test_an_offset_inside_a_transaction_of_a_log_without_its_data_is_an_error(
    storage: FileStorage,
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10, 3)
    storage.publish()
    (storage.folder(HANDLE) / "log.jsonl").unlink()
    with pytest.raises(StorageError):
        storage.reader(HANDLE).chunk_after(LogOffset(10, 2))


def test_an_index_that_shrinks_while_it_is_read_is_an_error(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    for tx in (10, 20):
        commit(writer, tx)
    storage.publish()
    path = storage.folder(HANDLE) / "log.index"
    fd = os.open(path, os.O_RDONLY)
    try:
        index = LogIndex(fd)
        os.truncate(path, LOG_RECORD.size)
        with pytest.raises(StorageError, match="cut short"):
            index[1]
    finally:
        os.close(fd)


def test_a_record_that_is_written_only_in_part_is_not_there_yet(storage: FileStorage) -> None:
    """The writer appends to the index in one call, but a reader may look in between."""
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    first = commit(writer, 10)
    storage.publish()
    path = storage.folder(HANDLE) / "log.index"
    size = path.stat().st_size
    commit(writer, 20, 3)
    storage.publish()
    whole = path.read_bytes()
    snapshot = storage.folder(HANDLE) / "snapshot.index"
    snapshot.write_bytes(snapshot.read_bytes() + b"\0" * 7)
    for stop in range(size, len(whole)):
        path.write_bytes(whole[:stop])
        reader = storage.reader(HANDLE)
        assert log_bytes(reader) == b"".join(first)
        assert reader.state().snapshot_chunks == 1
        reader.close()


def test_entries_without_a_position_are_never_after_an_offset_between_them(
    storage: FileStorage,
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    writer.append(10, [0, 2], [b',{"headers":{"event":"a"}}\n', b',{"headers":{"event":"b"}}\n'])
    storage.publish()
    chunk = storage.reader(HANDLE).chunk_after(LogOffset(10, 1))
    assert chunk is not None
    assert (chunk.end, chunk.size) == (LogOffset(10, 2), 0)


def test_a_transaction_may_break_off_after_its_log_was_deleted(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    writer.spill(10, [0, 2], [entry(10, 0), entry(10, 2)])
    storage.delete(HANDLE)
    writer.discard()
    assert not storage.publish()
    assert storage.handles() == set()


# -- readers beside the writer ---------------------------------------------------------------------


def test_readers_see_whole_transactions_only_while_the_writer_writes(
    make: Callable[..., FileStorage],
) -> None:
    storage = make(chunk_bytes=200, open_files=1)
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    other = storage.writer("other")
    problems: list[object] = []
    done = threading.Event()

    def follow() -> None:
        reader = FileStorage(storage.directory.parent).reader(HANDLE)
        offset, lines = SNAPSHOT_END, 0
        while not (done.is_set() and offset == reader.state().last_offset):
            state = reader.state()
            # Three entries a transaction: whatever was published, it ends with the third.
            if state.last_offset != SNAPSHOT_END and state.last_offset.op != 4:
                problems.append(state)
            chunk = reader.chunk_after(offset)
            if chunk is None or chunk.end < offset:
                problems.append(chunk)
                break
            data = reader.read(chunk, 0, chunk.size)
            for line in data.splitlines(keepends=True):
                if line != entry(10 * (lines // 3 + 1), 2 * (lines % 3)):
                    problems.append(line)
                lines += 1
            offset = chunk.end
        if lines != 900:
            problems.append(lines)
        reader.close()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for tx in range(10, 3010, 10):
        if tx % 40 == 0:
            writer.spill(tx, [0, 2], [entry(tx, 0), entry(tx, 2)])
            storage.publish()
            writer.append(tx, [4], [entry(tx, 4)])
        else:
            commit(writer, tx, 3)
        commit(other, tx)
        storage.publish()
    done.set()
    for thread in threads:
        thread.join(30)
    assert problems == []


# -- recovery ----------------------------------------------------------------------------------------


class Written:
    """Seven transactions in a log, small chunks, one of them spilled in two pieces."""

    THRESHOLD = 150
    DURABLE = 30

    def __init__(self, root: Path) -> None:
        self.storage = FileStorage(root, chunk_bytes=self.THRESHOLD)
        self.storage.prepare()
        self.folder = self.storage.folder(HANDLE)
        self.transactions: list[tuple[int, list[int], list[bytes]]] = []
        writer = self.storage.writer(HANDLE)
        complete_snapshot(writer)
        for n, count in enumerate([1, 3, 2, 5, 1, 4, 2]):
            tx, ops = 10 * (n + 1), list(range(0, 2 * count, 2))
            entries = [entry(tx, op, padding=3 * n) for op in ops]
            if n == 3:
                writer.spill(tx, ops[:3], entries[:3])
                writer.append(tx, ops[3:], entries[3:])
            else:
                writer.append(tx, ops, entries)
            self.transactions.append((tx, ops, entries))
        self.storage.publish()
        self.storage.close()
        self.index = (self.folder / "log.index").read_bytes()
        self.data = (self.folder / "log.jsonl").read_bytes()

    def prefix(self, count: int) -> bytes:
        """The data of the first *count* transactions."""
        return b"".join(e for _, _, entries in self.transactions[:count] for e in entries)

    def damage(self, index: bytes, data: bytes | None) -> None:
        (self.folder / "log.index").write_bytes(index)
        path = self.folder / "log.jsonl"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)

    def recover(self, *, goes_on: bool = True) -> int:
        """Recover; how many transactions are left, after proving that they are whole."""
        writer = self.storage.writer(HANDLE, durable_tx=self.DURABLE)
        left = writer.last_tx // 10
        reader = self.storage.reader(HANDLE)
        assert log_bytes(reader) == self.prefix(left)
        path = self.folder / "log.jsonl"
        assert (path.read_bytes() if path.exists() else b"") == self.prefix(left)
        if goes_on:
            self._go_on(writer)
        reader.close()
        return left

    def _go_on(self, writer: files.FileLogWriter) -> None:
        """What was lost comes again, and everything is as if nothing had happened."""
        for tx, ops, entries in self.transactions:
            writer.append(tx, ops, entries)
        writer.append(1000, [0], [entry(1000, 0)])
        self.storage.publish()
        self.storage.close()
        reader = self.storage.reader(HANDLE)
        assert log_bytes(reader) == self.prefix(7) + entry(1000, 0)
        for tx, ops, _ in self.transactions:
            last = LogOffset(tx, ops[-1])
            rest = b"".join(data for _, data in everything_after(reader, last))
            assert rest == self.prefix(7)[len(self.prefix(tx // 10)) :] + entry(1000, 0)
        reader.close()

    def ends(self) -> dict[int, int]:
        """Byte of the data at which each transaction ends → number of transactions."""
        return {len(self.prefix(n)): n for n in range(8)}


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    log = Written(tmp_path)
    yield log
    log.storage.close()


def test_a_log_that_was_not_damaged_is_recovered_whole(written: Written) -> None:
    assert written.recover() == 7


def test_an_index_cut_anywhere_leaves_the_transactions_that_it_names_whole(
    written: Written,
) -> None:
    records = [
        unpack_log_record(written.index, at) for at in range(0, len(written.index), LOG_RECORD.size)
    ]
    assert any(record.continues for record in records)
    for stop in range(len(written.index) + 1):
        written.damage(written.index[:stop], written.data)
        named = [r for r in records[: stop // LOG_RECORD.size] if not r.continues]
        assert written.recover(goes_on=stop % 40 == 3) == (named[-1].tx // 10 if named else 0)


def test_data_cut_anywhere_after_what_was_durable_loses_only_what_is_not_whole(
    written: Written,
) -> None:
    ends, durable = written.ends(), len(written.prefix(written.DURABLE // 10))
    for stop in range(durable, len(written.data) + 1):
        written.damage(written.index, written.data[:stop])
        left = written.recover(goes_on=stop % 40 == 3)
        assert left == max(n for end, n in ends.items() if end <= stop)


def test_data_cut_before_what_was_durable_is_an_error(written: Written) -> None:
    durable = len(written.prefix(written.DURABLE // 10))
    for stop in range(durable):
        written.damage(written.index, written.data[:stop])
        with pytest.raises(StorageError, match="lost bytes that were on disk"):
            written.storage.writer(HANDLE, durable_tx=written.DURABLE)


def test_an_index_whose_data_is_missing_is_an_error(written: Written) -> None:
    written.damage(written.index, None)
    with pytest.raises(StorageError, match="lost bytes that were on disk"):
        written.storage.writer(HANDLE, durable_tx=written.DURABLE)


def test_an_index_whose_data_is_missing_is_emptied_if_nothing_was_durable(
    written: Written,
) -> None:
    written.damage(written.index, None)
    assert written.storage.writer(HANDLE, durable_tx=0).last_tx == 0
    assert log_bytes(written.storage.reader(HANDLE)) == b""


def test_a_flipped_bit_after_what_was_durable_cuts_the_log_there(written: Written) -> None:
    durable = len(written.prefix(written.DURABLE // 10))
    ends = written.ends()
    for at in range(durable, len(written.data)):
        data = bytearray(written.data)
        data[at] ^= 1 << (at % 8)
        written.damage(written.index, bytes(data))
        left = written.recover(goes_on=at % 40 == 3)
        assert left == max(n for end, n in ends.items() if end <= at)


def test_bytes_of_nothing_after_a_power_cut_are_cut_off(written: Written) -> None:
    """A file system may have kept the length of a file and not its contents."""
    durable = len(written.prefix(written.DURABLE // 10))
    hole = written.data[:durable] + bytes(len(written.data) - durable)
    written.damage(written.index, hole)
    assert written.recover() == written.DURABLE // 10


def test_an_index_that_was_extended_by_nothing_is_cut_back(written: Written) -> None:
    written.damage(written.index + bytes(3 * LOG_RECORD.size), written.data)
    assert written.recover() == 7


def test_data_without_any_index_is_cut_off(written: Written) -> None:
    (written.folder / "log.index").unlink()
    assert written.recover() == 0


def test_a_transaction_whose_end_was_not_written_is_cut_off_with_its_spilled_part(
    storage: FileStorage,
) -> None:
    storage.chunk_bytes = 10
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    before = commit(writer, 10, 2)
    writer.spill(20, [0, 2], [entry(20, 0), entry(20, 2)])
    storage.publish()
    storage.close()  # and the process ends here
    again = storage.writer(HANDLE, durable_tx=0)
    assert again.last_tx == 10
    entries = commit(again, 20, 3)
    storage.publish()
    assert log_bytes(storage.reader(HANDLE)) == b"".join(before + entries)


def test_a_discarded_spill_is_not_taken_for_damage_later(storage: FileStorage) -> None:
    """What is published after it must not be cut off because of its records."""
    storage.chunk_bytes = 10
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    commit(writer, 10)
    writer.spill(20, [0, 2], [entry(20, 0), entry(20, 2)])
    storage.publish()  # as the worker does when its connection breaks
    writer.discard()
    commit(writer, 20, 3)
    commit(writer, 30)
    storage.publish()
    storage.close()
    assert storage.writer(HANDLE, durable_tx=10).last_tx == 30


def test_a_snapshot_writer_is_closed_once_and_for_all(storage: FileStorage) -> None:
    snapshot = FileSnapshotWriter(storage.writer(HANDLE).storage.folder(HANDLE))
    snapshot.finish()
    before = open_files()
    snapshot.close()
    assert open_files() == before


# -- first rows after a power cut ------------------------------------------------------------------------


@pytest.fixture
def snapshot_folder(storage: FileStorage) -> Path:
    """Of a log with a snapshot of two chunks."""
    snapshot = storage.writer(HANDLE).snapshot()
    for n in range(6):
        snapshot.write(row(n))
        if n == 2:
            snapshot.close_chunk()
    snapshot.finish()
    return storage.folder(HANDLE)


def check(storage: FileStorage) -> None:
    storage.writer(HANDLE, durable_tx=0, check_snapshot=True)


def test_first_rows_that_are_all_there_are_good(
    storage: FileStorage, snapshot_folder: Path
) -> None:
    check(storage)


@pytest.mark.parametrize("name", ["snapshot.jsonl", "snapshot.index"])
def test_first_rows_that_are_cut_anywhere_are_refused(
    storage: FileStorage, snapshot_folder: Path, name: str
) -> None:
    path = snapshot_folder / name
    whole = path.read_bytes()
    for stop in range(len(whole)):
        path.write_bytes(whole[:stop])
        with pytest.raises(StorageError):
            check(storage)


@pytest.mark.parametrize("name", ["snapshot.jsonl", "snapshot.index"])
def test_first_rows_with_a_flipped_bit_or_none_at_all_are_refused(
    storage: FileStorage, snapshot_folder: Path, name: str
) -> None:
    path = snapshot_folder / name
    whole = path.read_bytes()
    last_record = len(whole) - 16 if name == "snapshot.index" else 0
    for at in range(last_record, len(whole)):
        data = bytearray(whole)
        data[at] ^= 1
        if name == "snapshot.jsonl" or at - last_record not in (
            12,
            13,
            14,
        ):  # spare bits of the flags
            path.write_bytes(data)
            with pytest.raises(StorageError):
                check(storage)
    path.write_bytes(bytes(len(whole)))
    with pytest.raises(StorageError):
        check(storage)


@pytest.mark.parametrize("name", ["snapshot.jsonl", "snapshot.index"])
def test_first_rows_that_are_missing_are_refused(
    storage: FileStorage, snapshot_folder: Path, name: str
) -> None:
    (snapshot_folder / name).unlink()
    with pytest.raises((StorageError, OSError)):
        check(storage)


# -- syncing ------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are synced from now on."""
    paths: list[Path] = []
    monkeypatch.setattr(
        files.os, "fsync", lambda fd: paths.append(Path(f"/dev/fd/{fd}").readlink())
    )
    return paths


def test_a_sync_covers_the_files_of_each_log_and_the_names_that_lead_to_them(
    storage: FileStorage, synced: list[Path]
) -> None:
    writer = storage.writer(HANDLE)
    complete_snapshot(writer)
    assert synced == []  # the syncer does it beside the stream
    commit(writer, 10)
    storage.publish()
    storage.sync(storage.take_unsynced())
    folder = storage.folder(HANDLE)
    names = ["snapshot.jsonl", "snapshot.index", "log.jsonl", "log.index"]
    assert synced == [*(folder / name for name in names), folder, storage.directory]


def test_many_logs_are_synced_by_one_call_for_the_file_system(
    storage: FileStorage, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(files, "_sync_filesystem", calls.append)
    for n in range(65):
        commit(storage.writer(f"h{n}"), 10)
    storage.publish()
    storage.sync(storage.take_unsynced())
    assert calls == [storage.directory]
    assert synced == []


def test_where_the_file_system_cannot_be_synced_the_files_are(
    storage: FileStorage, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_sync_filesystem", None)
    for n in range(65):
        commit(storage.writer(f"h{n}"), 10)
    storage.publish()
    storage.sync(storage.take_unsynced())
    assert len(synced) == 3 * 65 + 1  # two files and a directory each; the one above them


def test_only_linux_syncs_a_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.sys, "platform", "darwin")
    assert files._load_syncfs() is None


@pytest.mark.skipif(files._sync_filesystem is None, reason="needs syncfs")
def test_a_file_system_that_cannot_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def syncfs(self, fd: int) -> int:
            return -1

    sync = files._load_syncfs()
    assert sync is not None
    sync(tmp_path)
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Broken())
    broken = files._load_syncfs()
    assert broken is not None
    with pytest.raises(OSError, match="syncfs failed"):
        broken(tmp_path)


def test_a_reader_needs_a_directory(storage: FileStorage) -> None:
    with pytest.raises(ShapeGone):
        FileLogReader(str(storage.directory / "missing"), "missing")

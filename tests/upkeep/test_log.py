"""A shape's log as people read it: page by page, one row's history, one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_electric.shapes.offset import LogOffset
from django_electric.storage import FileStorage
from django_electric.upkeep import log
from django_electric.upkeep.log import BEGINNING, LogBook, LogPage, Place

HANDLE = "1-1"


def row(n: int) -> bytes:
    """A first row."""
    headers = {"operation": "insert", "relation": ["public", "items"]}
    return line(key(n), {"id": str(n)}, headers)


def change(n: int, tx: int, op: int, xid: int, text: str = "x") -> bytes:
    headers = {
        "operation": "update", "relation": ["public", "items"], "txids": [xid], "lsn": str(tx), "op_position": op,
    }  # fmt: skip
    return line(key(n), {"id": str(n), "text": text}, headers)


def key(n: int) -> str:
    return f'"public"."items"/"{n}"'


def line(name: str, value: object, headers: object) -> bytes:
    message = {"key": name, "value": value, "headers": headers}
    return b"," + json.dumps(message, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path, chunk_bytes=1_000)
    yield storage
    storage.close()


@pytest.fixture
def book(storage: FileStorage) -> Iterator[LogBook]:
    """Rows 0 to 9 at first; then transactions 100, 200 … 3000, each of which changes row n % 10 twice."""
    writer = storage.writer(HANDLE)
    snapshot = writer.snapshot()
    for n in range(10):
        snapshot.write(row(n))
        if n == 4:
            snapshot.close_chunk()
    snapshot.finish()
    for n in range(1, 31):
        entries = [change(n % 10, 100 * n, op, 700 + n) for op in (0, 2)]
        writer.append(100 * n, [0, 2], entries)
    storage.publish()
    reader = storage.reader(HANDLE)
    yield LogBook(reader)
    reader.close()


def offsets(page: LogPage) -> list[str]:
    return [entry.offset or entry.key[-3:] for entry in page.entries]


EVERYTHING = [f'"{n}"' for n in range(10)] + [
    f"{100 * n}_{op}" for n in range(1, 31) for op in (0, 2)
]


def test_pages_follow_each_other_from_the_first_row_to_the_last_change(book: LogBook) -> None:
    page = book.page(BEGINNING, 7)
    assert page.before is None
    seen = offsets(page)
    while page.after is not None:
        page = book.page(page.after, 7)
        seen += offsets(page)
    assert seen == EVERYTHING


@pytest.mark.parametrize("block", [64, 1 << 18])
@pytest.mark.parametrize("size", [1, 7, 60, 65, 70, 500])
def test_pages_lead_back_from_the_end_to_the_beginning(
    book: LogBook, monkeypatch: pytest.MonkeyPatch, block: int, size: int
) -> None:
    monkeypatch.setattr(log, "_BLOCK", block)
    page = book.page_before(book.end, size)
    assert page.after is None
    seen = offsets(page)
    while page.before is not None:
        assert len(page.entries) == size
        page = book.page_before(page.before, size)
        assert page.after is not None
        seen = offsets(page) + seen
    assert seen == EVERYTHING


def test_an_entry_shows_what_it_holds(book: LogBook) -> None:
    (entry,) = book.page_before(book.end, 1).entries
    assert (entry.offset, entry.operation, entry.key, entry.txids) == (
        "3000_2",
        "update",
        key(0),
        ("730",),
    )
    assert json.loads(entry.value) == {"id": "0", "text": "x"}
    assert entry.old_value == ""


@pytest.mark.parametrize(
    ("offset", "first"),
    [("-1", '"0"'), ("0_0", '"5"'), ("0_inf", "100_0"), ("700_2", "700_2"), ("700_1", "700_2"), ("701_0", "800_0")],
)  # fmt: skip
def test_one_jumps_to_an_offset_or_what_follows_it(book: LogBook, offset: str, first: str) -> None:
    assert offsets(book.page(book.place_of(LogOffset.parse(offset)), 1)) == [first]


def test_beyond_the_end_there_is_nothing(book: LogBook) -> None:
    page = book.page(book.place_of(LogOffset(99_999, 0)))
    assert (page.entries, page.after) == ((), None)
    assert page.before == book.end


def test_the_history_of_a_row_begins_with_its_first_row(book: LogBook) -> None:
    page = book.history(key(3))
    assert offsets(page) == ['"3"', "300_0", "300_2", "1300_0", "1300_2", "2300_0", "2300_2"]
    assert page.is_search
    assert book.history('"public"."items"/"33"').entries == ()


def test_a_long_history_goes_on_where_it_stopped(book: LogBook) -> None:
    page = book.history(key(3), size=2)
    assert offsets(page) == ['"3"', "300_0"]
    assert page.after is not None
    assert offsets(book.history(key(3), page.after, 2)) == ["300_2", "1300_0"]


def test_a_search_looks_at_no_more_than_it_may_and_says_where_it_stopped(
    book: LogBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEARCHED", 400)
    page = book.history(key(9))
    assert page.entries == ()
    seen: list[str] = []
    while page.after is not None:
        page = book.history(key(9), page.after)
        seen += offsets(page)
    assert seen == ['"9"', "900_0", "900_2", "1900_0", "1900_2", "2900_0", "2900_2"]


def test_a_transaction_is_found_by_its_id(book: LogBook) -> None:
    assert offsets(book.transaction(712)) == ["1200_0", "1200_2"]
    assert book.transaction(71).entries == ()


def test_a_value_that_looks_like_a_header_is_no_transaction(storage: FileStorage) -> None:
    writer = storage.writer(HANDLE)
    writer.snapshot().finish()
    writer.append(100, [0], [change(1, 100, 0, 7, text='","txids":[8]')])
    storage.publish()
    reader = storage.reader(HANDLE)
    book = LogBook(reader)
    assert book.transaction(8).entries == ()
    assert len(book.transaction(7).entries) == 1
    reader.close()


def test_what_is_not_published_is_not_seen(storage: FileStorage, book: LogBook) -> None:
    writer = storage.writer(HANDLE, durable_tx=3000)
    writer.append(4000, [0], [change(1, 4000, 0, 999)])
    assert offsets(book.page_before(book.end, 1)) == ["3000_2"]
    storage.publish()
    assert offsets(book.page_before(book.end, 1)) == ["3000_2"]
    reader = storage.reader(HANDLE)
    later = LogBook(reader)
    assert offsets(later.page_before(later.end, 1)) == ["4000_0"]
    reader.close()


def test_a_snapshot_that_is_being_written_is_shown_as_far_as_it_is_published(
    storage: FileStorage,
) -> None:
    snapshot = storage.writer(HANDLE).snapshot()
    snapshot.write(row(1))
    snapshot.close_chunk()
    snapshot.write(row(2))
    reader = storage.reader(HANDLE)
    book = LogBook(reader)
    assert offsets(book.page_before(book.end)) == ['"1"']
    reader.close()


@pytest.mark.parametrize(
    "text", ["", "log", "log-", "log--1", "other-1", "log-1x", "log-" + "9" * 30]
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a place"):
        Place.parse(text)


# --- Moves ---------------------------------------------------------------------------------------------


def tagged(n: int, tag: str, **headers: object) -> bytes:
    """A row of a shape with a subquery or another condition."""
    about = {"tags": [f"{tag}/", "/1"], "active_conditions": [True, False], **headers}
    return line(key(n), {"id": str(n)}, {"operation": "insert", **about})


def move(event: str, *patterns: tuple[int, str], xids: tuple[int, ...] = (9,)) -> bytes:
    named = [{"pos": position, "value": value} for position, value in patterns]
    message = {"headers": {"event": event, "patterns": named, "txids": list(xids)}}
    return b"," + json.dumps(message, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def moved(storage: FileStorage) -> Iterator[LogBook]:
    """Row 1 goes, and comes again; row 2 stays by its other condition, until that is over too."""
    writer = storage.writer(HANDLE)
    snapshot = writer.snapshot()
    snapshot.write(tagged(1, "a") + tagged(2, "a", active_conditions=[True, True]))
    snapshot.finish()
    writer.append(100, [0], [move("move-out", (0, "a"), xids=(7, 8))])
    writer.append(200, [0], [move("move-out", (0, "a"))])
    writer.append(
        300, [0, 1, 2], [move("move-in", (0, "a")), tagged(1, "a", is_move_in=True), move("move-in", (0, "b"))]
    )  # fmt: skip
    writer.append(400, [0], [move("move-out", (1, "1"))])
    writer.append(
        500, [0], [line(key(1), {"id": "1"}, {"operation": "delete", "tags": ["a/", "/1"]})]
    )
    writer.append(600, [0], [move("move-out", (0, "a"))])
    storage.publish()
    reader = storage.reader(HANDLE)
    yield LogBook(reader)
    reader.close()


def said(page: LogPage) -> list[str]:
    return [f"{entry.operation} {entry.key[-3:] or entry.value}" for entry in page.entries]


A = '[{"pos": 0, "value": "a"}]'


def test_a_move_shows_which_rows_it_is_about_and_why(moved: LogBook) -> None:
    (out, *_, brought) = moved.page(Place("log", 0), 4).entries
    assert (out.operation, out.value, out.offset, out.key) == ("move-out", A, "", "")
    assert out.txids == ("7", "8")
    assert not out.is_moved_in
    assert (brought.operation, brought.offset, brought.is_moved_in) == ("insert", "", True)


def test_the_history_of_a_row_has_the_moves_that_it_came_and_went_by(moved: LogBook) -> None:
    went, came = f"move-out {A}", f"move-in {A}"
    assert said(moved.history(key(1))) == [
        'insert "1"', went, 'insert "1"', 'move-out [{"pos": 1, "value": "1"}]', 'delete "1"',
    ]  # fmt: skip
    assert said(moved.history(key(2))) == [
        'insert "2"', went, went, came, 'move-out [{"pos": 1, "value": "1"}]', went,
    ]  # fmt: skip


def test_moves_are_found_by_each_transaction_that_caused_them(moved: LogBook) -> None:
    for txid in (7, 8):
        assert said(moved.transaction(txid)) == [f"move-out {A}"]


@pytest.mark.parametrize("op", [0, 1, 2])
def test_one_jumps_to_what_a_move_brought(moved: LogBook, op: int) -> None:
    wanted = [f"move-in {A}", 'insert "1"', 'move-in [{"pos": 0, "value": "b"}]'][op]
    assert said(moved.page(moved.place_of(LogOffset(300, op)), 1)) == [wanted]

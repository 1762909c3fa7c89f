"""The decoder understands all that pgoutput sends, and refuses what it does not understand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.errors import DecodeError
from django_electric.postgres import pgoutput
from django_electric.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Ignored,
    Insert,
    LogicalMessage,
    Message,
    RelationColumn,
    RelationMessage,
    Row,
    Truncate,
    Update,
    decode,
)
from tests.support.pgoutput_bytes import (
    delete_with_key,
    encode,
    string,
    tuple_data,
    update_with_key,
)

u16 = st.integers(0, (1 << 16) - 1)
u32 = st.integers(0, (1 << 32) - 1)
i32 = st.integers(-(1 << 31), (1 << 31) - 1)
u64 = st.integers(0, (1 << 64) - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = texts.filter(bool)
rows: st.SearchStrategy[Row] = st.lists(st.none() | texts, max_size=8).map(tuple)


@st.composite
def updates(draw: st.DrawFn) -> Update:
    width = draw(st.integers(0, 6))
    row = st.lists(st.none() | texts, min_size=width, max_size=width).map(tuple)
    return Update(draw(u32), draw(st.none() | row), draw(row))


columns = st.builds(RelationColumn, names, u32, i32, st.booleans())
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begin, u64, u32),
    st.builds(Commit, u64, u64),
    st.builds(
        RelationMessage, u32, names, names, st.sampled_from("dnfi"), st.lists(columns).map(tuple)
    ),
    st.builds(Insert, u32, rows),
    updates(),
    st.builds(Delete, u32, rows),
    st.builds(Truncate, st.lists(u32, max_size=5).map(tuple)),
    st.builds(LogicalMessage, st.booleans(), texts, st.binary(max_size=20)),
    st.builds(Ignored, st.sampled_from(["Origin", "Type"])),
)


@settings(max_examples=60, deadline=None)
@given(messages, st.binary(max_size=5))
def test_every_message_is_read_back_as_it_was_sent(message: Message, before: bytes) -> None:
    assert decode(encode(message)) == message
    assert decode(before + encode(message), len(before)) == message


EXAMPLES: list[Message] = [
    Begin(1, 2),
    Commit(1, 2),
    RelationMessage(1, "public", "items", "f", (RelationColumn("id", 23, -1, True),)),
    Insert(1, ("1", None, "text")),
    Update(1, None, ("1", "x")),
    Update(1, ("1", UNCHANGED), ("1", "x")),
    Delete(1, ("1", None, "é")),
    Truncate((1, 2)),
    LogicalMessage(True, "prefix", b"content"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_that_ends_too_early_is_refused_wherever_it_ends(message: Message) -> None:
    whole = encode(message)
    understood = []
    for stop in range(len(whole)):
        try:
            understood.append((stop, decode(whole[:stop])))
        except DecodeError:
            continue
    assert understood == []


def test_a_value_that_ends_too_early_is_refused() -> None:
    whole = encode(Insert(1, ("value",)))
    with pytest.raises(DecodeError, match="malformed"):
        decode(whole[:-1])


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(DecodeError, match="empty"):
        decode(b"")


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(b"BCRIUDTMOY")))
def test_a_message_of_a_kind_that_is_not_known_is_refused_by_its_name(kind: int) -> None:
    with pytest.raises(DecodeError) as error:
        decode(bytes([kind]) + bytes(64))
    assert repr(chr(kind)) in error.value.message


@pytest.mark.parametrize("kind", ["b", "x"])
def test_a_value_in_a_format_that_was_not_asked_for_is_refused(kind: str) -> None:
    data = (
        b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">h", 2) + b"n" + kind.encode() + bytes(8)
    )
    with pytest.raises(DecodeError, match=f"column 2 has the format '{kind}'"):
        decode(data)


def test_text_that_is_not_utf8_is_refused() -> None:
    data = b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">h", 1) + b"t" + struct.pack(">i", 1)
    with pytest.raises(DecodeError, match="malformed"):
        decode(data + b"\xff")


def test_null_is_not_the_empty_text() -> None:
    assert decode(encode(Insert(1, (None, "", "null")))) == Insert(1, (None, "", "null"))


def test_a_row_may_have_no_columns_or_as_many_as_postgres_allows() -> None:
    for width in (0, 1, 1600):
        row = tuple(str(n) for n in range(width))
        assert decode(encode(Insert(1, row))) == Insert(1, row)


def test_a_toasted_value_that_was_not_sent_is_taken_from_the_old_row() -> None:
    sent = encode(Update(1, ("1", "large", None, "x"), ("1", UNCHANGED, UNCHANGED, None)))
    assert decode(sent) == Update(1, ("1", "large", None, "x"), ("1", "large", None, None))


def test_without_the_old_row_a_value_that_was_not_sent_stays_unknown() -> None:
    assert decode(encode(Update(1, None, ("1", UNCHANGED)))) == Update(1, None, ("1", UNCHANGED))


def test_a_row_of_other_width_than_the_old_one_is_refused_if_it_needs_filling() -> None:
    with pytest.raises(DecodeError):
        decode(encode(Update(1, ("1",), ("1", UNCHANGED))))


def test_an_old_key_is_no_old_row() -> None:
    assert decode(update_with_key(1, ("1", None), ("2", "b"))) == Update(1, None, ("2", "b"))
    assert decode(delete_with_key(1, ("1", None))) == Delete(1, None)


def test_the_empty_schema_is_pg_catalog() -> None:
    sent = b"R" + struct.pack(">I", 9) + string("") + string("t") + b"f" + struct.pack(">h", 0)
    assert decode(sent) == RelationMessage(9, "pg_catalog", "t", "f", ())


def test_the_marker_for_a_value_not_sent_is_no_text_of_postgres() -> None:
    assert "\0" in UNCHANGED
    assert tuple_data((UNCHANGED,)) == b"\0\x01u"


def test_decoders_of_tuples_are_made_once_for_each_width() -> None:
    assert pgoutput.tuple_decoder(3) is pgoutput.tuple_decoder(3)

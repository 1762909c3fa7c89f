"""The lines by which worker and web processes wake each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.wakeup import LineBuffer, batches, decode, encode, payloads
from django_electric.wakeup.lines import LONGEST_LINE

words = st.text("abcXYZ0123-_", min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(words, st.lists(words, max_size=4))
def test_a_message_reads_back(verb: str, rest: list[str]) -> None:
    data = encode(verb, *rest)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert decode(data[:-1]) == decode(data) == (verb, " ".join(rest))


def test_a_message_is_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("failed", "é")
    assert decode(b"\xff x")[1] == "x"
    assert decode(b"") == ("", "")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")), max_size=6), st.data())
def test_lines_are_cut_wherever_the_bytes_arrive(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    buffer, found = LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += list(buffer.feed(stream[:size]))
        stream = stream[size:]
    assert found == lines
    assert list(buffer.feed(b"!\n")) == [b"rest!"]


@settings(max_examples=50, deadline=None)
@given(st.lists(words, max_size=30), st.integers(1, 40))
def test_handles_are_told_in_batches_none_lost_and_none_too_long(
    handles: list[str], size: int
) -> None:
    found = list(batches(iter(handles), size))
    assert [handle for batch in found for handle in batch] == handles
    assert all(found)
    assert all(len(batch) == 1 or len(" ".join(batch)) < size for batch in found)
    lengths = [sum(len(handle) + 1 for handle in batch) for batch in found]
    firsts = [len(batch[0]) + 1 for batch in found]
    assert all(length + first > size for length, first in zip(lengths, firsts[1:], strict=False))


def test_a_batch_fits_into_a_line() -> None:
    for batch in batches(f"{n}-1713899938812345" for n in range(100_000, 101_000)):
        assert len(encode("registered", *batch)) <= LONGEST_LINE


@settings(max_examples=50, deadline=None)
@given(st.lists(words.map(str.encode), max_size=30), st.integers(1, 40))
def test_lines_travel_together_none_lost_and_none_too_many(lines: list[bytes], size: int) -> None:
    found = list(payloads(iter(lines), size))
    assert [line.encode() for text in found for line in text.split("\n")] == lines
    assert all("\n" not in text or len(text) <= size for text in found)

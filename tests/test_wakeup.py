"""The lines by which worker and web processes wake each other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.wakeup import LineBuffer, batches, decode, encode, socket_path

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
@given(st.lists(words, max_size=30), st.integers(1, 7))
def test_handles_are_told_in_batches_none_lost(handles: list[str], size: int) -> None:
    found = list(batches(iter(handles), size))
    assert [handle for batch in found for handle in batch] == handles
    assert all(len(batch) == size for batch in found[:-1])
    assert all(found)


def test_the_socket_lies_beside_the_logs() -> None:
    assert socket_path(Path("/data/default")) == Path("/data/default/worker.sock")


def test_where_that_path_is_too_long_it_lies_in_the_temporary_folder(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    path = socket_path(long)
    assert path == socket_path(long)
    assert path != socket_path(tmp_path / ("x" * 121))
    assert long not in path.parents


def test_every_path_that_is_given_can_be_bound(tmp_path: Path) -> None:
    for length in range(60, 130):
        root = Path("/") / ("é" * (length // 2))
        path = socket_path(root)
        probe = tmp_path / "probe"
        assert len(bytes(path)) <= 104, probe
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))

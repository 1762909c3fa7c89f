"""Ranges: built once, right for ever, and no more of them than there is room for."""

from __future__ import annotations

import gzip

from django_electric.shapes.offset import BEFORE_ALL, LogOffset
from django_electric.web.ranges import Range, Ranges

ENTRIES = b',{"key":"1"}\n,{"key":"2"}\n'


def key(number: int) -> tuple[str, LogOffset, LogOffset]:
    return ("1-1", BEFORE_ALL, LogOffset(number, 0))


def test_a_body_is_built_once() -> None:
    entries = Range(ENTRIES)
    body = entries.body(b"{}", is_gzipped=False)
    assert body == b'[{"key":"1"}\n,{"key":"2"}\n,{}]'
    assert entries.body(b"{}", is_gzipped=False) is body


def test_a_compressed_body_is_the_same_and_built_once() -> None:
    entries = Range(ENTRIES * 100)
    zipped = entries.body(None, is_gzipped=True)
    assert len(zipped) < len(ENTRIES) * 100
    assert gzip.decompress(zipped) == entries.body(None, is_gzipped=False)
    assert entries.body(None, is_gzipped=True) is zipped


def test_another_closing_message_takes_the_place_of_the_last() -> None:
    entries = Range(ENTRIES)
    old = entries.body(b"{1}", is_gzipped=False)
    assert entries.body(b"{2}", is_gzipped=False).endswith(b",{2}]")
    again = entries.body(b"{1}", is_gzipped=False)
    assert again == old
    assert again is not old


def test_what_was_not_asked_for_lately_makes_room() -> None:
    ranges = Ranges(limit=3 * (512 + 3 * 1000))
    for number in range(3):
        ranges.put(key(number), b"x" * 1000)
    assert ranges.get(key(0)) is not None
    ranges.put(key(3), b"x" * 1000)
    assert ranges.get(key(1)) is None
    assert ranges.get(key(0)) is not None
    # The same range again takes no more room.
    ranges.put(key(3), b"x" * 1000)
    assert ranges.get(key(0)) is not None


def test_a_range_larger_than_the_room_is_not_kept() -> None:
    ranges = Ranges(limit=100)
    assert ranges.put(key(0), b"x" * 1000).entries == b"x" * 1000
    assert ranges.get(key(0)) is None

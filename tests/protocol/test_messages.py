"""PROTOCOL sections 4, 5 and 7.2: messages and how they become a body."""

from __future__ import annotations

import json

import pytest

from django_electric.protocol.messages import array, events, up_to_date

ENTRIES = b',{"key":"a"}\n,{"key":"b"}\n'
UP_TO_DATE = {"headers": {"control": "up-to-date", "global_last_seen_lsn": "42"}}


@pytest.mark.parametrize(
    ("entries", "control", "messages"),
    [
        (b"", None, []),
        (b"", up_to_date(42), [UP_TO_DATE]),
        (ENTRIES, None, [{"key": "a"}, {"key": "b"}]),
        (ENTRIES, up_to_date(42), [{"key": "a"}, {"key": "b"}, UP_TO_DATE]),
    ],
)
def test_an_array_is_json(entries: bytes, control: bytes | None, messages: object) -> None:
    assert json.loads(array(entries, control)) == messages


def test_each_entry_is_an_event_of_one_data_line() -> None:
    assert b"".join(events(ENTRIES)) == b'data: {"key":"a"}\n\ndata: {"key":"b"}\n\n'


def test_text_that_looks_like_a_line_end_stays_inside_its_event() -> None:
    value = "a\u2028b\x85c\x0bd\x0ce\x1cf"
    entry = b"," + json.dumps({"v": value}, ensure_ascii=False).encode() + b"\n"
    (event,) = events(entry)
    assert json.loads(event.removeprefix(b"data: ")) == {"v": value}

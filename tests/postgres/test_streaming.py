"""The frames of the streaming replication protocol, byte by byte."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres.streaming import (
    KEEPALIVE,
    PAYLOAD_AT,
    XLOG_DATA,
    Keepalive,
    decode_keepalive,
    encode_status_update,
    encode_xlog_data,
)

u64 = st.integers(0, (1 << 64) - 1)


@settings(max_examples=50, deadline=None)
@given(u64, st.booleans())
def test_a_keepalive_says_how_far_the_server_is_and_whether_it_wants_an_answer(
    wal_end: int, asks: bool
) -> None:
    frame = b"k" + struct.pack(">QqB", wal_end, 812_345_678_901_234, asks)
    assert frame[0] == KEEPALIVE
    assert decode_keepalive(frame) == Keepalive(wal_end, asks)


@settings(max_examples=50, deadline=None)
@given(u64, u64, st.binary(max_size=40))
def test_the_payload_of_wal_data_begins_where_it_is_looked_for(
    start: int, end: int, payload: bytes
) -> None:
    frame = encode_xlog_data(start, end, payload)
    assert frame[0] == XLOG_DATA
    assert struct.unpack_from(">QQ", frame, 1) == (start, end)
    assert frame[PAYLOAD_AT:] == payload


@pytest.mark.parametrize("wants_reply", [False, True])
def test_a_status_update_has_the_bytes_of_the_documentation(wants_reply: bool) -> None:
    """Written, flushed, applied, microseconds since 2000-01-01, reply asked."""
    now_us = 946_684_800_000_000 + 5_000_000
    data = encode_status_update(300, 200, now_us, wants_reply=wants_reply)
    assert data == b"r" + struct.pack(">QQQqB", 300, 200, 200, 5_000_000, wants_reply)


def test_an_lsn_may_have_all_64_bits() -> None:
    highest = (1 << 64) - 1
    data = encode_status_update(highest, highest, 946_684_800_000_000)
    assert struct.unpack_from(">QQQ", data, 1) == (highest,) * 3

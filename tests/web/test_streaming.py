"""Server-sent events over time: comments while it is quiet, and an end after a minute (PROTOCOL section 7.2)."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from django_electric.web import streaming
from tests.support.server import ElectricServer
from tests.web.conftest import Bench

SCALE = 200
"""How many times faster than in life."""


def test_the_times_are_those_of_the_protocol() -> None:
    assert (streaming.KEEP_ALIVE_SECONDS, streaming.STREAM_SECONDS) == (21, 60)


class TestAtSpeed:
    @pytest.fixture(autouse=True)
    def fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("KEEP_ALIVE_SECONDS", "STREAM_SECONDS"):
            monkeypatch.setattr(streaming, name, getattr(streaming, name) / SCALE)

    async def frames(self, bench: Bench) -> list[bytes]:
        handle, offset = await bench.follow()
        answer = await bench.get(handle=handle, offset=offset, live="true", live_sse="true")
        assert answer.stream is not None
        return [frame async for frame in answer.stream if frame]

    async def test_a_quiet_stream_says_that_it_lives_and_ends(self, bench: Bench) -> None:
        began = time.monotonic()
        assert await self.frames(bench) == [b": keep-alive\n\n"] * 2
        assert time.monotonic() - began >= 60 / SCALE
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}

    async def test_news_put_the_next_comment_off(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streaming, "STREAM_SECONDS", 40 / SCALE)
        handle, offset = await bench.follow()
        answer = await bench.get(handle=handle, offset=offset, live="true", live_sse="true")
        assert answer.stream is not None
        began = time.monotonic()
        at: list[tuple[bytes, float]] = []
        async for frame in answer.stream:
            if frame:
                at.append((frame, time.monotonic() - began))
            else:
                bench.worker.append(handle, 9)
        row, end, *comments = at
        assert row[0].startswith(b'data: {"key":"9"')
        assert json.loads(end[0].removeprefix(b"data: "))["headers"] == {
            "control": "up-to-date",
            "global_last_seen_lsn": "9",
        }
        assert [frame for frame, _ in comments] == [b": keep-alive\n\n"]
        assert comments[0][1] - row[1] >= 20 / SCALE


@pytest.mark.soak
def test_for_a_minute_a_real_stream_is_kept_alive_and_then_ended(server: ElectricServer) -> None:
    server.sql("CREATE TABLE IF NOT EXISTS quiet (id int PRIMARY KEY)")
    query = {"table": "quiet", "offset": "-1"}
    first = httpx.get(f"{server.url}/v1/shape", params=query)
    query |= {"handle": first.headers["electric-handle"], "offset": "0_inf"}
    query |= {"live": "true", "live_sse": "true"}
    began = time.monotonic()
    with httpx.stream("GET", f"{server.url}/v1/shape", params=query, timeout=30) as answer:
        lines = [(line, time.monotonic() - began) for line in answer.iter_lines() if line]
        ended = time.monotonic() - began
    assert [line for line, _ in lines] == [": keep-alive"] * 2
    assert [round(at / 21, 1) for _, at in lines] == [1.0, 2.0]
    assert 59.5 < ended < 62

"""A server that is told to end: nobody is cut off, and it ends soon."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from django_electric.protocol.headers import EVENT_STREAM
from tests.servers.conftest import WEBS, Webs
from tests.servers.place import Place

pytestmark = pytest.mark.xdist_group("servers")

EXIT_CODES = {0, -signal.SIGTERM}


@pytest.mark.parametrize(("program", "mount"), WEBS, ids=map("-".join, WEBS))
async def test_all_who_wait_are_answered(webs: Webs, program: str, mount: str) -> None:
    web = webs.take(program, mount)
    place = Place(web)
    crowd = await place.fill(streams=10)
    code, seconds = await asyncio.to_thread(web.end)
    assert seconds < 5, web.log
    assert code in EXIT_CODES
    if mount == "wrapped":
        assert "lifespan" not in web.log.lower(), "a server complains if nobody answers to it"
    answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in answers} == {200}
    streamed, polled = [], []
    for answer in answers:
        is_stream = answer.headers["content-type"] == EVENT_STREAM
        (streamed if is_stream else polled).append(answer.content)
    assert set(streamed) == {b""}, "there was nothing to say"
    assert {json.loads(body)[-1]["headers"]["control"] for body in polled} == {"up-to-date"}

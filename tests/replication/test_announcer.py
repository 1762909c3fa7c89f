"""News of the worker → lines, whatever carries them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from django_electric.replication.announcer import Announcer
from django_electric.wakeup.lines import LONGEST_LINE


class Ears:
    """Stands in for a road: keeps what was said."""

    def __init__(self) -> None:
        self.is_heard = True
        self.said = b""
        self.greeting: Callable[[], bytes] | None = None

    def open(self, greeting: Callable[[], bytes]) -> None:
        self.greeting = greeting

    def say(self, lines: bytes) -> None:
        self.said += lines

    def close(self) -> None:
        self.greeting = None


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def announcer(ears: Ears) -> Announcer:
    announcer = Announcer(ears)
    announcer.open()
    return announcer


def test_every_piece_of_news_is_said_once(announcer: Announcer, ears: Ears) -> None:
    announcer.set_state("active")
    announcer.set_state("active")
    announcer.moved(["a", "b"])
    announcer.gone(["c"])
    announcer.failed("d", '{"status": 503}')
    announcer.reached(7)
    announcer.reached(7)
    announcer.reached(5)
    assert ears.said == b'state active\nmoved a b\ngone c\nfailed d {"status": 503}\nlsn 7\n'


def test_the_greeting_tells_the_state_and_the_position(announcer: Announcer, ears: Ears) -> None:
    assert ears.greeting is not None
    assert ears.greeting() == b"state starting\nlsn 0\n"
    announcer.set_state("active")
    announcer.reached(22228320)
    assert ears.greeting() == b"state active\nlsn 22228320\n"


def test_a_new_session_begins_as_starting_and_knows_the_position(
    announcer: Announcer, ears: Ears
) -> None:
    announcer.set_state("active")
    announcer.reached(5)
    announcer.close()
    assert ears.greeting is None
    announcer.open()
    assert ears.greeting is not None
    assert ears.greeting() == b"state starting\nlsn 5\n"


def test_many_handles_are_said_at_once_in_lines_that_every_road_can_carry(
    announcer: Announcer, ears: Ears
) -> None:
    handles = [f"{n:08d}-1713899938812345" for n in range(10_000)]
    announcer.moved(handles)
    lines = ears.said.decode().splitlines()
    assert [word for line in lines for word in line.split()[1:]] == handles
    assert all(line.startswith("moved ") and len(line) <= LONGEST_LINE for line in lines)
    assert len(lines) < 40


def test_where_nobody_hears_handles_are_not_put_together(announcer: Announcer, ears: Ears) -> None:
    ears.is_heard = False
    announcer.moved(["a"])
    announcer.gone(["a"])
    ears.is_heard = True
    announcer.moved([])
    assert ears.said == b""


def test_a_failure_that_is_too_long_for_a_line_is_cut(announcer: Announcer, ears: Ears) -> None:
    message = "é" * 9_000
    announcer.failed("1-1", json.dumps({"status": 400, "message": message}))
    line = ears.said.decode()
    assert len(line) <= LONGEST_LINE
    body = json.loads(line.split(" ", 2)[2])
    assert body["status"] == 400
    assert len(body["message"]) > 500
    assert message.startswith(body["message"])

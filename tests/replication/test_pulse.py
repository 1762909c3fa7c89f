"""Pulse: signs of life from a worker that is held up, and a word to whoever runs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from django_electric.errors import ReplicationLost
from django_electric.replication import pulse as module
from django_electric.replication.connection import ReplicationConnection
from django_electric.replication.pulse import Pulse, interval_of
from tests.support.waiting import eventually


class Stream:
    """Counts; is lost when it is told to be."""

    def __init__(self) -> None:
        self.repeated: list[float] = []
        self.confirmed_at = module.time.monotonic()
        self.is_lost = False

    def confirm_again(self, max_age: float) -> None:
        if self.is_lost:
            raise ReplicationLost
        self.repeated.append(max_age)


@contextmanager
def pulse(stream: Stream) -> Iterator[Pulse]:
    with Pulse(stream, 0.01) as running:  # type: ignore[arg-type]
        yield running


@pytest.mark.parametrize(
    ("timeout", "seconds"), [("1min", 5.0), ("6s", 2.0), ("300ms", 0.1), ("0", 5.0)]
)
def test_a_third_of_the_server_s_patience_passes_between_two(
    dsn: str, timeout: str, seconds: float
) -> None:
    with ReplicationConnection(dsn) as stream:
        stream.query(f"SET wal_sender_timeout = '{timeout}'")
        assert interval_of(stream) == pytest.approx(seconds)


def test_it_goes_on_as_long_as_the_stream_does() -> None:
    stream = Stream()
    with pulse(stream):
        eventually(lambda: len(stream.repeated) > 3, "it repeats")
    count = len(stream.repeated)
    assert set(stream.repeated) == {0.01}
    assert not module.threading.Event().wait(0.03)
    assert len(stream.repeated) == count


def test_a_stream_that_is_lost_is_somebody_else_s_concern() -> None:
    stream = Stream()
    stream.is_lost = True
    with pulse(stream) as running:
        eventually(lambda: not running._thread.is_alive(), "it ends by itself")


def test_a_worker_that_is_held_up_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HELD_UP_SECONDS", 0.05)
    stream = Stream()
    with caplog.at_level(logging.WARNING, "django_electric.worker"), pulse(stream):
        for times in (1, 2):
            eventually(lambda n=times: len(caplog.records) == n, "it complains")  # type: ignore[misc]
            repeated = len(stream.repeated)
            eventually(lambda n=repeated: len(stream.repeated) > n + 5)  # type: ignore[misc]
            assert len(caplog.records) == times
            stream.confirmed_at = module.time.monotonic()
    assert "held up" in caplog.text

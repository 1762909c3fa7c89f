"""Inbox: what threads tell the main thread."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from django_electric.replication.events import ChunkWritten, Inbox, RowRemoved, Synced


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def is_readable(inbox: Inbox) -> bool:
    return bool(select.select([inbox], [], [], 0)[0])


def test_events_come_in_order_and_make_the_inbox_readable(inbox: Inbox) -> None:
    assert not is_readable(inbox)
    inbox.put(Synced(1))
    inbox.put(RowRemoved("h"))
    assert is_readable(inbox)
    assert list(inbox.take()) == [Synced(1), RowRemoved("h")]
    assert not is_readable(inbox)
    assert list(inbox.take()) == []


def test_waking_makes_it_readable_without_an_event(inbox: Inbox) -> None:
    inbox.wake()
    assert is_readable(inbox)
    assert list(inbox.take()) == []


def test_more_events_than_the_pipe_can_hold_are_all_delivered(inbox: Inbox) -> None:
    for n in range(70_000):
        inbox.put(Synced(n))
    assert [e.lsn for e in inbox.take() if isinstance(e, Synced)] == list(range(70_000))


def test_events_of_many_threads_all_arrive(inbox: Inbox) -> None:
    def tell(name: int) -> None:
        for n in range(200):
            inbox.put(ChunkWritten(f"{name}-{n}"))

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    heard: list[str] = []
    while len(heard) < 800:
        assert select.select([inbox], [], [], 10)[0]
        heard += [e.handle for e in inbox.take() if isinstance(e, ChunkWritten)]
    for thread in threads:
        thread.join()
    assert sorted(heard) == sorted(f"{name}-{n}" for name in range(4) for n in range(200))

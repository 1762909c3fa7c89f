"""Pipeline: publish, then tell, then let confirm; with fakes on all sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from django_electric.errors import DecodeError, StorageError
from django_electric.postgres.pgoutput import (
    Begin,
    Commit,
    Insert,
    LogicalMessage,
    Message,
    Truncate,
)
from django_electric.postgres.streaming import encode_xlog_data
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import pipeline as module
from django_electric.replication.announcer import Announcer
from django_electric.replication.connection import ReplicationConnection
from django_electric.replication.pipeline import Pipeline
from django_electric.shapes.flush import FlushTracker
from django_electric.shapes.offset import SNAPSHOT_END
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.shapes.transactions import MESSAGE_PREFIX, Outcome, TransactionBuilder
from django_electric.storage import FileStorage, MemoryStorage
from tests.shapes.world import ITEMS, define
from tests.storage.cases import complete_snapshot
from tests.support.pgoutput_bytes import encode

ROW = ("1", "a", "t")


def frame(message: Message) -> bytes:
    return encode_xlog_data(1, 2, encode(message))


def keepalive(wal_end: int, *, asks: bool = False) -> bytes:
    return b"k" + wal_end.to_bytes(8, "big") + bytes(8) + bytes([asks])


def transaction(tx: int, *messages: Message) -> list[bytes]:
    return [frame(m) for m in (Begin(tx, tx), *messages, Commit(tx, tx + 8))]


class Stream:
    """Brings what it was given, one batch for each time it is asked whether there is more."""

    def __init__(self, *batches: list[bytes]) -> None:
        self.batches = list(batches)
        self.received = 0

    def receive(self) -> None:
        self.received += 1

    def frames(self) -> Iterator[bytes]:
        return iter(self.batches.pop(0))

    def has_more(self) -> bool:
        return bool(self.batches)


class Announcements:
    """What readers hear, and how far they could read at that moment."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.heard: list[tuple[str, object]] = []

    def moved(self, handles: Any) -> None:
        for handle in handles:
            state = self._storage.reader(handle).state()
            self.heard.append(
                (handle, state.last_offset.tx if state.last_offset != SNAPSHOT_END else 0)
            )

    def reached(self, lsn: int) -> None:
        self.heard.append(("lsn", lsn))


class World:
    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.builder = TransactionBuilder(Router())
        self.flushed = FlushTracker(5)
        self.announcements = Announcements(self.storage)
        self.outcomes: list[Outcome] = []
        self.pipeline = Pipeline(
            self.builder,
            self.storage,
            cast(Announcer, self.announcements),
            self.flushed,
            self.outcomes.append,
        )
        writer = self.storage.writer("h")
        complete_snapshot(writer)
        self.shape = RoutedShape("h", define(), writer, snapshot=PgSnapshot(1, 1))
        self.builder.router.add(self.shape)

    def pump(
        self, *batches: list[bytes], breathe: Callable[[float], bool | None] = lambda now: None
    ) -> Stream:
        stream = Stream(*batches)
        self.pipeline.pump(cast(ReplicationConnection, stream), breathe)
        return stream

    def messages(self) -> list[dict[str, object]]:
        return self.storage.reader("h").messages()[1:]


@pytest.fixture
def world() -> World:
    return World()


def test_a_transaction_is_published_before_readers_hear_of_it(world: World) -> None:
    world.pump(transaction(10, Insert(ITEMS.oid, ROW)))
    assert world.announcements.heard == [("h", 10), ("lsn", 10)]
    assert len(world.messages()) == 1


def test_what_was_published_may_be_confirmed_up_to_the_end_of_its_commit(world: World) -> None:
    world.pump(transaction(10, Insert(ITEMS.oid, ROW)))
    assert (world.flushed.published, world.flushed.received) == (18, 18)
    assert world.flushed.confirmed == 5


def test_a_transaction_that_concerns_no_shape_may_be_confirmed_too(world: World) -> None:
    world.pump(transaction(10, Insert(999, ROW)))
    assert world.announcements.heard == [("lsn", 10)]
    assert world.flushed.published == 18


def test_of_a_transaction_that_is_still_arriving_nothing_is_published(world: World) -> None:
    first = transaction(10, Insert(ITEMS.oid, ROW))
    world.pump(first[:-1])
    assert world.messages() == []
    assert world.flushed.published == 5
    world.pump([keepalive(500)])
    assert world.flushed.published == 5, "a keepalive says nothing about what has not ended"
    assert world.flushed.received == 500
    world.pump(first[-1:])
    assert len(world.messages()) == 1
    assert world.flushed.published == 18


def test_a_keepalive_between_transactions_lets_an_idle_slot_advance(world: World) -> None:
    world.pump([keepalive(300)])
    assert (world.flushed.published, world.flushed.received) == (300, 300)
    world.pump([keepalive(200)])
    assert (world.flushed.published, world.flushed.received) == (300, 300)


def test_a_keepalive_that_asks_for_an_answer_is_remembered_until_it_is_given(world: World) -> None:
    assert not world.pipeline.wants_status
    world.pump([keepalive(10, asks=True), keepalive(11)])
    assert world.pipeline.wants_status


def test_frames_of_another_kind_are_passed_over(world: World) -> None:
    world.pump([b"?whatever"])
    assert world.flushed.published == 5


def test_what_the_stream_asks_for_is_done_after_publishing(world: World) -> None:
    world.pump(
        transaction(10, Insert(ITEMS.oid, ROW)),
        transaction(20, Truncate((ITEMS.oid,)), LogicalMessage(True, MESSAGE_PREFIX, b"token")),
    )
    (outcome,) = world.outcomes
    assert [r.shape for r in outcome.rotations] == [world.shape]
    assert outcome.markers == [b"token"]
    world.pump([])
    assert len(world.outcomes) == 1


def test_what_waits_in_the_socket_is_taken_until_there_is_no_more(world: World) -> None:
    stream = world.pump(
        transaction(10, Insert(ITEMS.oid, ROW)), [], transaction(20, Insert(ITEMS.oid, ROW))
    )
    assert stream.received == 3
    assert len(world.messages()) == 2
    assert world.announcements.heard == [("h", 20), ("lsn", 20)]


def test_frames_that_make_no_sense_publish_nothing_of_their_transaction(world: World) -> None:
    frames = [
        *transaction(10, Insert(ITEMS.oid, ROW)),
        frame(Begin(20, 20)),
        frame(Insert(ITEMS.oid, ROW)),
        encode_xlog_data(1, 2, b"?"),
    ]
    with pytest.raises(DecodeError):
        world.pump(frames)
    assert world.flushed.published == 5
    world.pipeline.flush()
    assert len(world.messages()) == 1
    assert world.flushed.published == 18


class Clock:
    """Goes on by a step each time it is asked."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def test_while_the_stream_never_pauses_there_is_publishing_and_breathing_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(step=0.05))
    breaths: list[float] = []
    frames = [f for tx in range(10, 20_010, 10) for f in transaction(tx, Insert(ITEMS.oid, ROW))]
    world.pump(frames, breathe=breaths.append)
    assert len(breaths) == len(frames) // 256
    assert breaths == sorted(breaths)
    told = [tx for handle, tx in world.announcements.heard if handle == "h"]
    assert 3 < len(told) < len(breaths)
    assert told == sorted(told)
    assert told[-1] == 20_000


def test_publishing_that_takes_long_is_put_off() -> None:
    assert module._wait(0.0, 0.001) == 0.05
    assert module._wait(0.0, 0.2) == 2.0
    assert module._wait(1.0, 0.01) == 0.5
    assert module._wait(100.0, 100.0) == 4.0


def test_small_portions_that_never_end_leave_time_to_breathe_and_to_publish_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large rows come a few dozen at a time; the server hears nothing of us meanwhile and gives up."""
    monkeypatch.setattr(module, "time", Clock(step=0.2))
    breaths: list[float] = []
    batches = [
        [f for tx in range(at, at + 300, 10) for f in transaction(tx, Insert(ITEMS.oid, ROW))]
        for at in range(10, 30_010, 300)
    ]
    world.pump(*batches, breathe=breaths.append)
    assert len(breaths) > 10
    told = [tx for handle, tx in world.announcements.heard if handle == "h"]
    assert len(told) > 3


def test_who_is_asked_to_stop_while_breathing_publishes_what_is_whole_and_takes_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(step=0.2))
    batch = [f for tx in range(10, 6010, 10) for f in transaction(tx, Insert(ITEMS.oid, ROW))]
    more = [f for tx in range(6010, 12_010, 10) for f in transaction(tx, Insert(ITEMS.oid, ROW))]
    stream = world.pump(batch, more, breathe=lambda now: False)
    assert len(stream.batches) == 1
    last = world.storage.reader("h").state().last_offset.tx
    assert 0 < last < 12_000
    assert world.flushed.published == last + 8


def test_a_stream_that_pauses_at_once_is_published_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(step=0.0))
    world.pump([f for tx in range(10, 6010, 10) for f in transaction(tx, Insert(ITEMS.oid, ROW))])
    assert world.announcements.heard == [("h", 6000), ("lsn", 6000)]


def test_what_waits_to_be_published_is_bounded_however_fast_it_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(step=0.0))
    wide = ("1", "x" * 100_000, "t")
    most = 0

    def breathe(now: float) -> None:
        nonlocal most
        most = max(most, sum(len(e) for _, e in world.shape.sink._appended))  # type: ignore[attr-defined]  # MemoryLogWriter

    world.pump(
        [f for tx in range(10, 8_010, 10) for f in transaction(tx, Insert(ITEMS.oid, wide))],
        breathe=breathe,
    )
    assert most < 48 << 20


def test_of_what_could_not_be_written_nobody_hears_even_when_it_is_tried_again(
    world: World, tmp_path: Path
) -> None:
    storage = FileStorage(tmp_path)
    storage.prepare()
    writer = storage.writer("h")
    complete_snapshot(writer)
    builder = TransactionBuilder(Router())
    builder.router.add(RoutedShape("h", define(), writer, snapshot=PgSnapshot(1, 1)))
    pipeline = Pipeline(
        builder,
        storage,
        cast(Announcer, world.announcements),
        world.flushed,
        world.outcomes.append,
    )
    (tmp_path / "shapes" / "h" / "log.jsonl").unlink()
    (tmp_path / "shapes" / "h" / "log.jsonl").mkdir()
    for message in transaction(10, Insert(ITEMS.oid, ROW)):
        pipeline.take(message)
    with pytest.raises(IsADirectoryError):
        pipeline.flush()
    with pytest.raises(StorageError):
        pipeline.flush()
    assert world.announcements.heard == []
    assert world.flushed.published == 5

"""Heartbeat: what the worker says of itself, and what is read of it."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from django_electric.replication.heartbeat import (
    HEARTBEAT_FILE,
    INTERVAL,
    SAMPLES,
    Heart,
    Heartbeat,
    Vitals,
    read_heartbeat,
)
from tests.support.server import ElectricServer
from tests.support.waiting import eventually


def vitals(changes: int, published: int = 900) -> Vitals:
    return Vitals(published, confirmed=800, wal_end=1_000, changes=changes, shapes=3)


class World:
    """A heart, and a clock that tests turn."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 1_000.0
        self.heart = self.another()

    def another(self) -> Heart:
        return Heart(self.root, clock=lambda: self.now)

    def beat(self, changes: int = 0) -> Heartbeat:
        self.heart.beat(self.now, vitals(changes))
        found = read_heartbeat(self.root)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_beat_says_who_and_how_far(world: World) -> None:
    beat = world.beat(7)
    assert (beat.at, beat.started_at, beat.pid) == (1_000.0, 1_000.0, os.getpid())
    assert beat.vitals == vitals(7)
    assert beat.vitals.behind == 100
    assert not beat.is_stopped
    assert beat.samples == ()


def test_it_is_due_every_few_seconds(world: World) -> None:
    assert world.heart.is_due(world.now)
    world.beat()
    assert not world.heart.is_due(world.now + INTERVAL - 0.1)
    assert world.heart.is_due(world.now + INTERVAL)


def test_a_sample_holds_the_rate_since_the_one_before(world: World) -> None:
    world.beat(100)
    world.now += 5
    (sample,) = world.beat(150).samples
    assert (sample.at, sample.behind, sample.changes) == (1_005.0, 100, 10.0)


def test_an_engine_that_counts_anew_has_no_negative_rate(world: World) -> None:
    world.beat(100)
    world.now += 5
    assert world.beat(3).samples[-1].changes == 0.0


def test_no_more_samples_are_kept_than_the_chart_shows(world: World) -> None:
    for _ in range(SAMPLES + 5):
        world.now += 5
        world.beat()
    beat = world.beat()
    assert len(beat.samples) == SAMPLES
    assert beat.samples[-1].at == world.now


def test_the_next_worker_goes_on_with_the_samples_of_the_last(world: World) -> None:
    world.beat()
    world.now += 5
    world.beat()
    world.heart = world.another()
    world.now += 60
    assert [sample.at for sample in world.beat().samples] == [1_005.0]


def test_a_worker_that_ends_says_so(world: World) -> None:
    world.beat()
    world.heart.stop()
    beat = read_heartbeat(world.root)
    assert beat is not None
    assert beat.is_stopped


def test_a_worker_that_never_worked_says_nothing_at_its_end(world: World) -> None:
    world.heart.stop()
    assert read_heartbeat(world.root) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vitals": [1]}', "3"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / HEARTBEAT_FILE).write_text(content)
    assert read_heartbeat(tmp_path) is None


def test_a_disk_that_is_full_does_not_stop_the_heart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    World(tmp_path / "file").heart.beat(1_000.0, vitals(1))


def test_the_worker_says_where_the_servers_wal_ends_and_how_many_shapes_it_keeps(
    server: ElectricServer,
) -> None:
    server.sql("CREATE TABLE pulses (id int PRIMARY KEY)")
    answer = httpx.get(
        f"{server.url}/v1/shape", params={"table": "pulses", "offset": "-1"}, timeout=30
    )
    assert answer.status_code == 200
    root = server.storage / server.stream_id

    def found() -> Heartbeat | None:
        beat = read_heartbeat(root)
        return beat if beat is not None and beat.vitals.shapes and beat.vitals.wal_end else None

    beat = eventually(found, "the worker tells of its shapes")
    assert beat is not None
    assert server.worker is not None
    assert beat.pid == server.worker.pid
    assert 0 < beat.vitals.confirmed <= beat.vitals.published

"""Presence: how many clients wait, told by each web process in a file of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from django_electric.web.presence import INTERVAL, Presence, clients_by_handle
from tests.web.conftest import Bench


class World:
    """Two clocks that tests turn."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 1_000.0
        self.presence = Presence(root, 1.0, clock=lambda: self.now, timer=lambda: self.now)

    def note(self, **waiting: int) -> None:
        by_handle = {handle: set(range(count)) for handle, count in waiting.items()}
        self.presence.note([SimpleNamespace(waiting=by_handle)])

    def seen(self) -> dict[str, int]:
        return dict(clients_by_handle(self.root, lambda: self.now))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_nobody_ever_waited_nobody_does(world: World) -> None:
    assert world.seen() == {}


def test_who_waits_is_counted_by_shape(world: World) -> None:
    world.note(a=2, b=1)
    assert world.seen() == {"a": 2, "b": 1}


def test_the_file_is_written_now_and_then_and_not_for_each_who_waits(world: World) -> None:
    world.note(a=1)
    world.note(a=2)
    assert world.seen() == {"a": 1}
    world.now += INTERVAL
    world.note(a=2)
    assert world.seen() == {"a": 2}


def test_what_a_process_said_is_forgotten_when_it_says_no_more(world: World) -> None:
    world.note(a=1)
    world.now += 3 * INTERVAL + 2
    assert world.seen() == {"a": 1}
    world.now += 0.1
    assert world.seen() == {}


def test_the_processes_of_all_hosts_are_added_up(world: World) -> None:
    world.note(a=1)
    (path,) = (world.root / "clients").glob("*.json")
    (path.parent / "other.host-1.json").write_text(
        json.dumps({"until": 1_001, "clients": {"a": 4}})
    )
    assert world.seen() == {"a": 5}


@pytest.mark.parametrize("content", ["", "[]", '{"until": "x", "clients": {}}', '{"clients": {}}'])
def test_a_file_that_cannot_be_read_counts_nobody(world: World, content: str) -> None:
    world.note(a=1)
    (world.root / "clients" / "x.json").write_text(content)
    assert world.seen() == {"a": 1}


def test_files_of_processes_that_are_long_gone_are_removed(world: World) -> None:
    folder = world.root / "clients"
    folder.mkdir()
    for name, age in (("old.json", 3_601), ("young.json", 10)):
        (folder / name).write_text("{}")
        os.utime(folder / name, (world.now - age, world.now - age))
    world.note(a=1)
    assert not (folder / "old.json").exists()
    assert (folder / "young.json").exists()


def test_a_directory_that_cannot_be_written_to_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    World(tmp_path / "file").note(a=1)


# --- In a service ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["live", "live_sse"])
async def test_a_request_that_waits_for_news_is_told_of(bench: Bench, kind: str) -> None:
    handle, offset = await bench.follow()
    # It has waited for its first rows, and that was told.
    shutil.rmtree(bench.settings.root / "clients")
    bench.service.presence = Presence(bench.settings.root, 1.0)
    waiting = asyncio.create_task(
        read(bench, **{"handle": handle, "offset": offset, "live": "true", kind: "true"})
    )
    async with asyncio.timeout(10):
        while clients_by_handle(bench.settings.root) != {handle: 1}:
            await asyncio.sleep(0.01)
    bench.worker.append(handle, 7)
    await waiting


async def read(bench: Bench, **query: str) -> None:
    """Until news come."""
    answer = await bench.get(**query)
    if answer.stream is not None:
        async for piece in answer.stream:
            if piece:
                break
        answer.close()

"""Syncer and EngineState: what is on disk, and that it is known."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from django_electric.replication.events import Event, Inbox, Synced, ThreadFailed
from django_electric.replication.syncer import EngineState, Syncer, boot_id
from django_electric.storage import MemoryStorage, state_file


class Disk(MemoryStorage):
    """Remembers what was synced, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[set[str]] = []
        self.error: Exception | None = None

    def sync(self, handles: Iterable[str]) -> None:
        if self.error:
            raise self.error
        self.synced.append(set(handles))


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def next_event(inbox: Inbox) -> Event:
    assert select.select([inbox], [], [], 10)[0]
    (event,) = inbox.take()
    return event


def test_the_state_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    EngineState("7/1/app", 22228320).save(path)
    assert EngineState.load(path) == EngineState("7/1/app", 22228320)
    EngineState("7/1/app", (1 << 64) - 1).save(path)
    assert EngineState.load(path) == EngineState("7/1/app", (1 << 64) - 1)
    assert [p.name for p in tmp_path.iterdir()] == ["engine.json"]


def test_a_state_of_an_older_version_names_no_run_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text('{"system": "s", "synced": 7}')
    assert EngineState.load(path) == EngineState("s", 7, "")


def test_a_run_of_the_machine_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_id() == boot_id()

    def missing(self: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert boot_id() == ""


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"system": "a"}', '{"system": "a", "synced": "x"}'],
)
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "engine.json"
    assert EngineState.load(path) is None
    path.write_text(text)
    assert EngineState.load(path) is None


def test_the_state_is_replaced_in_one_step_and_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.json"
    EngineState("a", 1).save(path)
    seen: list[tuple[str, int]] = []

    def fsync(fd: int) -> None:
        state = EngineState.load(path)
        assert state is not None
        seen.append((Path(f"/dev/fd/{fd}").readlink().name, state.synced))

    monkeypatch.setattr(state_file.os, "fsync", fsync)
    EngineState("a", 2).save(path)
    assert seen == [("engine.new", 1), (tmp_path.name, 2)]


def test_a_request_is_answered_when_logs_and_state_are_on_disk(
    tmp_path: Path, inbox: Inbox
) -> None:
    disk, path = Disk(), tmp_path / "engine.json"
    syncer = Syncer(disk, path, "7/1/app", inbox)
    syncer.start()
    assert not syncer.is_busy
    syncer.request(["a", "b"], 100)
    assert syncer.is_busy
    assert next_event(inbox) == Synced(100)
    assert disk.synced == [{"a", "b"}]
    assert EngineState.load(path) == EngineState("7/1/app", 100, boot_id())
    syncer.request([], 200)
    syncer.stop()
    assert next_event(inbox) == Synced(200)
    assert disk.synced == [{"a", "b"}, set()]


def test_on_the_callers_thread_nobody_is_told(tmp_path: Path, inbox: Inbox) -> None:
    disk, path = Disk(), tmp_path / "engine.json"
    Syncer(disk, path, "s", inbox).sync_now({"a"}, 5)
    assert disk.synced == [{"a"}]
    assert EngineState.load(path) == EngineState("s", 5, boot_id())
    assert list(inbox.take()) == []


def test_a_disk_that_fails_stops_the_worker_and_nothing_is_claimed(
    tmp_path: Path, inbox: Inbox
) -> None:
    disk, path = Disk(), tmp_path / "engine.json"
    disk.error = OSError("no space left on device")
    syncer = Syncer(disk, path, "s", inbox)
    syncer.start()
    syncer.request(["a"], 100)
    event = next_event(inbox)
    assert isinstance(event, ThreadFailed)
    assert event.error is disk.error
    assert EngineState.load(path) is None
    syncer.stop()

"""Engine: which shapes go on after a start, and what is decided without Postgres.

What an engine does with a stream is proved from outside, in ``tests/crash`` and ``tests/oracle``.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from django_electric.replication import engine
from django_electric.replication.publication import SlotState
from django_electric.replication.syncer import EngineState

SLOT = SlotState("7/1/app", confirmed=100, is_new=False)


@pytest.mark.parametrize(
    ("slot", "state", "reason"),
    [
        (SLOT, EngineState("7/1/app", 100), ""),
        (SLOT, EngineState("7/1/app", 150), ""),
        (SLOT, EngineState("7/1/app", 99), "the replication slot is ahead of the logs"),
        (SLOT, None, "the storage directory is new"),
        (SLOT, EngineState("7/2/app", 100), "another timeline"),
        (SLOT, EngineState("8/1/app", 100), "another database"),
        (SLOT, EngineState("7/1/other", 100), "another database"),
        (SlotState("7/1/app", 100, is_new=True), EngineState("7/1/app", 100), "slot is new"),
    ],
)
def test_logs_go_on_only_where_the_slot_and_the_directory_belong_together(
    slot: SlotState, state: EngineState | None, reason: str
) -> None:
    found = engine._why_all_rotate(slot, state)
    assert reason in found
    assert bool(found) == bool(reason)


Limits = Callable[[int, int], list[tuple[int, int]]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """``limits(soft, hard)``: as if the system had these; what is set afterwards."""

    def pretend(soft: int, hard: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        monkeypatch.setattr(engine.resource, "getrlimit", lambda _: (soft, hard))
        monkeypatch.setattr(engine.resource, "setrlimit", lambda _, pair: found.append(pair))
        return found

    return pretend


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "logs"),
    [
        (1024, 4096, [(4096, 4096)], (4096 - 512) // 2),
        (1024, resource.RLIM_INFINITY, [(65_536, resource.RLIM_INFINITY)], (65_536 - 512) // 2),
        (4096, 4096, [], (4096 - 512) // 2),
        (256, 256, [], 64),
        (1024, 1 << 20, [(1 << 20, 1 << 20)], (65_536 - 512) // 2),
    ],
)
def test_as_many_logs_are_kept_open_as_the_system_allows(
    limits: Limits, soft: int, hard: int, raised: list[tuple[int, int]], logs: int
) -> None:
    found = limits(soft, hard)
    assert engine._open_files_limit() == logs
    assert found == raised

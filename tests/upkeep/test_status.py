"""Status: an installation on one screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from django_electric.upkeep.facts import Facts
from django_electric.upkeep.status import status_of, worker_state
from tests.upkeep.world import FINE, FRESH, SLOT, without_worker

STANDBY = without_worker(FINE)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (FINE, "active"),
        (without_worker(FINE, 3.0), "active"),
        (without_worker(FINE), "absent"),
        (FRESH, "absent"),
        (replace(without_worker(FINE), slot=SLOT), "elsewhere"),
        (replace(STANDBY, storage=replace(STANDBY.storage, has_standby=True)), "waiting"),
        (replace(without_worker(FINE), slot=None, unreachable="gone"), "unknown"),
    ],
)
def test_where_the_worker_is_told_by_its_signs(facts: Facts, state: str, tmp_path: Path) -> None:
    assert worker_state(facts) == state
    status = status_of(facts, tmp_path)
    assert status.is_working is (state == "active")
    assert str(status).startswith(f"worker:   {state}")


def test_the_rate_of_changes_is_that_of_a_worker_at_work(tmp_path: Path) -> None:
    assert status_of(FINE, tmp_path).changes == 1.5
    assert "1.5 changes a second" in str(status_of(FINE, tmp_path))
    assert status_of(without_worker(FINE), tmp_path).changes is None


def test_a_database_that_cannot_be_asked_is_said_to_be(tmp_path: Path) -> None:
    status = status_of(replace(without_worker(FINE), slot=None, unreachable="refused"), tmp_path)
    assert "database: refused" in str(status)
    assert status.to_json()["unreachable"] == "refused"

"""The worker as a thread: begun, asked to stop, waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from django_electric.conf import ElectricSettings
from django_electric.replication import background
from django_electric.replication.background import WorkerThread
from django_electric.replication.worker import EXIT_OK, Worker


class Patient:
    """Stands in for the worker."""

    def __init__(self, settings: ElectricSettings) -> None:
        self.asked = threading.Event()
        self.obeys = threading.Event()

    def run(self) -> int:
        self.asked.wait(20)
        self.obeys.wait(20)
        return EXIT_OK

    def request_stop(self) -> None:
        self.asked.set()


def test_it_is_waited_for_as_long_as_it_takes_and_no_longer(
    settings_of: Callable[..., ElectricSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "Worker", Patient)
    worker = WorkerThread(settings_of())
    worker.start()
    assert not worker.stop(0.05)
    worker._worker.obeys.set()  # type: ignore[attr-defined]  # it is a Patient
    assert worker.stop(20)


def test_a_worker_whose_database_is_away_stops_when_it_is_asked(
    settings_of: Callable[..., ElectricSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any thread, where there are no signals; and it may be asked again when it has ended."""
    settings = settings_of()
    worker = WorkerThread(settings)
    worker._worker._conninfo = "host=/nowhere dbname=x"
    worker.start()
    assert worker.stop(20)
    worker._worker.request_stop()


def test_a_worker_that_was_asked_before_it_began_ends_at_once(
    settings_of: Callable[..., ElectricSettings],
) -> None:
    worker = Worker(settings_of())
    worker._conninfo = "host=/nowhere dbname=x"
    worker.request_stop()
    assert worker.run() == EXIT_OK

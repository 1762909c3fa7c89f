"""Settings whose stream nobody else has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import override_settings

from django_electric import published
from django_electric.conf import ElectricSettings, electric_settings
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def no_registered_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example project has some, with tables of its own."""
    monkeypatch.setattr(published, "registered_models", list)


@pytest.fixture
def settings_of_test(tmp_path: Path) -> Iterator[ElectricSettings]:
    """Those of a stream of this test alone, whose slot and publication go with it."""
    stream = f"u_{uuid.uuid4().hex[:12]}"
    values = {"STORAGE_DIR": tmp_path, "INSECURE": True, "REPLICATION_STREAM_ID": stream}
    with override_settings(ELECTRIC={"default": values}):
        yield electric_settings()


@pytest.fixture
def in_use(
    settings_of_test: ElectricSettings, postgres_cluster: object, transactional_db: None
) -> Iterator[ElectricSettings]:
    """With slot and publication, as a worker leaves them behind; tables ``items`` and ``others``."""
    settings = settings_of_test
    settings.root.mkdir(parents=True)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS items, others")
        cursor.execute("CREATE TABLE items (id int PRIMARY KEY)")
        cursor.execute("CREATE TABLE others (id int PRIMARY KEY)")
        cursor.execute(f"CREATE PUBLICATION {settings.publication_name}")
        cursor.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [settings.slot_name]
        )
    yield settings
    eventually(lambda: _drop_slot(settings.slot_name), "the slot is dropped")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP PUBLICATION IF EXISTS {settings.publication_name}")
        cursor.execute("DROP TABLE items, others")


def _drop_slot(name: str) -> bool:
    """Whether it is gone; one that has just been read is so for another moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active",
            [name],
        )
        cursor.execute("SELECT FROM pg_replication_slots WHERE slot_name = %s", [name])
        return cursor.fetchone() is None

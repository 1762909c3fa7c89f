"""Taking away what an installation has made."""

from __future__ import annotations

import fcntl

import pytest
from django.db import connection

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.replication.connection import ReplicationConnection
from django_electric.revocations import RevocationLog, Revocations
from django_electric.storage import FileStorage
from django_electric.upkeep.clearing import Cleared, Dropped, InUse, clean_up, clear
from django_electric.upkeep.examine import examine
from example_project.embedded_postgres import Cluster
from tests.upkeep.shapes import register


def with_log(settings: ElectricSettings) -> Shape:
    shape = register(settings, "items")
    storage = FileStorage(settings.root)
    storage.writer(shape.handle).snapshot().finish()
    storage.close()
    (settings.root / "engine.json").write_text("{}")
    return shape


def left(settings: ElectricSettings) -> set[str]:
    return {path.name for path in settings.root.iterdir()}


def test_without_a_worker_all_state_goes(in_use: ElectricSettings) -> None:
    with_log(in_use)
    Shape.objects.create(
        handle="1-1", identity="x", stream_id="another", relation_oid=1, schema_name="public",
        table_name="t", definition={},
    )  # fmt: skip
    assert clear(in_use) == Cleared(1, files=True)
    assert [shape.stream_id for shape in Shape.objects.all()] == ["another"]
    assert left(in_use) == {"writer.lock"}
    assert clear(in_use) == Cleared(0, files=True)


def test_who_was_revoked_stays_revoked(in_use: ElectricSettings) -> None:
    with_log(in_use)
    RevocationLog(in_use.root).append(["auth.User:7"])
    clear(in_use)
    assert left(in_use) == {"writer.lock", "revocations.log"}
    assert Revocations(in_use.root).of("auth.User:7")


def test_the_logs_of_a_worker_that_is_at_work_are_left_to_it(in_use: ElectricSettings) -> None:
    shape = with_log(in_use)
    with (in_use.root / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert clear(in_use) == Cleared(1, files=False)
    assert not Shape.objects.exists()
    assert FileStorage(in_use.root).handles() == {shape.handle}


@pytest.mark.django_db
def test_where_there_are_no_files_none_are_made(
    postgres_cluster: object, settings_of_test: ElectricSettings
) -> None:
    assert clear(settings_of_test) == Cleared(0, files=True)
    assert not settings_of_test.root.exists()


def test_slot_and_publication_are_dropped(in_use: ElectricSettings) -> None:
    assert clean_up(in_use) == Dropped(in_use.slot_name, in_use.publication_name)
    facts = examine(in_use)
    assert (facts.slot, facts.publication) == (None, None)
    assert clean_up(in_use) == Dropped(None, None)


def test_what_a_worker_uses_is_not_dropped(
    in_use: ElectricSettings, postgres_cluster: Cluster
) -> None:
    dsn = postgres_cluster.dsn(str(connection.settings_dict["NAME"]))
    with ReplicationConnection(dsn) as stream:
        stream.start_streaming(in_use.slot_name, in_use.publication_name)
        with pytest.raises(InUse, match="stop it first"):
            clean_up(in_use)
        facts = examine(in_use)
    assert facts.slot is not None
    assert facts.slot.is_active
    assert facts.publication is not None

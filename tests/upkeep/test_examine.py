"""The facts of an installation, as they are read from Postgres and from the files."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.db.models import Model
from django.test.utils import isolate_apps

from django_electric import published
from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.replication.heartbeat import Heart, Vitals
from django_electric.upkeep import examine as module
from django_electric.upkeep.examine import examine, is_writable
from django_electric.upkeep.facts import TableFacts
from django_electric.upkeep.probes import findings
from tests.upkeep.shapes import register, register_reader

pytestmark = pytest.mark.usefixtures("postgres_cluster")


def tables(settings: ElectricSettings) -> dict[str, TableFacts]:
    return {table.table: table for table in examine(settings).tables}


@pytest.mark.django_db
def test_a_database_that_was_only_migrated_lacks_nothing(
    settings_of_test: ElectricSettings,
) -> None:
    facts = examine(settings_of_test)
    assert findings(facts) == [f for f in findings(facts) if f.severity == "note"]
    assert facts.server is not None
    assert facts.server.has_catalogue
    assert facts.server.wal_level == "logical"
    assert facts.server.version == connection.pg_version
    assert (facts.slot, facts.publication, facts.tables) == (None, None, ())
    assert facts.pending_migrations == ()


def test_slot_and_publication_are_found(in_use: ElectricSettings) -> None:
    facts = examine(in_use)
    assert facts.slot is not None
    assert (facts.slot.name, facts.slot.is_active) == (in_use.slot_name, False)
    assert facts.slot.status == "reserved"
    assert facts.slot.retained >= facts.slot.behind >= 0
    assert facts.publication is not None
    assert facts.publication.publishes_all
    assert facts.publication.may_alter


def test_a_slot_that_nobody_reads_means_that_no_worker_is_at_work(in_use: ElectricSettings) -> None:
    facts = examine(in_use)
    assert facts.server is not None
    assert facts.server.slots >= 1
    assert [f.id for f in findings(facts) if f.severity == "error"] == ["electric.W031"]


def test_the_tables_of_shapes_are_compared_with_the_publication(in_use: ElectricSettings) -> None:
    register(in_use, "items", where="id = 1")
    register(in_use, "items", where="id = 2")
    register(in_use, "others")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER PUBLICATION {in_use.publication_name} ADD TABLE others")
        cursor.execute("ALTER TABLE items REPLICA IDENTITY FULL")
    found = tables(in_use)
    assert (found["items"].shapes, found["others"].shapes) == (2, 1)
    assert [found[name].is_published for name in ("items", "others")] == [False, True]
    assert [found[name].has_full_identity for name in ("items", "others")] == [True, False]
    assert examine(in_use).shapes == 3


def test_a_table_that_subqueries_read_counts_and_keeps_its_name(in_use: ElectricSettings) -> None:
    register_reader(in_use, "items", "others")
    register_reader(in_use, "items", "items")
    facts = examine(in_use)
    assert {t.table: (t.shapes, t.readers) for t in facts.tables} == {"items": (2, 0), "others": (0, 1)}  # fmt: skip
    assert facts.shapes == 2
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE others; CREATE TABLE others (id int PRIMARY KEY)")
    gone = tables(in_use)["others"]
    assert (gone.name, gone.exists) == ('"public"."others"', False)


def test_a_table_that_was_dropped_keeps_the_name_that_its_shapes_know(
    in_use: ElectricSettings,
) -> None:
    register(in_use, "items")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY)")
    (gone,) = examine(in_use).tables
    assert (gone.name, gone.exists, gone.shapes) == ('"public"."items"', False, 1)


@isolate_apps("django.contrib.auth")
def test_tables_of_registered_models_count_if_they_are_there(
    in_use: ElectricSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NotMadeYet(Model):  # noqa: DJ008  # nobody prints it
        class Meta:
            app_label = "auth"

    monkeypatch.setattr(published, "registered_models", lambda: [Group, NotMadeYet])
    assert list(tables(in_use)) == ["auth_group"]
    assert tables(in_use)["auth_group"].is_registered


@pytest.mark.django_db
def test_shapes_of_another_stream_are_not_ours(settings_of_test: ElectricSettings) -> None:
    Shape.objects.create(
        handle="1-1", identity="x", stream_id="another", relation_oid=1, schema_name="public",
        table_name="t", definition={},
    )  # fmt: skip
    assert examine(settings_of_test).tables == ()


@pytest.mark.django_db
def test_migrations_that_are_not_applied_are_named(settings_of_test: ElectricSettings) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'django_electric' AND name LIKE '0004%'"
        )
    assert examine(settings_of_test).pending_migrations == ("django_electric.0004_reads",)


def test_a_database_that_cannot_be_asked_is_a_fact(
    settings_of_test: ElectricSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(module, "_with_database", refuse)
    facts = examine(settings_of_test)
    assert facts.unreachable == "connection refused"
    assert facts.server is None


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_signs_of_the_worker_are_read_from_the_directory(
    settings_of_test: ElectricSettings,
) -> None:
    root = settings_of_test.root
    assert not examine(settings_of_test).storage.is_locked
    root.mkdir(parents=True)
    Heart(root).beat(0.0, Vitals(1, 1, 1, 0, 0))
    with (root / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        storage = examine(settings_of_test).storage
    assert storage.is_locked
    assert not storage.has_standby
    assert storage.heartbeat is not None
    assert storage.heartbeat_age is not None
    assert storage.heartbeat_age < 60


def test_a_directory_that_can_be_made_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_writable(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    assert not is_writable(tmp_path / "file" / "a")
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert not is_writable(tmp_path / "a")

"""Migrations tell the worker what they change; what that does to shapes is proved in ``tests/migrated``."""

from __future__ import annotations

import logging

import pytest
from django.contrib.contenttypes.management import RenameContentType
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.test import override_settings

from django_electric import schema_changes
from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.schema_changes import LetAllThrough, TellWorker, add_to_plan
from tests.shapes.world import define


def migration_of(*operations: Operation, atomic: bool = True) -> migrations.Migration:
    migration = migrations.Migration("0001", "shop")
    migration.operations = list(operations)
    migration.atomic = atomic
    return migration


def planned(migration: migrations.Migration, *, is_backwards: bool = False) -> str:
    """The operations in the order in which they are done: initials."""
    add_to_plan(using="default", plan=[(migration, is_backwards)])
    names = [type(operation).__name__[0] for operation in migration.operations]
    return "".join(reversed(names) if is_backwards else names)


CREATE = migrations.CreateModel("Item", [("id", models.AutoField(primary_key=True))])
ALTER = migrations.AlterField("Item", "id", models.BigAutoField(primary_key=True))
SQL = migrations.RunSQL("SELECT 1", "SELECT 1")


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_migration_tells_at_the_end_of_its_transaction(is_backwards: bool) -> None:
    done = planned(migration_of(CREATE, SQL), is_backwards=is_backwards)
    assert done == ("RCT" if is_backwards else "CRT")


@pytest.mark.parametrize("is_backwards", [False, True])
def test_operations_that_have_transactions_of_their_own_tell_each(is_backwards: bool) -> None:
    done = planned(migration_of(CREATE, SQL, atomic=False), is_backwards=is_backwards)
    assert done == ("RTCT" if is_backwards else "CTRT")


@pytest.mark.parametrize("is_backwards", [False, True])
def test_before_a_column_is_changed_the_row_filter_of_its_table_goes(is_backwards: bool) -> None:
    """One that is altered or dropped."""
    add = migrations.AddField("Item", "more", models.IntegerField(default=0))
    done = planned(migration_of(ALTER, add), is_backwards=is_backwards)
    assert done == ("LALAT" if is_backwards else "LAAT")


def test_a_plan_that_is_made_twice_tells_once() -> None:
    migration = migration_of(CREATE)
    planned(migration)
    assert planned(migration) == "CT"


def test_a_migration_that_does_nothing_tells_nothing() -> None:
    assert planned(migration_of()) == ""


def test_only_databases_that_electric_names_are_told() -> None:
    with override_settings(ELECTRIC={"another": {}}):
        assert planned(migration_of(CREATE)) == "C"


def test_what_others_add_to_the_plan_is_kept() -> None:
    renamed = RenameContentType("shop", "item", "thing")
    assert planned(migration_of(renamed)) == "RT"


def test_neither_is_ever_written_to_a_file_or_changes_the_state_of_models() -> None:
    state = ProjectState()
    for operation in (TellWorker(), LetAllThrough("Item")):
        operation.state_forwards("shop", state)
        assert operation.describe()
        assert not operation.reduces_to_sql
    assert state == ProjectState()


# -- against Postgres --------------------------------------------------------------------------------


@pytest.fixture
def item(postgres_cluster: object, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_item (id int PRIMARY KEY, kind int)")


STATE = ProjectState()
migrations.CreateModel(
    "Item", [("id", models.IntegerField(primary_key=True)), ("kind", models.IntegerField())]
).state_forwards("shop", STATE)


def apply(*operations: Operation) -> None:
    migration = migration_of(*operations)
    add_to_plan(using="default", plan=[(migration, False)])
    MigrationExecutor(connection).apply_migration(STATE.clone(), migration)


def filters() -> list[tuple[str, bool]]:
    """The tables that are published, and whether each has a filter."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT prrelid::regclass::text, prqual IS NOT NULL FROM pg_publication_rel")
        return cursor.fetchall()


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AlterField("Item", "kind", models.BigIntegerField()),
        migrations.RemoveField("Item", "kind"),
    ],
)
def test_a_column_that_a_row_filter_names_can_be_migrated(item: None, operation: Operation) -> None:
    """Without ado Postgres would refuse the one, and unpublish the table with the other."""
    if connection.pg_version < 150000:
        pytest.skip("needs PostgreSQL 15")
    name = electric_settings().publication_name
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shop_item REPLICA IDENTITY FULL")
        cursor.execute(f"CREATE PUBLICATION {name} FOR TABLE shop_item WHERE (kind > 1)")
    apply(operation)
    assert filters() == [("shop_item", False)]


def test_a_migration_does_not_fail_because_the_worker_cannot_be_told(
    item: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema_changes, "tell_layouts", lambda *_: "SELECT 1 / 0")
    monkeypatch.setattr(logging.getLogger("django_electric"), "propagate", True)
    apply(migrations.RemoveField("Item", "kind"))
    assert "the worker is not told of the migration: division by zero" in caplog.text
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM shop_item")
        assert [column.name for column in cursor.description] == ["id"]


def test_before_the_first_migrate_there_is_nobody_to_tell(
    item: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Shape._meta, "db_table", "not_there_yet")
    monkeypatch.setattr(logging.getLogger("django_electric"), "propagate", True)
    apply(SQL)
    assert caplog.text == ""


def test_migrate_itself_does_all_this(postgres_cluster: object, db: None, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    Shape.objects.register(define(), "default")
    told: list[str] = []
    monkeypatch.setattr(schema_changes, "tell_worker", told.append)
    call_command("migrate", "demo", "zero", verbosity=0)
    assert told == ["default"]

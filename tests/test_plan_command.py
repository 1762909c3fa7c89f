"""manage.py electric_plan: says beforehand what ``tests/migrated`` proves that migrations do."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from django_electric import planning
from django_electric.catalogue import find_relation
from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.operations import PublishModel
from django_electric.planning import PlannedTable, differences
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import FileStorage
from django_electric.where import parse_where
from tests.replication.database import reading
from tests.shapes.world import define

NAMES = {
    "0001": "0001_initial",
    "0002": "0002_add_field",
    "0003": "0003_nothing_that_shapes_see",
    "0004": "0004_remove_field",
    "0005": "0005_alter_field",
    "0006": "0006_rename_field",
    "0007": "0007_sql",
    "0008": "0008_rename_model",
    "0009": "0009_unpublish",
}


@pytest.fixture
def handles(postgres_cluster: object, db: None) -> Iterator[dict[str, str]]:
    """Handles of the shapes of the notes, as ``tests/migrated`` has them, before any migration but the first."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.migrated"]):
        call_command("migrate", "migrated", "0001", verbosity=0)
        with connection.cursor() as cursor:
            relation = find_relation(cursor, "public", "migrated_note")
        assert relation is not None
        types = {c.name: c.evaluator_type for c in relation.columns}
        options: dict[str, dict[str, Any]] = {
            "all": {},
            "texts": {"columns": ("id", "text")},
            "kinds": {"columns": ("id", "text"), "where": parse_where("kind = 1", types)},
            "sorted": {"columns": ("id",), "where": parse_where("text > 'm'", types)},
        }
        yield {
            Shape.objects.register(ShapeDefinition.build(relation, **given), "default").handle: name
            for name, given in options.items()
        }


def plan(*arguments: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("electric_plan", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())  # type: ignore[no-any-return]  # what the command writes


EVERY = {"all", "texts", "kinds", "sorted"}


@pytest.mark.parametrize(
    ("last", "rotated"),
    [
        ("0001", {"all"}),
        ("0002", set()),
        ("0003", {"all"}),
        ("0004", {"all", "kinds"}),
        ("0005", {"all"}),
        ("0006", set()),
        ("0007", EVERY),
        ("0008", EVERY),
    ],
)
def test_the_migration_after_this_one_rotates(
    handles: dict[str, str], last: str, rotated: set[str]
) -> None:
    for number in NAMES:
        if "0001" < number <= last:
            MigrationRecorder(connection).record_applied("migrated", NAMES[number])
    if last == "0008":
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE migrated_note RENAME TO migrated_memo")
    steps = plan()
    following = steps[0]["migration"]
    found = {handles[r["handle"]] for s in steps if s["migration"] == following for r in s["rotates"]}  # fmt: skip
    assert found == rotated
    assert [s["migration"] for s in steps if s["is_unknown"]] == (["migrated.0007_sql"] if last < "0007" else [])  # fmt: skip


def test_a_shape_with_a_subquery_is_rotated_by_what_changes_in_the_other_table(
    handles: dict[str, str],
) -> None:
    Shape.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE outside (id int PRIMARY KEY, kind int)")
        psycopg_connection = connection.connection
    for clause in ("kind IN (SELECT kind FROM migrated_note)", "kind = 1"):
        Shape.objects.register(reading(psycopg_connection, "outside", clause), "default")
    ((step, (rotated,)),) = [(s["migration"], s["rotates"]) for s in plan() if s["rotates"]]
    assert step == "migrated.0005_alter_field"
    assert rotated["table"] == "outside"
    assert rotated["reason"] == (
        'of migrated_note, which a subquery reads: column "kind" was dropped, renamed or changed its type'
    )


def test_a_shape_is_rotated_once_and_the_reason_is_said(handles: dict[str, str]) -> None:
    out = io.StringIO()
    call_command("electric_plan", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "migrated.0002_add_field"
    assert lines[1] == "  Add field extra to Note: rotates 1 shapes"
    assert "on migrated_note (0\xa0bytes): columns were added to its table" in lines[2]
    assert "  Raw SQL operation: unknown" in lines
    assert sum(" on migrated_" in line for line in lines) == len(EVERY)


def test_the_size_of_a_log_that_can_be_read_is_told(
    handles: dict[str, str], tmp_path: Path
) -> None:
    with override_settings(ELECTRIC={"default": {"STORAGE_DIR": tmp_path, "INSECURE": True}}):
        storage = FileStorage(electric_settings().root)
        writer = storage.writer(next(iter(handles))).snapshot()
        writer.write(b",{}\n" * 1000)
        writer.finish()
        storage.close()
        (shape,) = plan()[0]["rotates"]
    assert shape["size"] == 4000


def test_a_check_fails_if_a_shape_is_rotated(handles: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=r"4 shapes \(.*\) are rotated") as caught:
        plan("--check")
    assert caught.value.returncode == 1
    Shape.objects.all().delete()
    assert len(plan("--check")) > 9


def test_without_migrations_to_apply_there_is_nothing_to_say(postgres_cluster: object, db: None) -> None:  # fmt: skip
    out = io.StringIO()
    call_command("electric_plan", "--check", stdout=out)
    assert out.getvalue() == "No migrations to apply.\n"


# -- changes, told from models ---------------------------------------------------------------------

COLUMNS = {"id": "integer", "text": "text", "done": "boolean"}


def planned(key: str = "id", collation: str = "", **columns: str) -> PlannedTable:
    return PlannedTable({**COLUMNS, **columns}, {"text": collation}, (key,))


@pytest.mark.parametrize(
    ("now", "options", "reason"),
    [
        (None, {"columns": ("id",)}, "its table is dropped or renamed"),
        (planned(more="text"), {}, "columns were added"),
        (planned(more="text"), {"columns": ("id",)}, ""),
        (planned(text="varchar(9)"), {"columns": ("id",)}, ""),
        (planned(text="varchar(9)"), {}, 'column "text"'),
        (planned(done="integer"), {"columns": ("id",), "where": "done"}, 'column "done"'),
        (planned("text"), {"columns": ("id",)}, "another primary key"),
        (planned(collation="C"), {}, ""),
        (planned(collation="C"), {"where": "text > 'm'"}, "another collation"),
    ],
)
def test_what_is_changed_decides_who_is_rotated(
    now: PlannedTable | None, options: dict[str, Any], reason: str
) -> None:
    ((_, change),) = differences({"items": planned()}, {} if now is None else {"items": now})
    definition = define(**options)
    where = definition.parsed_where()
    found = change.why_rotated(definition, where.columns if where else ())
    assert reason in found
    assert bool(found) == bool(reason)


def test_tables_that_stay_as_they_are_and_new_ones_are_no_change() -> None:
    assert list(differences({"items": planned()}, {"items": planned(), "new": planned()})) == []


class Custom(Operation):
    """Of some package."""


@pytest.mark.parametrize(
    ("operation", "is_unknown"),
    [
        (migrations.RunSQL("SELECT"), True),
        (Custom(), True),
        (migrations.SeparateDatabaseAndState([migrations.RunSQL("SELECT")]), True),
        (migrations.SeparateDatabaseAndState([], [migrations.RunSQL("SELECT")]), False),
        (migrations.RunPython(migrations.RunPython.noop), False),
        (AddIndexConcurrently("Note", models.Index(fields=["id"], name="i")), False),
        (PublishModel("Note"), False),
    ],
)
def test_what_cannot_be_known_is_said_to_be_unknown(operation: Operation, is_unknown: bool) -> None:
    assert planning.may_do_anything(operation) == is_unknown

"""manage.py electric_publish and electric_sql."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Q
from django.test import override_settings

from django_electric import published
from django_electric.declared import Shape
from django_electric.published import drift_of, surplus_tables
from django_electric.querysets import models_of
from django_electric.registry import Registry
from example_project.demo.models import Comment, Issue, Project


@pytest.fixture(autouse=True)
def registered(
    postgres_cluster: object, db: None, monkeypatch: pytest.MonkeyPatch
) -> list[type[object]]:
    """The models that are registered."""
    models: list[type[object]] = [Group, Issue]
    monkeypatch.setattr(published, "registered_models", lambda: models)
    return models


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def kinds() -> list[tuple[str, str]]:
    return [(drift.subject, drift.kind) for drift in drift_of() if drift.kind != "publication"]


def exists(query: str, *names: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({query})", names)
        return bool(cursor.fetchone()[0])


def test_the_tables_of_registered_models_are_published_and_then_there_is_nothing_to_do() -> None:
    assert kinds() == [
        (label, kind) for label in ("auth.Group", "demo.Issue") for kind in ("unpublished", "identity")
    ]  # fmt: skip
    text = run("electric_publish")
    assert "mended: There is no publication" in text
    assert "mended: public.demo_issue (demo.Issue) is not in the publication" in text
    assert drift_of() == ()
    assert run("electric_publish") == "Publication and replica identities are as they should be.\n"


def test_a_check_changes_nothing_and_fails_if_something_is_to_be_done() -> None:
    with pytest.raises(CommandError, match="5 of these must be put right") as caught:
        run("electric_publish", "--check")
    assert caught.value.returncode == 1
    assert len(kinds()) == 4
    run("electric_publish")
    run("electric_publish", "--check")


def test_drift_can_be_read_by_programs() -> None:
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("electric_publish", "--check", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert {(d["subject"], d["kind"]) for d in found["drift"]} >= {("auth.Group", "unpublished"), ("demo.Issue", "identity")}  # fmt: skip
    assert found["mended"] == found["surplus"] == []
    found = json.loads(run("electric_publish", "--json"))
    assert (found["drift"], len(found["mended"])) == ([], 5)


def test_what_is_published_and_not_registered_is_noted_and_is_no_fault(
    registered: list[type[object]],
) -> None:
    registered.append(Project)
    run("electric_publish")
    registered.remove(Project)
    assert '"public"."demo_project" is published' in run("electric_publish", "--check")


def test_what_publishing_cannot_mend_is_left_and_said(
    registered: list[type[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Project._meta, "db_table", "not_migrated_yet")
    registered.append(Project)
    with pytest.raises(CommandError, match="1 of these must be put right"):
        run("electric_publish")
    assert kinds() == [("demo.Project", "table")]


def test_event_triggers_are_made_and_dropped_on_demand() -> None:
    query = "SELECT FROM pg_event_trigger WHERE evtname = 'django_electric_drop'"
    run("electric_publish", "--event-triggers")
    assert exists(query)
    run("electric_publish", "--no-event-triggers")
    assert not exists(query)


def test_who_may_not_publish_is_told_to_be_the_owner() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE nobody_much; GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobody_much; SET ROLE nobody_much")  # fmt: skip
    with pytest.raises(CommandError, match=r"permission denied.*as the owner"):
        run("electric_publish")


class Elsewhere:
    """A router that keeps everything of the demo from this database."""

    def allow_migrate(self, db: str, app_label: str, **_: object) -> bool | None:
        return False if app_label == "demo" else None


def test_models_that_live_elsewhere_are_left_out() -> None:
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        assert {subject for subject, _ in kinds()} == {"auth.Group"}


# -- grants ----------------------------------------------------------------------------------------


def test_the_grants_name_what_is_published_and_what_is_ours_and_nothing_else() -> None:
    run("electric_publish")
    text = run("electric_sql", "--role", 'we"ird')
    grants = [line for line in text.splitlines() if not line.startswith("--") and line]
    assert grants[0].startswith('CREATE ROLE "we""ird" LOGIN REPLICATION')
    assert grants[2:] == [
        'GRANT USAGE ON SCHEMA "public" TO "we""ird";',
        'GRANT SELECT ON TABLE "public"."auth_group" TO "we""ird";',
        'GRANT SELECT ON TABLE "public"."demo_issue" TO "we""ird";',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE "public"."django_electric_shape" TO "we""ird";',
    ]


def test_before_anything_is_published_the_grants_say_so() -> None:
    assert "No table is in electric_publication_default yet" in run("electric_sql", "--role", "r")


def test_partitions_and_serial_columns_are_granted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE parted (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parted DEFAULT;"
            " CREATE PUBLICATION electric_publication_default FOR TABLE parted;"
            " CREATE TABLE old_shape (id serial PRIMARY KEY)"
        )
    shape = published.apps.get_model("django_electric", "Shape")
    monkeypatch.setattr(shape._meta, "db_table", "old_shape")
    text = run("electric_sql", "--role", "r")
    assert 'GRANT SELECT ON TABLE "public"."part" TO "r";' in text
    assert 'GRANT SELECT ON TABLE "public"."parted" TO "r";' in text
    assert 'GRANT USAGE ON SEQUENCE "public"."old_shape_id_seq" TO "r";' in text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["electric_publish"], 'ELECTRIC["nowhere"] is missing: add'),
        (["electric_plan"], 'ELECTRIC["nowhere"] is missing: add'),
        (["electric_sql", "--role", "r"], "invalid choice: 'nowhere'"),
    ],
)
def test_a_database_that_electric_does_not_name_is_refused(command: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        run(*command, "--database", "nowhere")


def test_models_are_registered_by_the_shapes_and_policies_of_a_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the example project."""
    monkeypatch.undo()
    assert ("demo.Issue", "unpublished") in kinds()
    run("electric_publish")
    assert drift_of() == ()


def test_what_a_declared_shape_reads_in_subqueries_is_published_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Registry()
    some = Project.objects.filter(pk__in=Comment.objects.filter(pk__gt=3).values("issue__project_id"))  # fmt: skip
    assert list(models_of(Issue.objects.filter(project__in=some))) == [Issue, Project, Comment]
    inner = Project.objects.exclude(color__in=["#ffffff"])
    known.add_shape("issues", Shape(Issue.objects.exclude(Q(project__in=inner) | Q(pk=1))))
    known.add_shape("comments", Shape(Comment))
    assert list(known.models()) == [Comment, Issue, Project]
    known.shapes.pop("comments")
    monkeypatch.setattr(published, "registered_models", lambda: list(known.models()))
    run("electric_publish")
    assert exists("SELECT FROM pg_publication_tables WHERE tablename = %s", Project._meta.db_table)
    assert surplus_tables() == ()
    assert drift_of() == ()

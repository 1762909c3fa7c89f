"""Tests that commit: what they see has come out of the WAL."""

from __future__ import annotations

import threading

import httpx
import pytest
from django.db import connection, connections, transaction
from pytest_django.live_server_helper import LiveServer

from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.test import Sandbox, sandbox
from django_electric.test import slot as module
from django_electric.test.following import Following
from django_electric.test.slot import SlotStream
from example_project.demo.models import Issue, Project

_LEFT = """
SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()),
       (SELECT count(*) FROM pg_publication WHERE pubname LIKE 'electric%'),
       (SELECT array_agg(relreplident::text ORDER BY relname) FROM pg_class
         WHERE relname IN ('demo_issue', 'demo_project'))
"""


def left() -> tuple[object, ...]:
    """Slots, publications, and the replica identities of two tables."""
    with connection.cursor() as cursor:
        cursor.execute(_LEFT)
        row: tuple[object, ...] = cursor.fetchone()
        return row


def make_project() -> Project:
    return Project.objects.create(name="Atlas", key="ATL", color="#6366f1")


def test_commits_are_read_from_the_stream_each_as_it_was(electric_live: Sandbox) -> None:
    shape = electric_live.client().shape(table="demo_project")
    with transaction.atomic():
        project = make_project()
        project.name = "renamed"
        project.save()
    with transaction.atomic():
        Project.objects.create(name="lost", key="LOST", color="#6366f1")
        transaction.set_rollback(True)
    Project.objects.filter(pk=project.pk).update(color="#ffffff")
    news = [message["headers"] for message in shape.sync() if "key" in message]
    assert [(h["operation"], h.get("last", False)) for h in news] == [
        ("insert", False), ("update", True), ("update", True),
    ]  # fmt: skip
    assert news[0]["lsn"] == news[1]["lsn"] < news[2]["lsn"]
    assert news[0]["txids"] != news[2]["txids"]
    electric_live.assert_shape_equals(shape, Project.objects.all())


def test_what_other_connections_commit_is_seen(electric_live: Sandbox) -> None:
    shape = electric_live.client().shape(table="demo_project")

    def write() -> None:
        make_project()
        connections["default"].close()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    electric_live.assert_shape_equals(shape, Project.objects.all())
    assert len(shape.rows) == 1


def test_a_live_server_serves_what_the_test_commits(
    live_server: LiveServer, electric_live: Sandbox
) -> None:
    following = Following()
    for name in ("Atlas", "Borealis"):
        Project.objects.create(name=name, key=name[:3].upper(), color="#6366f1")
        following.is_up_to_date = False
        while not following.is_up_to_date:
            query = {"table": "demo_project", **following.query}
            answer = httpx.get(f"{live_server.url}/v1/shape", params=query)
            following.take(answer.status_code, answer.headers, answer.content)
        assert [row["name"] for row in following.rows.values()][-1] == name
    assert len(following.rows) == 2


def test_truncate_and_conditions_of_postgres(electric_live: Sandbox) -> None:
    project = make_project()
    Issue.objects.create(project=project, title="a cat")
    shape = electric_live.client().shape(
        table="demo_issue", where="to_tsvector('simple', title) @@ 'cat'"
    )
    assert Shape.objects.get().to_definition().delegated_columns == ("title",)
    Issue.objects.create(project=project, title="a dog")
    Issue.objects.create(project=project, title="cat and dog")
    electric_live.assert_shape_equals(shape, Issue.objects.filter(title__contains="cat"))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE demo_issue CASCADE")
    shape.sync()
    assert (shape.refetches, shape.rows) == (1, [])


@pytest.mark.django_db(transaction=True)
def test_afterwards_the_database_is_as_it_was() -> None:
    before = left()
    assert before[:2] == (0, 0)
    with sandbox() as electric:
        electric.client().shape(table="demo_issue")
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE demo_project REPLICA IDENTITY USING INDEX demo_project_pkey"
            )
        electric.client().shape(table="demo_project")
        assert left() == (1, 1, ["f", "f"])
    assert left() == (0, 0, ["d", "i"])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE demo_project REPLICA IDENTITY DEFAULT")


@pytest.mark.django_db(transaction=True)
def test_a_source_that_could_not_be_opened_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DISPLAY_SETTINGS", "SELECT no_such_column")
    with pytest.raises(Exception, match="no_such_column"):
        SlotStream(electric_settings())
    assert left()[:2] == (0, 0)


def test_in_a_transaction_of_the_test_no_slot_is_made(electric: Sandbox) -> None:
    electric.client().shape(table="demo_issue")
    assert left() == (0, 0, ["d", "d"])

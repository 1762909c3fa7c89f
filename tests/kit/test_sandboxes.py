"""What a test asks of its sandbox: that rows are those of a queryset, that a shape is refused, parts of one."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import Client

from django_electric.conf import electric_settings
from django_electric.errors import ConfigurationError
from django_electric.test import Sandbox, ShapeRefused, sandbox
from django_electric.test.comparison import difference
from django_electric.web.service import shape_service
from example_project.demo.models import Issue, Project


@pytest.fixture
def project(electric: Sandbox) -> Project:
    project = Project.objects.create(pk=1, name="Atlas", key="ATL", color="#6366f1")
    Issue.objects.bulk_create(
        Issue(pk=n, project=project, title=f"issue {n}", position=n / 3) for n in range(1, 4)
    )
    return project


class TestEqual:
    def test_rows_are_those_of_the_queryset(self, electric: Sandbox, project: Project) -> None:
        wanted = {"table": "demo_issue", "where": "position > $1", "params": ["0.5"]}
        shape = electric.assert_shape_equals(wanted, Issue.objects.filter(position__gt=0.5))
        assert [row["id"] for row in shape.rows] == ["2", "3"]
        Issue.objects.filter(pk=1).update(position=9)
        electric.assert_shape_equals(shape, Issue.objects.filter(position__gt=0.5))

    def test_a_url_will_do(self, electric: Sandbox, project: Project) -> None:
        electric.assert_shape_equals("/v1/shape?table=demo_issue", Issue.objects.all())

    def test_only_the_columns_of_the_shape_count(self, electric: Sandbox, project: Project) -> None:
        wanted = {"table": "demo_issue", "columns": ["id", "title"]}
        shape = electric.assert_shape_equals(wanted, Issue.objects.all())
        assert shape.rows[0] == {"id": "1", "title": "issue 1"}

    def test_the_queryset_may_join_slice_and_sort(
        self, electric: Sandbox, project: Project
    ) -> None:
        shape = electric.client().shape(table="demo_issue", where="id <= 2")
        electric.assert_shape_equals(
            shape, Issue.objects.filter(project__key="ATL").order_by("pk")[:2]
        )

    def test_a_row_too_many_and_a_row_too_few_are_named(
        self, electric: Sandbox, project: Project
    ) -> None:
        wanted = {"table": "demo_issue", "where": "id <= 2", "columns": ["id"]}
        with pytest.raises(AssertionError) as failure:
            electric.assert_shape_equals(wanted, Issue.objects.filter(pk__gte=2))
        assert str(failure.value).splitlines()[1:] == [
            "  not in the shape: {'id': '3'}",
            "  not in the queryset: {'id': '1'}",
        ]

    def test_values_are_compared_and_not_only_keys(
        self, electric: Sandbox, project: Project
    ) -> None:
        shape = electric.client().shape(table="demo_issue")
        (first, *_) = shape.rows
        first["title"] = "another"
        assert "another" in difference(shape.rows, electric.client().shape(table="demo_issue").rows)

    def test_of_every_kind_of_value(self, electric: Sandbox, project: Project) -> None:
        """Booleans, arrays, hosts: what a cast and an output function show differently."""
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE demo_project ADD f bool, ADD fs bool[], ADD i inet, ADD s interval"
            )
            cursor.execute(
                "INSERT INTO demo_project (id, name, key, f, fs, i, s) VALUES (2, 'a', 'A', true, '{t,NULL}',"
                " '10.0.0.1', '1 day')"
            )
        shape = electric.assert_shape_equals({"table": "demo_project"}, Project.objects.all())
        assert shape.rows[1]["f"] == "true"
        with connection.cursor() as cursor:
            cursor.execute("UPDATE demo_project SET f = false, i = '10.0.0.2'")
        electric.assert_shape_equals(shape, Project.objects.all())

    def test_a_shape_that_is_refused_is_not_equal_to_anything(self, electric: Sandbox) -> None:
        with pytest.raises(ShapeRefused, match="400"):
            electric.assert_shape_equals({"table": "nowhere"}, Issue.objects.none())


class TestRefused:
    def test_by_any_status_of_a_refusal(self, electric: Sandbox) -> None:
        assert electric.assert_shape_refused({"table": "nowhere"}).status == 400

    def test_a_shape_that_is_served_is_not_refused(self, electric: Sandbox) -> None:
        with pytest.raises(AssertionError, match="was served, with 0 rows"):
            electric.assert_shape_refused({"table": "demo_issue"})

    def test_by_another_status_than_the_one_that_is_meant(self, electric: Sandbox) -> None:
        with pytest.raises(ShapeRefused, match="400"):
            electric.assert_shape_refused({"table": "nowhere"}, status=403)

    def test_a_server_that_fails_does_not_count_as_a_refusal(
        self, electric: Sandbox, settings: Any
    ) -> None:
        settings.ELECTRIC = {"default": {"SECRET": "s", "INSECURE": True}}
        with pytest.raises(ShapeRefused, match="503"):
            electric.assert_shape_refused({"table": "demo_issue"})

    def test_settings_of_the_moment_count(self, electric: Sandbox, settings: Any) -> None:
        settings.ELECTRIC = {"default": {"SECRET": "s"}}
        electric.assert_shape_refused({"table": "demo_issue"}, status=401)
        assert electric.client().shape(table="demo_issue", secret="s").rows == []


def test_a_shape_can_be_rotated(electric: Sandbox, project: Project) -> None:
    shape = electric.client().shape(table="demo_issue")
    electric.must_refetch(shape)
    shape.sync()
    assert shape.refetches == 1
    assert len(shape.rows) == 3


def test_a_live_request_is_answered_at_once(electric: Sandbox, client: Client) -> None:
    shape = electric.client().shape(table="demo_issue")
    query = {"table": "demo_issue", "handle": shape.handle, "offset": shape.offset}
    answer = client.get("/v1/shape", {**query, "live": "true"})
    assert [m["headers"]["control"] for m in answer.json()] == ["up-to-date"]


def test_the_worker_seems_to_be_there(electric: Sandbox, client: Client) -> None:
    assert client.get("/v1/health").json() == {"status": "active"}


def test_two_clients_share_a_shape(electric: Sandbox, project: Project) -> None:
    one, other = (electric.client().shape(table="demo_issue") for _ in range(2))
    assert one.handle == other.handle


def test_a_condition_that_postgres_refuses_spoils_nothing(
    electric: Sandbox, project: Project
) -> None:
    electric.assert_shape_refused({"table": "demo_issue", "where": "no_such_function(id)"})
    electric.assert_shape_equals({"table": "demo_issue"}, Issue.objects.all())


class TestSubsets:
    """PROTOCOL section 11."""

    def subset(self, client: Client, **members: str) -> Any:
        given = {f"subset__{name}": value for name, value in members.items()}
        return client.get("/v1/shape", {"table": "demo_issue", "offset": "now", **given})

    def test_a_part_of_the_rows(self, electric: Sandbox, project: Project, client: Client) -> None:
        answer = self.subset(client, where="id > 1", order_by="id DESC", limit="1").json()
        assert [row["value"]["id"] for row in answer["data"]] == ["3"]

    def test_what_the_test_writes_afterwards_is_not_in_its_snapshot(
        self, electric: Sandbox, project: Project, client: Client
    ) -> None:
        """A client passes over the changes that the snapshot has seen; those to come bear the same id."""
        shape = electric.client().shape(table="demo_issue")
        metadata = self.subset(client, limit="1", order_by="id").json()["metadata"]
        Issue.objects.filter(pk=1).update(title="new")
        (txid,) = shape.sync()[0]["headers"]["txids"]
        assert int(metadata["xmin"]) <= txid
        assert txid >= int(metadata["xmax"]) or str(txid) in metadata["xip_list"]

    def test_a_literal_that_postgres_refuses_is_400_and_spoils_nothing(
        self, electric: Sandbox, project: Project, client: Client
    ) -> None:
        answer = self.subset(
            client, where="to_tsvector('simple', title) @@ to_tsquery('simple', '(')"
        )
        assert answer.status_code == 400, answer.content
        electric.assert_shape_equals({"table": "demo_issue"}, Issue.objects.all())


def test_afterwards_the_process_answers_for_itself_again(db: None) -> None:
    settings = electric_settings()
    before = shape_service(settings)
    with sandbox() as electric, sandbox() as inner:
        assert shape_service(settings) is inner.service
        assert inner.service is not electric.service
    assert shape_service(settings) is before


def test_another_database_than_postgres_is_refused_by_name(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    with pytest.raises(ConfigurationError, match='"default" is sqlite'), sandbox():
        raise AssertionError("it was made")


async def test_a_sandbox_may_be_made_in_the_thread_of_coroutines(electric: Sandbox) -> None:
    def follow() -> int:
        with sandbox() as inner:
            return len(inner.client().shape(table="demo_project").rows)

    assert await sync_to_async(follow)() == 0

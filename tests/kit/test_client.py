"""Clients that ask through Django."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.test import Client

from django_electric.test import AsyncElectricClient, ElectricClient, Sandbox, ShapeRefused
from django_electric.test.client import as_query
from example_project.demo.models import Project


def test_parameters_may_be_lists_and_mappings() -> None:
    assert as_query({"columns": ["id", 'we"ird'], "params": ["a", 2], "log": "full"}) == {
        "columns": '"id","we""ird"', "params[1]": "a", "params[2]": "2", "log": "full",
    }  # fmt: skip
    assert as_query({"columns": "id,v", "params": {"1": "a"}}) == {
        "columns": "id,v", "params[1]": "a",
    }  # fmt: skip


def refuse_guests(get_response: Any) -> Any:
    """A project's middleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        return get_response(request) if user.is_authenticated else HttpResponseForbidden("guests")

    return middleware


@pytest.fixture
def no_guests(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.kit.test_client.refuse_guests"]


class TestClients:
    def test_requests_pass_the_middleware_as_the_user(
        self, electric: Sandbox, no_guests: None
    ) -> None:
        alice = User.objects.create_user("alice")
        refused = electric.assert_shape_refused({"table": "demo_issue"})
        assert (refused.status, refused.body) == (403, "guests")
        assert electric.client(alice).shape(table="demo_issue").rows == []

    async def test_coroutines_too(self, electric: Sandbox, no_guests: None) -> None:
        alice = await User.objects.acreate(username="alice")
        with pytest.raises(ShapeRefused):
            await electric.async_client().shape(table="demo_project")
        shape = await electric.async_client(alice).shape(table="demo_project")
        await Project.objects.acreate(name="Atlas", key="ATL", color="#6366f1")
        (message, _) = await shape.sync()
        assert message["value"]["key"] == "ATL"
        assert [row["name"] for row in shape.rows] == ["Atlas"]

    async def test_a_coroutine_writes_in_the_tests_own_transaction(self, electric: Sandbox) -> None:
        assert await sync_to_async(lambda: connection.in_atomic_block)()

    async def test_a_coroutine_compares_in_a_thread(self, electric: Sandbox) -> None:
        await Project.objects.acreate(name="Atlas", key="ATL", color="#6366f1")
        wanted = {"table": "demo_project"}
        equals = sync_to_async(electric.assert_shape_equals)
        shape = await equals(wanted, Project.objects.all())
        assert len(shape.rows) == 1

    def test_headers_go_with_every_request(self, electric: Sandbox, settings: Any) -> None:
        shape = electric.client(headers={"x-request-id": "mine-0123456789abcdef"}).shape(
            table="demo_issue"
        )
        assert shape.handle

    def test_a_url_may_have_a_query(self, electric_client: ElectricClient) -> None:
        shape = electric_client.shape("/v1/shape?table=demo_project&columns=id", replica="full")
        Project.objects.create(pk=1, name="Atlas", key="ATL", color="#6366f1")
        shape.sync()
        assert shape.rows == [{"id": "1"}]
        assert list(shape.schema) == ["id"]

    def test_a_log_of_changes_only(self, electric_client: ElectricClient) -> None:
        Project.objects.create(pk=1, name="Atlas", key="ATL", color="#6366f1")
        shape = electric_client.shape(table="demo_project", log="changes_only")
        assert shape.rows == []
        Project.objects.update(name="renamed")
        shape.sync()
        assert shape.rows == [{"id": "1", "name": "renamed"}]

    def test_a_project_that_has_its_own_test_client_can_use_it(self, electric: Sandbox) -> None:
        http = Client(HTTP_HOST="localhost")
        assert ElectricClient(http=http).shape(table="demo_project").rows == []

    def test_first_rows_that_do_not_fit_into_memory_are_streamed(
        self, electric: Sandbox, electric_client: ElectricClient
    ) -> None:
        projects = [
            Project(name=f"{n}", key=f"K{n}", color="#6366f1", description="x" * 4000)
            for n in range(600)
        ]
        Project.objects.bulk_create(projects)
        shape = electric.assert_shape_equals({"table": "demo_project"}, Project.objects.all())
        assert len(shape.rows) == 600


async def test_an_async_client_follows_a_large_log(electric: Sandbox) -> None:
    await Project.objects.abulk_create(
        Project(name=f"{n}", key=f"K{n}", color="#6366f1", description="x" * 4000)
        for n in range(600)
    )
    shape = await AsyncElectricClient().shape(table="demo_project")
    assert len(shape.rows) == 600

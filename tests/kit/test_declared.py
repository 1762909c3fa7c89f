"""Declared shapes and policies of the example project, tested as a host project would test its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Q

from django_electric import Shape
from django_electric.test import Sandbox
from example_project.demo.models import Issue, Project
from example_project.demo.shapes import CLOSED, board, my_issues

OPEN = ~Q(status__in=CLOSED)


@pytest.fixture(autouse=True)
def guarded(settings: Any) -> None:
    """Neither open to everybody nor by a secret: only the policies decide."""
    settings.ELECTRIC = {"default": {"SECRET": "not-known-to-any-client"}}


@pytest.fixture
def alice(electric: Sandbox) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def staff(electric: Sandbox) -> User:
    return User.objects.create_user("staff", is_staff=True)


@pytest.fixture
def issues(electric: Sandbox) -> None:
    project = Project.objects.create(name="Atlas", key="ATL", color="#6366f1")
    for assignee in ("alice", "bob"):
        for status in ("todo", "done"):
            Issue.objects.create(
                project=project, title=f"{assignee}'s", assignee=assignee, status=status
            )


def test_a_declared_shape_has_each_users_rows(
    electric: Sandbox, issues: None, alice: User, staff: User
) -> None:
    opened = Issue.objects.filter(OPEN)
    mine = electric.assert_shape_equals(my_issues, opened.filter(assignee="alice"), user=alice)
    everybodys = electric.assert_shape_equals(my_issues, opened, user=staff)
    assert (len(mine.rows), len(everybodys.rows)) == (1, 2)
    assert "position" not in mine.schema


def test_rows_come_and_go_with_what_the_policy_looks_at(
    electric: Sandbox, issues: None, alice: User
) -> None:
    mine = electric.client(alice).shape(my_issues)
    Issue.objects.filter(assignee="bob", status="todo").update(assignee="alice")
    assert [change["headers"]["operation"] for change in mine.sync()[:-1]] == ["insert"]
    Issue.objects.filter(assignee="alice").update(status="done")
    assert [change["headers"]["operation"] for change in mine.sync()[:-1]] == ["delete", "delete"]


def test_who_has_not_signed_in_is_refused(electric: Sandbox, issues: None) -> None:
    electric.assert_shape_refused(my_issues, status=401)
    electric.assert_shape_refused({"table": "demo_issue"}, status=401)
    electric.assert_shape_equals(board, Project.objects.all())


def test_a_table_is_cut_to_the_users_rows_and_columns(
    electric: Sandbox, issues: None, alice: User
) -> None:
    table = {"table": "demo_issue", "where": "status = 'todo'"}
    wanted = Issue.objects.filter(status="todo", assignee="alice")
    electric.assert_shape_equals(table, wanted, user=alice)
    electric.assert_shape_refused({"table": "demo_issue", "columns": "id,position"}, user=alice)
    electric.assert_shape_refused({"table": "demo_comment"}, user=alice, status=403)


async def test_a_coroutine_follows_a_declared_shape(electric: Sandbox) -> None:
    shape = await electric.async_client().shape(board)
    await Project.objects.acreate(name="Atlas", key="ATL", color="#6366f1")
    await shape.sync()
    assert [row["name"] for row in shape.rows] == ["Atlas"]


def test_a_shape_without_a_name_wants_its_url(electric: Sandbox) -> None:
    with pytest.raises(ValueError, match="give the URL"):
        electric.assert_shape_refused(Shape(Project))


class TestViewsOfTheProject:
    @pytest.fixture(autouse=True)
    def own_urls(self, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.kit.urls"

    def test_a_class_based_view_serves_its_rows(
        self, electric: Sandbox, issues: None, alice: User
    ) -> None:
        electric.assert_shape_equals("/mine/", Issue.objects.filter(assignee="alice"), user=alice)
        electric.assert_shape_refused("/mine/", status=302)

    def test_an_async_view_serves_what_it_computes(self, electric: Sandbox, issues: None) -> None:
        shape = electric.client().shape("/projects/ATL/", columns=["id", "name"])
        Project.objects.create(name="Borealis", key="BOR", color="#6366f1")
        Project.objects.filter(key="ATL").update(name="renamed")
        assert [change["value"]["name"] for change in shape.sync()[:-1]] == ["renamed"]
        electric.assert_shape_equals(shape, Project.objects.filter(key="ATL"))

    def test_the_endpoint_is_found_wherever_it_is_mounted(
        self, electric: Sandbox, alice: User
    ) -> None:
        assert electric.client(alice).shape(table="demo_project").url == "/electric/v1/shape"
        assert electric.client().shape(board).url == "/electric/shapes/board"

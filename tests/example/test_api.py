"""The demo's APIs: what they list, and that their shapes hold just that."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_electric.test import Sandbox
from example_project.demo.models import Issue, Project

pytestmark = pytest.mark.usefixtures("postgres_cluster")


@pytest.fixture
def ann(db: None, project: Project) -> User:
    for number, assignee in enumerate(("ann", "bob", "ann")):
        Issue.objects.create(
            project=project, title=f"issue {number}", assignee=assignee, position=number
        )
    return User.objects.create_user("ann")


def test_whoever_has_not_signed_in_gets_nothing(client: Client, ann: User) -> None:
    for path in ("api/issues/", "api/issues/shape/?offset=-1", "ninja/projects/1/issues/shape"):
        assert client.get(f"/demo/{path}").status_code in (401, 403), path


def test_the_shape_of_a_view_set_holds_what_its_list_shows(
    client: Client, electric: Sandbox, ann: User
) -> None:
    client.force_login(ann)
    listed = json.loads(client.get("/demo/api/issues/").content)
    assert {issue["title"] for issue in listed} == {"issue 0", "issue 2"}
    shape = electric.client(ann).shape("/demo/api/issues/shape/")
    assert {row["title"] for row in shape.rows} == {"issue 0", "issue 2"}
    assert "position" not in shape.rows[0]
    Issue.objects.filter(assignee="bob").update(assignee="ann")
    shape.sync()
    assert len(shape.rows) == 3


def test_a_shape_of_ninja(electric: Sandbox, ann: User, project: Project) -> None:
    shape = electric.client(ann).shape(f"/demo/ninja/projects/{project.pk}/issues/shape")
    assert {row["title"] for row in shape.rows} == {"issue 0", "issue 1", "issue 2"}
    assert set(shape.rows[0]) == {"id", "title", "status"}

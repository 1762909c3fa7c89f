"""The demo's policies and declared shapes, and the page for who has signed in."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.staticfiles import finders
from django.test import Client

from django_electric.authority import NotSignedIn, Refused, access_to_shape, access_to_table
from django_electric.protocol.identifiers import TableName
from django_electric.registry import registered_models, registry
from example_project.demo import shapes
from example_project.demo.models import Comment, Issue, Project

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db")


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="secret")


def test_they_are_found_without_being_imported() -> None:
    assert set(registry.shapes) == {"my-issues", "my-conversations", "board"}
    assert registered_models() == [Comment, Issue, Project]


def test_people_read_their_own_issues_and_staff_reads_all(ann: User) -> None:
    own = access_to_table(TableName("public", "demo_issue"), ann)
    assert own.where == "(\"assignee\" = 'ann')"
    assert "position" not in (own.columns or ())
    ann.is_staff = True
    all_of_them = access_to_table(TableName("public", "demo_issue"), ann)
    assert all_of_them.where is None
    assert "position" in (all_of_them.columns or ())


def test_comments_take_a_permission(ann: User) -> None:
    comments = TableName("public", "demo_comment")
    with pytest.raises(Refused):
        access_to_table(comments, ann)
    ann.user_permissions.add(Permission.objects.get(codename="view_comment"))
    assert access_to_table(comments, User.objects.get(pk=ann.pk)).where is None


def test_declared_shapes(ann: User) -> None:
    mine = access_to_shape(shapes.my_issues, ann)
    assert mine.columns == ("id", "project_id", "title", "status", "priority")
    assert "\"assignee\" = 'ann'" in (mine.where or "")
    assert access_to_shape(shapes.board, AnonymousUser()).is_public
    with pytest.raises(NotSignedIn):
        access_to_shape(shapes.my_issues, AnonymousUser())


def test_what_is_said_about_an_issue_goes_with_the_issue(ann: User) -> None:
    where = access_to_shape(shapes.my_conversations, ann).where or ""
    assert where.startswith('("issue_id" IN (SELECT ')
    assert "\"assignee\" = 'ann'" in where
    with pytest.raises(NotSignedIn):
        access_to_shape(shapes.my_conversations, AnonymousUser())


def test_the_page_is_for_who_has_signed_in(client: Client, ann: User) -> None:
    answer = client.get("/demo/mine/")
    assert (answer.status_code, answer["location"]) == (302, "/accounts/login/?next=/demo/mine/")
    assert client.get(answer["location"]).status_code == 200
    client.force_login(ann)
    page = client.get("/demo/mine/").content.decode()
    assert 'data-shape="/shapes/my-issues"' in page
    for path in re.findall(r'"/static/([^"]+)"', page):
        assert finders.find(path)

"""Policies, declared shapes, and what a user may read by them."""

from __future__ import annotations

import doctest
import subprocess
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from django_electric import authority
from django_electric.authority import (
    NotSignedIn,
    Refused,
    access_to_shape,
    access_to_table,
    user_key,
    user_of,
)
from django_electric.declared import Shape
from django_electric.policies import ModelPermissionPolicy, OwnerPolicy, ShapePolicy
from django_electric.protocol.identifiers import TableName
from django_electric.querysets import UnsupportedQuerySet, access_of
from django_electric.registry import Registry
from example_project.demo.models import Comment, Issue, Project
from tests.support.orm import APPS, Owner

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db")

ISSUES = TableName("public", "demo_issue")
NOBODY = AnonymousUser()


class Mine(ShapePolicy):
    """What is assigned to the user; superusers read all of it, nobody reads descriptions."""

    def rows(self, user: Any) -> Any:
        if user.is_superuser:
            return Issue.objects.all()
        return Issue.objects.filter(assignee=user.username) if user.is_active else None

    def columns(self, user: Any) -> Any:
        return ["title", "status", "project"]


class Open(ShapePolicy):
    is_public = True

    def rows(self, user: Any) -> Any:
        assert user.is_anonymous, "what is public depends on nobody"
        return Project.objects.exclude(key="SECRET")


class ForGuests(ShapePolicy):
    allows_anonymous = True

    def rows(self, user: Any) -> Any:
        return Comment.objects.filter(author=user.username or "guest")


class Missing(models.Model):
    class Meta:
        app_label = "orm"
        apps = APPS
        db_table = "demo_issue_missing"

    def __str__(self) -> str:
        return str(self.pk)


@pytest.fixture
def known() -> Registry:
    known = Registry()
    known.add_policy(Issue, Mine)
    known.add_policy(Project, Open)
    known.add_policy(Comment, ForGuests)
    return known


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


class TestTables:
    def test_the_rows_and_columns_of_the_policy(self, known: Registry, ann: User) -> None:
        access = access_to_table(ISSUES, ann, known)
        assert access == replace(
            access_of(Issue.objects.filter(assignee="ann"), columns=["title", "status", "project"]),
            user=f"auth.User:{ann.pk}",
        )
        assert access.columns == ("id", "project_id", "title", "status")
        assert access.where == "(\"assignee\" = 'ann')"

    def test_users_with_the_same_rows_may_read_the_same(self, known: Registry) -> None:
        first, second = (User.objects.create_superuser(name) for name in ("root", "admin"))
        accesses = {
            replace(access_to_table(ISSUES, user, known), user=None) for user in (first, second)
        }
        assert len(accesses) == 1

    @pytest.mark.parametrize("table", [("public", "auth_user"), ("app", "demo_issue"), ("", "")])
    def test_without_a_policy_nobody_may(self, known: Registry, ann: User, table: Any) -> None:
        ann.is_superuser = ann.is_staff = True
        with pytest.raises(Refused) as refused:
            access_to_table(TableName(*table), ann, known)
        assert refused.value.status == 403
        with pytest.raises(NotSignedIn) as refused:
            access_to_table(TableName(*table), NOBODY, known)
        assert refused.value.status == 401

    def test_the_anonymous_user_is_asked_to_sign_in(self, known: Registry) -> None:
        with pytest.raises(NotSignedIn):
            access_to_table(ISSUES, NOBODY, known)

    def test_a_policy_may_let_the_anonymous_user_in(self, known: Registry, ann: User) -> None:
        table = TableName("public", "demo_comment")
        guest, signed_in = (access_to_table(table, user, known) for user in (NOBODY, ann))
        assert guest.where == "(\"author\" = 'guest')"
        assert (guest.user, guest.is_public) == (None, False)
        assert signed_in.where == "(\"author\" = 'ann')"

    def test_what_is_public_is_the_same_for_everybody(self, known: Registry, ann: User) -> None:
        table = TableName("public", "demo_project")
        access = access_to_table(table, ann, known)
        assert access.is_public
        assert access == access_to_table(table, NOBODY, known)

    def test_none_refuses(self, known: Registry, ann: User) -> None:
        ann.is_active = False
        with pytest.raises(Refused):
            access_to_table(ISSUES, ann, known)

    def test_a_model_whose_table_is_not_there_is_in_nobodys_way(
        self, known: Registry, ann: User
    ) -> None:
        known.add_policy(Missing, Mine)
        assert access_to_table(ISSUES, ann, known).table == ISSUES
        with pytest.raises(Refused):
            access_to_table(TableName("public", "demo_issue_missing"), ann, known)

    def test_a_policy_may_read_other_tables(self, ann: User) -> None:
        class OfProject(ShapePolicy):
            def rows(self, user: Any) -> Any:
                return Issue.objects.filter(project__in=Project.objects.filter(key="A"))

        known = Registry()
        known.add_policy(Issue, OfProject)
        select = """SELECT U0."id" FROM "public"."demo_project" U0 WHERE U0."key" = 'A'"""
        assert access_to_table(ISSUES, ann, known).where == f'("project_id" IN ({select}))'

    def test_a_queryset_that_is_no_shape_is_an_error(self, ann: User) -> None:
        class Joined(ShapePolicy):
            def rows(self, user: Any) -> Any:
                return Issue.objects.filter(comments__author="Ann")

        known = Registry()
        known.add_policy(Issue, Joined)
        with pytest.raises(UnsupportedQuerySet, match="comments__author"):
            access_to_table(ISSUES, ann, known)

    def test_a_lookup_through_a_foreign_key_is_a_subquery(self, ann: User) -> None:
        class OfProject(ShapePolicy):
            def rows(self, user: Any) -> Any:
                return Issue.objects.filter(project__key="A")

        known = Registry()
        known.add_policy(Issue, OfProject)
        select = """SELECT U0."id" FROM "public"."demo_project" U0 WHERE U0."key" = 'A'"""
        assert access_to_table(ISSUES, ann, known).where == f'("project_id" IN ({select}))'


class TestDeclaredShapes:
    def test_they_are_narrowed_by_the_policy_of_the_model(self, known: Registry, ann: User) -> None:
        shape = Shape(Issue.objects.filter(status="done").only("title", "description"))
        access = access_to_shape(shape, ann, known)
        assert access.where == "(\"status\" = 'done') AND (\"assignee\" = 'ann')"
        assert access.columns == ("id", "title")
        with pytest.raises(NotSignedIn):
            access_to_shape(shape, NOBODY, known)

    def test_their_own_policy_comes_first(self, known: Registry, ann: User) -> None:
        shape = Shape(Issue, policy=ModelPermissionPolicy)
        with pytest.raises(Refused):
            access_to_shape(shape, ann, known)
        ann.user_permissions.add(Permission.objects.get(codename="view_issue"))
        access = access_to_shape(shape, User.objects.get(pk=ann.pk), known)
        assert access.where is None

    def test_a_public_one_has_no_policy(self, known: Registry, ann: User) -> None:
        shape = Shape(Issue.objects.filter(status="done"), public=True)
        access = access_to_shape(shape, NOBODY, known)
        assert access == access_to_shape(shape, ann, known)
        assert access.is_public
        with pytest.raises(ValueError, match="one of public and policy"):
            Shape(Issue, public=True, policy=Mine)

    def test_without_any_policy_nobody_may_read_them(self, ann: User) -> None:
        with pytest.raises(Refused):
            access_to_shape(Shape(Issue), ann, Registry())

    def test_what_no_shape_can_be_is_refused_when_it_is_declared(self) -> None:
        with pytest.raises(UnsupportedQuerySet, match="a slice"):
            Shape(Issue.objects.all()[:3])


class TestReadyMadePolicies:
    def test_an_owner_reads_the_own_rows(self, ann: User) -> None:
        class ByProject(OwnerPolicy):
            field = "project"

        rows = ByProject(Issue).rows(ann)
        assert rows is not None
        assert access_of(rows).where == f'("project_id" = {ann.pk})'
        assert ByProject(Issue).rows(NOBODY) is None, "rows without an owner are nobody's"

    def test_the_permission_to_view_lets_all_be_read(self, ann: User) -> None:
        policy = ModelPermissionPolicy(Group)
        assert policy.rows(ann) is None
        assert policy.rows(NOBODY) is None
        ann.user_permissions.add(Permission.objects.get(codename="view_group"))
        rows = policy.rows(User.objects.get(pk=ann.pk))
        assert rows is not None
        assert access_of(rows).where is None

    def test_the_base_refuses(self, ann: User) -> None:
        assert ShapePolicy(Issue).rows(ann) is None
        assert ShapePolicy(Issue).columns(ann) is None


class TestRegistry:
    @pytest.fixture
    def module(self) -> ModuleType:
        module = ModuleType("app.shapes")
        vars(module).update(
            open_issues=Shape(Issue.objects.filter(status="todo")),
            named=Shape(Issue, name="all-of-them"),
            other=Issue,
        )
        return module

    def test_variables_give_shapes_their_names(self, module: ModuleType) -> None:
        known = Registry()
        known.add_module(module)
        assert set(known.shapes) == {"open-issues", "all-of-them"}
        assert not known.clashes

    def test_a_shape_that_is_imported_elsewhere_is_the_same(self, module: ModuleType) -> None:
        known = Registry()
        known.add_module(module)
        known.add_module(module)
        assert not known.clashes

    def test_a_name_is_given_once(self, module: ModuleType) -> None:
        known = Registry()
        known.add_module(module)
        known.add_shape("open-issues", Shape(Comment))
        ((name, first, second),) = known.clashes
        assert (name, first.model, second.model) == ("open-issues", Issue, Comment)
        assert known.shapes["open-issues"] is first

    def test_a_model_has_one_policy(self, known: Registry) -> None:
        known.add_policy(Issue, Mine)
        with pytest.raises(ImproperlyConfigured, match="has the policy Mine"):
            known.add_policy(Issue, Open)

    def test_models_are_those_with_a_policy_or_a_shape(self, module: ModuleType) -> None:
        known = Registry()
        known.add_module(module)
        known.add_policy(Comment, ForGuests)
        assert list(known.models()) == [Comment, Issue]

    def test_two_models_of_one_table_give_nobody_access(self, known: Registry, ann: User) -> None:
        known.add_policy(Owner, Mine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Owner._meta, "db_table", "demo_issue")
            with pytest.raises(Refused):
                access_to_table(ISSUES, ann, known)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(authority).failed == 0


WITHOUT_AUTH = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_electric"], DATABASES={}, ELECTRIC={"default": {}})
django.setup()
from django.http import HttpRequest
import django_electric.urls
from django_electric.authority import refusal, user_of
user = user_of(HttpRequest())
print(refusal(user).status, user.is_authenticated, user.has_perm("x"), user.pk)
"""


def test_a_project_need_not_have_users() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AUTH], capture_output=True, text=True, check=False
    )
    assert done.stdout == "401 False False None\n", done.stderr


def test_who_asks_in_a_project_without_users_is_nobody(rf: Any) -> None:
    request = rf.get("/")
    assert user_of(request).is_anonymous
    assert user_key(user_of(request)) is None
    assert authority.refusal(NOBODY).status == 401

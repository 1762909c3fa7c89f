"""System checks of declared shapes."""

from __future__ import annotations

import pytest
from django.contrib.postgres.search import SearchVector
from django.core.checks import CheckMessage
from django.db.models import Value
from django.db.models.functions import Concat
from django.db.models.lookups import Exact
from django.test import override_settings

from django_electric import checks
from django_electric.declared import Shape
from django_electric.policies import ModelPermissionPolicy
from django_electric.registry import Registry, registry
from django_electric.shape_checks import check_conditions, check_names, check_readers
from example_project.demo.models import Comment, Issue
from tests.support.orm import Owner

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db")


@pytest.fixture
def known() -> Registry:
    known = Registry()
    known.add_shape("fine", Shape(Issue, public=True))
    return known


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all("docs/reference/checks.md#" in (message.hint or "") for message in messages)
    return [message.id for message in messages]


def run(known: Registry) -> list[str | None]:
    found = [*check_names(None, known), *check_readers(None, known)]
    return ids([*found, *check_conditions(None, ["default"], known)])


def test_shapes_that_can_be_read_are_no_matter(known: Registry) -> None:
    known.add_policy(Comment, ModelPermissionPolicy)
    known.add_shape("comments", Shape(Comment))
    known.add_shape("mine", Shape(Issue, policy=ModelPermissionPolicy))
    assert run(known) == []


def test_a_name_that_is_given_twice(known: Registry) -> None:
    known.add_shape("fine", Shape(Comment, public=True))
    (error,) = check_names(None, known)
    assert error.id == "electric.E040"
    assert "<Shape of demo.Issue> and <Shape of demo.Comment>" in error.msg


@pytest.mark.parametrize("name", ["a b", "a/b", "", "ä"])
def test_a_name_that_no_url_has(known: Registry, name: str) -> None:
    known.add_shape(name, Shape(Comment, public=True))
    assert run(known) == ["electric.E041"]


def test_a_shape_that_nobody_may_read(known: Registry) -> None:
    known.add_shape("comments", Shape(Comment))
    (warning,) = check_readers(None, known)
    assert warning.id == "electric.W042"
    assert "demo.Comment has no policy" in warning.msg


class TestConditions:
    def test_one_that_nobody_can_evaluate(self, known: Registry) -> None:
        searched = Shape(
            Issue.objects.filter(Exact(SearchVector("title"), Value("x"))), public=True
        )
        known.add_shape("searched", searched)
        (warning,) = check_conditions(None, ["default"], known)
        assert warning.id == "electric.W043"
        assert "to_tsvector" in warning.msg
        assert check_conditions(None, None, known) == [], "the database is not asked unbidden"

    def test_one_that_postgres_can(self, known: Registry) -> None:
        joined = Exact(Concat("title", "assignee"), Value("x"))
        known.add_shape("joined", Shape(Issue.objects.filter(joined), public=True))
        assert run(known) == []

    def test_a_table_that_is_not_there_yet(self, known: Registry) -> None:
        known.add_shape("owners", Shape(Owner, public=True))
        assert run(known) == []


@override_settings(ELECTRIC={"default": {}})
def test_a_project_with_policies_needs_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "policies", {})
    monkeypatch.setattr(registry, "shapes", {})
    assert ids(checks.check_access(None)) == ["electric.W002"]
    monkeypatch.setitem(registry.policies, Issue, ModelPermissionPolicy(Issue))
    assert checks.check_access(None) == []
    with override_settings(ELECTRIC={"default": {"SECRET": "s", "INSECURE": True}}):
        assert ids(checks.check_access(None)) == ["electric.W002"]

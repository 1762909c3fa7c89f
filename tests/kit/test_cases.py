"""ElectricTestMixin in the test cases of Django's."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.test import TestCase

from django_electric.errors import ConfigurationError
from django_electric.test import ElectricTestMixin, ElectricTransactionTestCase
from django_electric.test import cases as module
from example_project.demo.models import Project


class TestInTransaction(ElectricTestMixin, TestCase):
    """Each test's writes are undone, and so are its shapes."""

    projects: ClassVar[QuerySet[Project]] = Project.objects.all()

    @classmethod
    def setUpTestData(cls) -> None:
        Project.objects.create(pk=1, name="Atlas", key="ATL", color="#6366f1")

    def test_a_shape_equals_a_queryset(self) -> None:
        shape = self.assertShapeEquals({"table": "demo_project"}, self.projects.all())
        Project.objects.create(pk=2, name="Borealis", key="BOR", color="#6366f1")
        self.assertShapeEquals(shape, self.projects.all())
        assert len(shape.rows) == 2

    def test_the_test_before_left_nothing(self) -> None:
        shape = self.electric.client().shape(table="demo_project")
        assert [row["id"] for row in shape.rows] == ["1"]

    def test_the_cases_own_client_is_answered_too(self) -> None:
        answer = self.client.get("/v1/shape", {"table": "demo_project", "offset": "-1"})
        assert answer.headers["electric-offset"] == "0_0"

    def test_a_shape_is_refused(self) -> None:
        assert self.assertShapeRefused({"table": "nowhere"}).status == 400

    async def test_a_coroutine(self) -> None:
        alice = await User.objects.acreate(username="alice")
        shape = await self.electric.async_client(alice).shape(table="demo_project")
        await Project.objects.filter(pk=1).aupdate(name="renamed")
        (message, _) = await shape.sync()
        assert message["value"] == {"id": "1", "name": "renamed"}


class TestWithCommits(ElectricTransactionTestCase):
    def test_a_shape_equals_a_queryset(self) -> None:
        shape = self.assertShapeEquals({"table": "demo_project"}, Project.objects.all())
        for n in (1, 2):
            Project.objects.create(pk=n, name="Atlas", key=f"A{n}", color="#6366f1")
        self.assertShapeEquals(shape, Project.objects.all())
        lsns = [message["headers"]["lsn"] for message in shape.changes]
        assert len(set(lsns)) == 2

    async def test_a_coroutine(self) -> None:
        shape = await self.electric.async_client().shape(table="demo_project")
        await Project.objects.acreate(pk=1, name="Atlas", key="ATL", color="#6366f1")
        await shape.sync()
        assert [row["id"] for row in shape.rows] == ["1"]


def test_without_logical_replication_a_test_is_skipped_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(alias: str) -> Any:
        raise ConfigurationError("wal_level is replica")

    class Case(ElectricTestMixin, unittest.TestCase):
        def test(self) -> None:
            raise AssertionError("it has run")

    monkeypatch.setattr(module, "sandbox", refuse)
    result = Case("test").run()
    assert result is not None
    assert [reason for _, reason in result.skipped] == ["wal_level is replica"]

"""What the tests of the example project share."""

from __future__ import annotations

import pytest

from example_project.demo.models import Project


@pytest.fixture
def project(postgres_cluster: object, db: None) -> Project:
    """A project to hang issues on."""
    return Project.objects.create(name="Atlas", key="ATL", color="#6366f1")

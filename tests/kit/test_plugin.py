"""The fixtures in the pytest runs of other projects."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from example_project.embedded_postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]

_INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
_QUICK = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:schemathesis",
    "-p",
    "no:hypothesispytest",
    "-p",
    "no:xdist",
)
_OURS = ("DJANGO_", "ELECTRIC_", "PYTEST_", "DATABASE_URL")


def run_pytest(
    place: Path, suite: str, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The outcome of pytest in a project that has nothing but *suite*."""
    (place / "pytest.ini").write_text(_INI)
    (place / "test_suite.py").write_text(suite)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *_QUICK, *options],
        cwd=place,
        env={**inherited, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pytest_finds_the_fixtures_by_itself(pytestconfig: pytest.Config) -> None:
    (found,) = (
        plugin
        for plugin, distribution in pytestconfig.pluginmanager.list_plugin_distinfo()
        if distribution.project_name == "django-electric-sync"
    )
    assert found.__name__ == "django_electric.test.plugin"


_WITHOUT_DJANGO = """
import sys

def test_nothing_is_imported():
    ours = {name for name in sys.modules if name.startswith("django_electric")}
    assert ours == {
        "django_electric", "django_electric.errors", "django_electric.test", "django_electric.test.plugin"
    }
    assert "django" not in sys.modules
"""


def test_a_project_without_django_does_not_notice(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, _WITHOUT_DJANGO, "-p", "no:django")
    assert done.returncode == 0, done.stdout + done.stderr


_WITHOUT_SETTINGS = """
def test_this():
    pass

def test_that(electric):
    pass
"""


def test_where_django_is_not_configured_only_what_uses_a_fixture_fails(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, _WITHOUT_SETTINGS, "-rs")
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "no Django settings" in done.stdout


_SUITE = """
from django.contrib.auth.models import Group
from django.db import connection

def test_captured(electric, electric_client):
    shape = electric_client.shape(table="auth_group")
    assert connection.in_atomic_block
    Group.objects.create(name="captured")
    electric.assert_shape_equals(shape, Group.objects.all())

async def test_captured_in_a_coroutine(electric):
    shape = await electric.async_client().shape(table="auth_group")
    await Group.objects.acreate(name="captured, too")
    await shape.sync()
    assert [row["name"] for row in shape.rows] == ["captured, too"]

def test_with_commits(electric, transactional_db):
    shape = electric.client().shape(table="auth_group")
    assert not connection.in_atomic_block
    Group.objects.create(name="committed")
    electric.assert_shape_equals(shape, Group.objects.all())

def test_live(electric_live, electric_client):
    assert electric_client.shape(table="auth_group").rows == []
"""


@pytest.mark.slow
def test_a_projects_suite_runs_again_on_the_database_that_it_kept(
    tmp_path: Path, postgres_cluster: Cluster
) -> None:
    name = f"kit_{os.getpid()}"
    env = {
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "DATABASE_URL": postgres_cluster.url(name),
        "ELECTRIC_INSECURE": "true",
        "ELECTRIC_STORAGE_DIR": str(tmp_path / "storage"),
    }
    for _ in range(2):
        done = run_pytest(tmp_path, _SUITE, "--reuse-db", env=env)
        assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "storage").exists()

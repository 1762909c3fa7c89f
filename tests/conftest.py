"""Fixtures that several test packages use; the private Postgres is ``example_project.pytest_postgres``'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import psycopg
import pytest

from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer

_POSTGRES_FIXTURES = {"postgres_cluster", "pg", "server", "electric_server", "fresh_server"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a Postgres fixture is marked so by that."""
    for item in items:
        if _POSTGRES_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("postgres")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    postgres_cluster: object, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """The private Postgres runs before Django makes its test database in it, one for each process."""


@pytest.fixture(scope="session")
def pg(postgres_cluster: Cluster) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A plain connection in autocommit mode."""
    with psycopg.connect(postgres_cluster.dsn("app"), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def electric_server(postgres_cluster: Cluster) -> Iterator[Callable[..., ElectricServer]]:
    """``electric_server(env, before_start=…)``: a running server for this environment, made once a session."""
    running: dict[tuple[object, ...], ElectricServer] = {}
    with ExitStack() as stack:

        def start(
            env: Mapping[str, str] | None = None, before_start: tuple[str, ...] = ()
        ) -> ElectricServer:
            key = (tuple(sorted((env or {}).items())), before_start)
            if key not in running:
                running[key] = stack.enter_context(
                    ElectricServer(postgres_cluster, env, before_start=before_start)
                )
            return running[key]

        yield start


@pytest.fixture(scope="session")
def server(electric_server: Callable[..., ElectricServer]) -> ElectricServer:
    """The server that most tests share: open mode, DELETE allowed."""
    return electric_server({"ELECTRIC_ENABLE_INTEGRATION_TESTING": "true"})


@pytest.fixture
def fresh_server(postgres_cluster: Cluster) -> Iterator[Callable[..., ElectricServer]]:
    """Servers of this test alone, to be killed and mistreated."""
    with ExitStack() as stack:

        def start(env: Mapping[str, str] | None = None, **options: object) -> ElectricServer:
            return stack.enter_context(ElectricServer(postgres_cluster, env, **options))  # type: ignore[arg-type]

        yield start

"""docker-compose.yaml says what the code reads: its services, their order, their environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from django_electric.conf import SETTINGS

ROOT = Path(__file__).resolve().parent.parent

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    text = (ROOT / "docker-compose.yaml").read_text()
    found: dict[str, Service] = yaml.safe_load(text)["services"]
    return found


def known_variables() -> set[str]:
    """Every variable that the package or the example project's settings read."""
    settings = (ROOT / "example_project" / "settings.py").read_text()
    read_by_project = set(re.findall(r'"((?:DJANGO|DATABASE)_[A-Z_]+)"', settings))
    return {setting.env for setting in SETTINGS} | read_by_project


def test_there_are_postgres_migrate_worker_and_web(services: dict[str, Service]) -> None:
    assert set(services) == {"postgres", "migrate", "worker", "web"}


@pytest.mark.parametrize("name", ["migrate", "worker", "web"])
def test_every_variable_of_a_service_is_read_by_somebody(
    services: dict[str, Service], name: str
) -> None:
    assert set(services[name]["environment"]) <= known_variables()


def test_postgres_is_told_only_its_own_variables(services: dict[str, Service]) -> None:
    assert all(name.startswith("POSTGRES_") for name in services["postgres"]["environment"])


def test_an_electric_variable_that_nobody_reads_would_be_noticed() -> None:
    assert "ELECTRIC_STORAGE_DIR" in known_variables()
    assert "DATABASE_URL" in known_variables()
    assert "ELECTRIC_STORAGE_DIRECTORY" not in known_variables()


def test_the_values_of_the_environment_are_ones_that_the_settings_accept(
    services: dict[str, Service],
) -> None:
    given = {name: as_by_default(value) for name, value in services["web"]["environment"].items()}
    for setting in SETTINGS:
        if given.get(setting.env):
            setting.read(given[setting.env])


def as_by_default(value: str) -> str:
    """A value as compose fills it in where nothing is set: ``${NAME:-default}`` is the default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_worker_and_web_have_the_same_environment(services: dict[str, Service]) -> None:
    assert services["worker"]["environment"] == services["web"]["environment"]


def test_worker_and_web_see_the_same_logs(services: dict[str, Service]) -> None:
    storage = services["web"]["environment"]["ELECTRIC_STORAGE_DIR"]
    assert f"electric:{storage}" in services["worker"]["volumes"]
    assert f"electric:{storage}" in services["web"]["volumes"]


def test_postgres_writes_a_wal_that_can_be_decoded(services: dict[str, Service]) -> None:
    assert "wal_level=logical" in services["postgres"]["command"]


def test_each_service_waits_for_the_one_it_needs(services: dict[str, Service]) -> None:
    waits = {name: service.get("depends_on", {}) for name, service in services.items()}
    assert waits == {
        "postgres": {},
        "migrate": {"postgres": {"condition": "service_healthy"}},
        "worker": {"migrate": {"condition": "service_completed_successfully"}},
        "web": {"migrate": {"condition": "service_completed_successfully"}},
    }


@pytest.mark.parametrize("name", ["postgres", "web"])
def test_a_service_that_others_wait_for_says_whether_it_is_healthy(
    services: dict[str, Service], name: str
) -> None:
    assert services[name]["healthcheck"]["test"]


def test_the_commands_of_the_services_exist(services: dict[str, Service]) -> None:
    command = services["worker"]["command"][-1]
    assert find_spec(f"django_electric.management.commands.{command}")
    assert "example_project.asgi:application" in services["web"]["command"]


def test_every_named_volume_is_declared() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    assert set(used_volumes(compose["services"])) == set(compose["volumes"])


def used_volumes(services: dict[str, Service]) -> Iterator[str]:
    for service in services.values():
        for volume in service.get("volumes", []):
            yield volume.partition(":")[0]


def test_the_image_copies_only_files_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    lines = compose["x-image"]["build"]["dockerfile_inline"].splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert copied
    # The package may be installed instead of lying here.
    missing = {name for name in copied if not (ROOT / name).exists()}
    assert missing <= {"django_electric"}

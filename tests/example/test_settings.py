"""The settings of the example project: the environment in, Django's names out."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import example_project

SETTINGS = Path(example_project.__file__).with_name("settings.py")
DATABASE_URL = "postgres://someone:secret@db.example:5433/app"

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """``load(NAME=value, …)``: the settings for exactly this environment."""

    def load(**environment: str) -> dict[str, Any]:
        for name in list(os.environ):
            if name.startswith(("ELECTRIC_", "DJANGO_", "DATABASE_URL")):
                monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(SETTINGS))

    return load


def test_missing_database_url_is_named_with_an_example(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL is not set: .*postgres://"):
        load()


def test_database_other_than_postgres_is_refused(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match="must name a PostgreSQL database"):
        load(DATABASE_URL="sqlite:////tmp/db.sqlite3")


def test_database_url_becomes_the_default_database(load: Load) -> None:
    database = load(DATABASE_URL=DATABASE_URL)["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", 5433, "app")


def test_socket_directory_in_the_url_reaches_the_driver(load: Load) -> None:
    database = load(DATABASE_URL="postgres://postgres@/app?host=/run/pg")["DATABASES"]["default"]
    assert database["OPTIONS"] == {"host": "/run/pg"}


def test_electric_variables_become_the_electric_setting(load: Load) -> None:
    settings = load(
        DATABASE_URL=DATABASE_URL,
        ELECTRIC_STORAGE_DIR="/srv/electric",
        ELECTRIC_SECRET="s3cret",
        ELECTRIC_LONG_POLL_TIMEOUT="2000",
    )
    electric = settings["ELECTRIC"]["default"]
    assert electric["STORAGE_DIR"] == "/srv/electric"
    assert electric["SECRET"] == "s3cret"
    assert electric["LONG_POLL_TIMEOUT"] == "2000"
    assert "INSECURE" not in electric


def test_storage_directory_lies_in_the_project_unless_it_is_given(load: Load) -> None:
    settings = load(DATABASE_URL=DATABASE_URL)
    assert (
        settings["ELECTRIC"]["default"]["STORAGE_DIR"]
        == SETTINGS.parent.parent / "electric-storage"
    )


def test_given_secret_key_wins(load: Load) -> None:
    settings = load(DATABASE_URL=DATABASE_URL, DJANGO_SECRET_KEY="given", ELECTRIC_INSECURE="true")
    assert settings["SECRET_KEY"] == "given"


@pytest.mark.parametrize("mode", ["ELECTRIC_INSECURE", "DJANGO_DEBUG"])
def test_development_has_a_fixed_insecure_key(load: Load, mode: str) -> None:
    assert load(DATABASE_URL=DATABASE_URL, **{mode: "true"})["SECRET_KEY"].startswith("insecure-")


def test_secret_key_derived_from_the_electric_secret_is_the_same_in_every_process(
    load: Load,
) -> None:
    keys = {load(DATABASE_URL=DATABASE_URL, ELECTRIC_SECRET="one")["SECRET_KEY"] for _ in range(2)}
    other = load(DATABASE_URL=DATABASE_URL, ELECTRIC_SECRET="two")["SECRET_KEY"]
    assert len(keys) == 1
    assert other not in keys
    assert not other.startswith("insecure-")


def test_without_any_secret_the_key_cannot_be_guessed(load: Load) -> None:
    keys = {load(DATABASE_URL=DATABASE_URL)["SECRET_KEY"] for _ in range(2)}
    assert len(keys) == 2


def test_other_hosts_are_refused_unless_the_server_is_open_or_they_are_named(load: Load) -> None:
    local = ["localhost", "127.0.0.1", "[::1]"]
    assert load(DATABASE_URL=DATABASE_URL, ELECTRIC_SECRET="s")["ALLOWED_HOSTS"] == local
    assert load(DATABASE_URL=DATABASE_URL, ELECTRIC_INSECURE="true")["ALLOWED_HOSTS"] == [
        *local,
        "*",
    ]
    given = load(DATABASE_URL=DATABASE_URL, DJANGO_ALLOWED_HOSTS="a.example,b.example")
    assert given["ALLOWED_HOSTS"] == ["a.example", "b.example"]


def test_debug_is_off_unless_it_is_asked_for(load: Load) -> None:
    assert load(DATABASE_URL=DATABASE_URL)["DEBUG"] is False
    assert load(DATABASE_URL=DATABASE_URL, DJANGO_DEBUG="true")["DEBUG"] is True


def test_daphne_comes_first_so_that_runserver_speaks_asgi(load: Load) -> None:
    settings = load(DATABASE_URL=DATABASE_URL)
    assert settings["INSTALLED_APPS"][0] == "daphne"
    assert settings["ASGI_APPLICATION"] == "example_project.asgi.application"

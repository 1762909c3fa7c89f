"""The ELECTRIC setting: read, refused, forgotten when it changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_electric import conf
from django_electric.conf import (
    AdmissionLimits,
    ElectricSettings,
    electric_settings,
    from_environment,
)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Another test may have asked already."""
    electric_settings.cache_clear()
    yield
    electric_settings.cache_clear()


def read(alias: str = "default", **values: Any) -> ElectricSettings:
    with override_settings(ELECTRIC={alias: values}):
        return electric_settings(alias)


def problems(value: object, alias: str = "default") -> list[str]:
    with override_settings(ELECTRIC=value):
        return list(conf.problems(alias))


def test_without_anything_everything_has_its_default() -> None:
    settings = read()
    assert settings.storage_dir == Path("electric-storage").absolute()
    assert settings.replication_stream_id == "default"
    assert settings.secret is None
    assert not settings.insecure
    assert settings.max_concurrent_requests == AdmissionLimits(300, 10_000)
    assert not settings.is_open


def test_every_setting_is_a_field_and_every_field_a_setting() -> None:
    names = {setting.name.lower() for setting in conf.SETTINGS}
    assert names == {field.name for field in fields(ElectricSettings)} - {"alias"}
    assert len(names) == len(conf.SETTINGS) == len({s.env for s in conf.SETTINGS})


def test_names_follow_from_the_stream() -> None:
    settings = read(REPLICATION_STREAM_ID="Shop", STORAGE_DIR="/data")
    assert settings.slot_name == "electric_slot_shop"
    assert settings.publication_name == "electric_publication_shop"
    assert settings.root == Path("/data/shop")


def test_the_longest_stream_has_names_that_postgres_can_hold() -> None:
    settings = read(REPLICATION_STREAM_ID="x" * 40)
    assert len(settings.publication_name) <= 63


@pytest.mark.parametrize(
    ("secret", "insecure", "is_open"),
    [
        (None, False, False),
        ("s", False, True),
        (None, True, True),
        ("s", True, False),
        (" ", True, True),
    ],
)
def test_exactly_one_of_secret_and_insecure_opens_the_door(
    secret: str | None, insecure: bool, is_open: bool
) -> None:
    assert read(SECRET=secret, INSECURE=insecure).is_open is is_open


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("STORAGE_DIR", "~/logs", Path("~/logs").expanduser()),
        ("STORAGE_DIR", Path("/a"), Path("/a")),
        ("SECRET", "  abc ", "abc"),
        ("SECRET", "", None),
        ("INSECURE", "TRUE", True),
        ("INSECURE", "on", True),
        ("INSECURE", 1, True),
        ("INSECURE", True, True),
        ("INSECURE", "", False),
        ("INSECURE", "no", False),
        ("LONG_POLL_TIMEOUT", 20_000, 20_000),
        ("LONG_POLL_TIMEOUT", "250", 250),
        ("LONG_POLL_TIMEOUT", "250ms", 250),
        ("LONG_POLL_TIMEOUT", "1.5 s", 1500),
        ("LONG_POLL_TIMEOUT", "20sec", 20_000),
        ("LONG_POLL_TIMEOUT", "2min", 120_000),
        ("LONG_POLL_TIMEOUT", "2M", 120_000),
        ("SHAPE_CHUNK_BYTES_THRESHOLD", "10", 10),
        ("CACHE_MAX_AGE", 0, 0),
        ("MAX_SHAPES", "1000", 1000),
        ("MAX_SHAPES", "", None),
        ("MAX_SHAPES", None, None),
        ("CACHE_STALE_AGE", "0", 0),
        ("MAX_CONCURRENT_REQUESTS", '{"initial": 1, "existing": 2}', AdmissionLimits(1, 2)),
        ("MAX_CONCURRENT_REQUESTS", {"initial": 1, "existing": "2"}, AdmissionLimits(1, 2)),
        ("MAX_CONCURRENT_REQUESTS", AdmissionLimits(3, 4), AdmissionLimits(3, 4)),
        ("REPLICATION_STREAM_ID", "A_1", "a_1"),
        ("WAKEUP", "Notify ", "notify"),
        ("WAKEUP", "channels", "channels"),
        ("CHANNEL_LAYER", " wakeups ", "wakeups"),
        ("GATEKEEPER_KEYS", None, ()),
        ("GATEKEEPER_KEYS", "new, old,", ("new", "old")),
        ("GATEKEEPER_KEYS", ["new", "old"], ("new", "old")),
        (
            "GATEKEEPER_KEYS",
            "-----BEGIN KEY-----\\nx\\n-----END KEY-----\\n",
            ("-----BEGIN KEY-----\nx\n-----END KEY-----",),
        ),
        ("TOKEN_TTL", "10min", 600_000),
        ("AUTHORIZE", "app.access.authorize", "app.access.authorize"),
        ("AUTHORIZE", "", None),
    ],
)
def test_values_are_read_as_python_or_as_text(key: str, given: object, value: object) -> None:
    assert getattr(read(**{key: given}), key.lower()) == value


@pytest.mark.parametrize(
    ("key", "given", "remedy"),
    [
        ("STORAGE_DIR", "", "must name a directory"),
        ("STORAGE_DIR", None, "must name a directory"),
        ("INSECURE", "maybe", "must be true or false"),
        ("INSECURE", None, "must be true or false"),
        ("LONG_POLL_TIMEOUT", "soon", "must be a duration"),
        ("LONG_POLL_TIMEOUT", "0", "must be a duration"),
        ("LONG_POLL_TIMEOUT", "-5", "must be a duration"),
        ("LONG_POLL_TIMEOUT", "5h", "must be a duration"),
        ("CACHE_MAX_AGE", -1, "0 or more"),
        ("MAX_SHAPES", 0, "greater than 0"),
        ("CACHE_STALE_AGE", "-5", "0 or more"),
        ("CACHE_MAX_AGE", "many", ""),
        ("CACHE_MAX_AGE", None, ""),
        ("MAX_CONCURRENT_REQUESTS", "{", ""),
        ("MAX_CONCURRENT_REQUESTS", "3", "both keys"),
        ("MAX_CONCURRENT_REQUESTS", {"initial": 1}, "both keys"),
        ("MAX_CONCURRENT_REQUESTS", {"initial": 1, "existing": 0}, "greater than 0"),
        ("REPLICATION_STREAM_ID", "", "unquoted identifier"),
        ("REPLICATION_STREAM_ID", "a-b", "unquoted identifier"),
        ("REPLICATION_STREAM_ID", "../x", "unquoted identifier"),
        ("REPLICATION_STREAM_ID", "x" * 41, "unquoted identifier"),
        ("WAKEUP", "redis", "must be one of socket, notify, channels"),
        ("WAKEUP", None, "must be one of socket, notify, channels"),
        ("CHANNEL_LAYER", " ", "must name one of CHANNEL_LAYERS"),
        ("CHANNEL_LAYER", None, "must name one of CHANNEL_LAYERS"),
        ("GATEKEEPER_KEYS", {"a": 1}, "must be a list of keys"),
        ("GATEKEEPER_KEYS", [1], "must be a list of keys"),
        ("TOKEN_TTL", 0, "must be a duration"),
        ("AUTHORIZE", "authorize", "must be the dotted path"),
        ("AUTHORIZE", "app/access.py:authorize", "must be the dotted path"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_variable_and_its_remedy(
    key: str, given: object, remedy: str
) -> None:
    (problem,) = problems({"default": {key: given}})
    env = next(s.env for s in conf.SETTINGS if s.name == key)
    assert problem.startswith(f'ELECTRIC["default"]["{key}"] ({env}) ')
    assert remedy in problem
    with (
        override_settings(ELECTRIC={"default": {key: given}}),
        pytest.raises(ImproperlyConfigured, match=key),
    ):
        electric_settings()


def test_all_mistakes_are_told_at_once() -> None:
    found = problems({"default": {"CACHE_MAX_AGE": -1, "INSECURE": "x", "TYPO": 1}})
    assert len(found) == 3


def test_a_key_that_does_not_exist_is_refused_and_the_others_are_named() -> None:
    (problem,) = problems({"default": {"SECRT": "x"}})
    assert '["SECRT"] is not a setting' in problem
    assert "SECRET, " in problem


@pytest.mark.parametrize("value", [{}, None, {"other": {}}, "x", 3])
def test_a_setting_that_is_missing_is_refused_with_an_example(value: object) -> None:
    (problem,) = problems(value)
    assert 'add ELECTRIC = {"default": {…}}' in problem


@pytest.mark.parametrize("value", [None, "x", 3, ["SECRET"]])
def test_an_alias_that_holds_no_dictionary_is_a_problem_and_no_traceback(value: object) -> None:
    assert len(problems({"default": value})) == 1


def test_each_alias_has_settings_of_its_own() -> None:
    with override_settings(ELECTRIC={"default": {"SECRET": "a"}, "other": {"SECRET": "b"}}):
        assert electric_settings().secret == "a"
        assert electric_settings("other").secret == "b"
        assert electric_settings("other").alias == "other"
        with pytest.raises(ImproperlyConfigured, match='ELECTRIC\\["third"\\] is missing'):
            electric_settings("third")


def test_settings_are_remembered_until_they_change() -> None:
    with override_settings(ELECTRIC={"default": {"SECRET": "a"}}):
        assert electric_settings() is electric_settings()
        with override_settings(ELECTRIC={"default": {"SECRET": "b"}}):
            assert electric_settings().secret == "b"
        with override_settings(USE_TZ=True):
            assert electric_settings().secret == "a"


def test_variables_that_are_empty_count_as_left_out() -> None:
    environ = {
        "ELECTRIC_SECRET": "s",
        "ELECTRIC_INSECURE": " ",
        "ELECTRIC_DB_POOL_SIZE": "4",
        "OTHER": "x",
    }
    assert from_environment(environ) == {"SECRET": "s", "SNAPSHOT_CONNECTIONS": "4"}


def test_a_settings_file_may_import_the_module() -> None:
    """Before Django is configured."""
    code = (
        "from django_electric import conf; print(conf.from_environment({'ELECTRIC_SECRET': 'x'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""},
        cwd=Path(conf.__file__).parents[1],
    )  # fmt: skip
    assert result.stdout.strip() == "{'SECRET': 'x'}"

"""System checks: `manage.py check` says what is wrong before the worker does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from django_electric import checks

FINE = {"default": {"INSECURE": True}}


def ids(*messages: list[django_checks.CheckMessage]) -> list[str | None]:
    return [message.id for found in messages for message in found]


def run() -> list[str | None]:
    return ids(checks.check_settings(None), checks.check_access(None), checks.check_database(None))


@override_settings(ELECTRIC=FINE)
def test_a_project_that_is_set_up_hears_nothing() -> None:
    assert run() == []


@override_settings(ELECTRIC={"default": {"INSECURE": "maybe", "TYPO": 1}})
def test_every_mistake_in_the_setting_is_an_error_and_nothing_else_is_looked_at() -> None:
    assert run() == ["electric.E001"] * 2


@pytest.mark.parametrize(
    ("values", "which"),
    [({}, "neither"), ({"SECRET": "s", "INSECURE": True}, "both")],
)
def test_a_door_that_nobody_can_open_is_a_warning(values: dict[str, object], which: str) -> None:
    with override_settings(ELECTRIC={"default": values}):
        (warning,) = checks.check_access(None)
    assert warning.id == "electric.W002"
    assert which in warning.msg
    assert warning.level == django_checks.WARNING


@override_settings(ELECTRIC=FINE)
def test_another_database_than_postgres_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "connections", {"default": SimpleNamespace(vendor="sqlite")})
    (error,) = checks.check_database(None)
    assert error.id == "electric.E004"
    assert "sqlite" in error.msg


def test_every_message_has_a_hint_that_points_to_its_heading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "connections", {"default": SimpleNamespace(vendor="mysql")})
    with override_settings(ELECTRIC={"default": {}}):
        found = [*checks.check_access(None), *checks.check_database(None)]
    with override_settings(ELECTRIC={}):
        found += checks.check_settings(None)
    assert len(found) == 3
    for message in found:
        assert message.hint is not None
        assert message.hint.endswith(f"docs/reference/checks.md#{(message.id or '').lower()}.")


def test_the_checks_are_registered_under_a_tag_of_their_own() -> None:
    registered = {
        check for check in django_checks.registry.registry.get_checks()
        if "electric" in check.tags  # type: ignore[attr-defined]  # set by Django
    }  # fmt: skip
    assert registered == {
        checks.check_settings,
        checks.check_access,
        checks.check_database,
        checks.check_wakeup,
    }


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ("example_project.asgi.application", []),
        ("benchmarks.plain_app.application", ["electric.W005"]),
        (None, []),
    ],
)
def test_an_application_in_which_clients_hold_threads_is_a_warning(
    application: str | None, expected: list[str]
) -> None:
    with override_settings(ASGI_APPLICATION=application):
        assert ids(checks.check_serving(None)) == expected


MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


@pytest.mark.parametrize(
    ("wakeup", "layers", "expected"),
    [
        ("socket", {}, []),
        ("notify", {}, []),
        ("channels", {"wakeups": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}, []),
        ("channels", {"wakeups": MEMORY}, ["electric.W007"]),
        ("channels", {"other": MEMORY}, ["electric.E006"]),
        ("channels", {"wakeups": {"BACKEND": "nowhere.Layer"}}, ["electric.E006"]),
        ("channels", {"wakeups": {**MEMORY, "CONFIG": {"expiry": 1, "x": 2}}}, ["electric.E006"]),
    ],
)
def test_the_channel_layer_that_wakes_must_be_there_and_reach_others(
    wakeup: str, layers: dict[str, object], expected: list[str]
) -> None:
    values = {"INSECURE": True, "WAKEUP": wakeup, "CHANNEL_LAYER": "wakeups"}
    with override_settings(ELECTRIC={"default": values}, CHANNEL_LAYERS=layers):
        found = checks.check_wakeup(None)
    assert ids(found) == expected
    assert all("'wakeups'" in message.msg for message in found)

"""System checks: `manage.py check` says what is wrong before the worker does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core import checks as django_checks
from django.test import override_settings

from django_electric import checks
from django_electric.upkeep.facts import Facts
from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer
from tests.upkeep.world import FINE as FINE_FACTS
from tests.upkeep.world import FRESH, without_worker

FINE = {"default": {"INSECURE": True}}


@pytest.fixture(autouse=True)
def _declares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project without policies and declared shapes."""
    monkeypatch.setattr(checks, "registered_models", list)


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
        and check.__module__ == checks.__name__
    }  # fmt: skip
    assert registered == {
        checks.check_settings,
        checks.check_access,
        checks.check_database,
        checks.check_wakeup,
        checks.check_storage,
        checks.check_installation,
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


# --- How it is served ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asgi", "wsgi", "expected"),
    [
        (None, "project.wsgi.application", ["electric.W008"]),
        ("example_project.asgi.application", "project.wsgi.application", []),
        (None, None, []),
    ],
)
def test_settings_that_know_of_wsgi_alone_are_a_warning(
    asgi: str | None, wsgi: str | None, expected: list[str]
) -> None:
    with override_settings(ASGI_APPLICATION=asgi, WSGI_APPLICATION=wsgi):
        assert ids(checks.check_interface(None)) == expected


def synchronous(get_response: object) -> object:
    """A middleware that says nothing of async."""
    return get_response


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ("benchmarks.plain_app.application", ["electric.W009"]),
        ("example_project.asgi.application", []),
    ],
)
def test_middleware_that_holds_a_thread_is_named_where_requests_wait_behind_it(
    application: str, expected: list[str]
) -> None:
    ours = f"{__name__}.synchronous"
    others = ["django.middleware.common.CommonMiddleware"]
    with override_settings(ASGI_APPLICATION=application, MIDDLEWARE=[*others, ours]):
        found = checks.check_middleware(None)
    assert ids(found) == expected
    assert all(ours in message.msg and "Common" not in message.msg for message in found)


def test_djangos_own_middleware_holds_nobody_and_what_is_not_there_is_not_ours_to_report() -> None:
    with override_settings(
        ASGI_APPLICATION="benchmarks.plain_app.application",
        MIDDLEWARE=[*settings.MIDDLEWARE, "nowhere.Middleware"],
    ):
        assert checks.check_middleware(None) == []


def test_a_storage_directory_that_cannot_be_written_to_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, expected in ((tmp_path / "new", []), (tmp_path / "file", ["electric.W010"])):
        with override_settings(ELECTRIC={"default": {"STORAGE_DIR": place, "INSECURE": True}}):
            assert ids(checks.check_storage(None)) == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"INSECURE": True}, "every table"),
        ({"SECRET": "sesame"}, "fewer than 16"),
        ({"SECRET": "s" * 16}, None),
        ({"INSECURE": "maybe"}, None),
    ],
)
def test_a_door_that_is_open_in_production_is_a_warning(
    values: dict[str, object], said: str | None
) -> None:
    with override_settings(ELECTRIC={"default": values}):
        found = checks.check_exposure(None)
    assert ids(found) == (["electric.W011"] if said else [])
    assert all(str(said) in message.msg for message in found)


# --- What the database says -------------------------------------------------------------------------


def installation(monkeypatch: pytest.MonkeyPatch, facts: Facts) -> list[str | None]:
    monkeypatch.setattr(checks, "examine", lambda _: facts)
    with override_settings(ELECTRIC=FINE):
        return ids(checks.check_installation(None, ["default"]))


def test_what_the_doctor_finds_is_a_warning_however_grave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "examine", lambda _: without_worker(FINE_FACTS))
    with override_settings(ELECTRIC=FINE):
        (message,) = checks.check_installation(None, ["default"])
    assert (message.id, message.level) == ("electric.W031", django_checks.WARNING)
    assert message.hint is not None
    assert message.hint.endswith("docs/reference/checks.md#electric.w031.")


def test_a_database_that_was_never_migrated_is_not_complained_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pending = replace(FRESH, pending_migrations=("django_electric.0001_initial",))
    assert installation(monkeypatch, pending) == []


def test_what_django_says_itself_and_what_is_only_a_note_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert installation(monkeypatch, replace(FINE_FACTS, unreachable="gone")) == []
    assert FINE_FACTS.server is not None
    unlimited = replace(FINE_FACTS.server, keep_size_mb=-1)
    assert installation(monkeypatch, replace(FINE_FACTS, server=unlimited)) == []


@pytest.mark.parametrize("databases", [None, [], ["other"]])
def test_the_database_is_asked_only_if_django_says_so(
    monkeypatch: pytest.MonkeyPatch, databases: list[str] | None
) -> None:
    monkeypatch.setattr(checks, "examine", None)
    with override_settings(ELECTRIC=FINE):
        assert checks.check_installation(None, databases) == []


def test_migrate_is_quiet_on_a_database_in_which_nothing_has_run(
    postgres_cluster: Cluster,
) -> None:
    fresh = ElectricServer(postgres_cluster)
    postgres_cluster.create_database(fresh.database)
    # It runs the checks of the database before it begins.
    assert "electric.W" not in fresh.manage("migrate", "--noinput")
    fresh.__exit__()

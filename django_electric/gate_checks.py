"""System checks of what opens the door beside the policies: secrets, the gatekeeper's keys, the hook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import iscoroutinefunction

from django.core import checks
from django.utils.module_loading import import_string

from django_electric import conf
from django_electric.errors import ConfigurationError
from django_electric.tokens import keyring
from django_electric.upkeep.findings import docs_hint


def register() -> None:
    """Make the check known to Django."""
    checks.register(check_gate, "electric")


def check_gate(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """Nothing, as long as the setting itself cannot be read."""
    if list(conf.problems()):
        return []
    electric = conf.electric_settings()
    return [*_check_secrets(electric), *_check_keys(electric), *_check_hook(electric)]


def _check_secrets(electric: conf.ElectricSettings) -> Iterator[checks.CheckMessage]:
    if electric.secret and electric.secret_previous == electric.secret:
        hint = "Leave SECRET_PREVIOUS out, or make it the secret that clients still use."
        yield checks.Warning(
            "SECRET_PREVIOUS is the same as SECRET: no other secret is accepted.",
            hint=docs_hint(hint, "electric.W050"),
            id="electric.W050",
        )


def _check_keys(electric: conf.ElectricSettings) -> Iterator[checks.CheckMessage]:
    if not electric.gatekeeper_keys:
        return
    try:
        keyring(electric.gatekeeper_keys, electric.replication_stream_id)
    except ConfigurationError as error:
        hint = docs_hint("Correct GATEKEEPER_KEYS in the ELECTRIC setting.", "electric.E051")
        yield checks.Error(error.message, hint=hint, id="electric.E051")


def _check_hook(electric: conf.ElectricSettings) -> Iterator[checks.CheckMessage]:
    if electric.authorize is None:
        return
    problem = None
    try:
        if not iscoroutinefunction(import_string(electric.authorize)):
            problem = "is not async"
    except ImportError as error:
        problem = f"cannot be imported: {error}"
    if problem:
        hint = docs_hint("Name an async def of your project, or leave it out.", "electric.E052")
        message = f"AUTHORIZE, {electric.authorize}, {problem}."
        yield checks.Error(message, hint=hint, id="electric.E052")

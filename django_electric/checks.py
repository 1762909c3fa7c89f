"""System checks; each has an id, a hint and a heading of that name in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.core import checks
from django.db import connections
from django.utils.module_loading import import_string

from django_electric import conf
from django_electric.wakeup.layer import layer_is_local
from django_electric.web.shapes_first import ShapesFirst

_DOCS = "See docs/reference/checks.md#{id}."


def register() -> None:
    """Make the checks known to Django."""
    checks.register(check_settings, "electric")
    checks.register(check_access, "electric")
    checks.register(check_database, "electric")
    checks.register(check_wakeup, "electric")
    checks.register(check_serving, "electric", deploy=True)


def _hint(text: str, identifier: str) -> str:
    return f"{text} {_DOCS.format(id=identifier.lower())}"


def check_settings(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.E001: the ELECTRIC setting can be read."""
    return [
        checks.Error(
            problem, hint=_hint("Correct the setting.", "electric.E001"), id="electric.E001"
        )
        for problem in conf.problems()
    ]


def check_access(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W002: nothing is served, since neither or both of secret and insecure are set."""
    if list(conf.problems()):
        return []
    electric = conf.electric_settings()
    if not electric.is_open:
        which = "both" if electric.secret else "neither"
        text = f"Nothing is served: {which} of SECRET and INSECURE are set in the ELECTRIC setting."
        hint = (
            "Set ELECTRIC_SECRET to a long random text, or ELECTRIC_INSECURE=true while developing."
        )
        return [checks.Warning(text, hint=_hint(hint, "electric.W002"), id="electric.W002")]
    return []


def check_database(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.E004: the database is Postgres."""
    vendor = connections[conf.ALIAS].vendor
    if vendor == "postgresql":
        return []
    hint = "Point DATABASES at PostgreSQL 14 or newer with wal_level=logical."
    return [
        checks.Error(
            f"django_electric replicates PostgreSQL; DATABASES['{conf.ALIAS}'] is {vendor}.",
            hint=_hint(hint, "electric.E004"),
            id="electric.E004",
        )
    ]


def check_serving(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W005: shape requests wait inside Django."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if name is None or isinstance(import_string(name), ShapesFirst):
        return []
    hint = "Wrap it: application = django_electric.asgi.shapes_first(application)."
    return [
        checks.Warning(
            f"{name} is not wrapped in shapes_first: every client that waits for news holds a thread.",
            hint=_hint(hint, "electric.W005"),
            id="electric.W005",
        )
    ]


def check_wakeup(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.E006: the channel layer that wakes is not there; electric.W007: it is in memory."""
    if list(conf.problems()) or conf.electric_settings().wakeup != "channels":
        return []
    name = conf.electric_settings().channel_layer
    try:
        is_local = layer_is_local(name)
    except Exception as error:  # whatever a layer raises when it is made
        hint = "Add the layer to CHANNEL_LAYERS, or choose another road with ELECTRIC_WAKEUP."
        return [
            checks.Error(
                f"The channel layer '{name}', which CHANNEL_LAYER names, cannot be used: {error}",
                hint=_hint(hint, "electric.E006"),
                id="electric.E006",
            )
        ]
    if not is_local:
        return []
    hint = (
        "Run the worker inside the only web process and silence this check, or take a layer that"
        " connects processes, such as that of channels_redis."
    )
    return [
        checks.Warning(
            f"The channel layer '{name}' is in memory: it wakes only requests in the worker's own process.",
            hint=_hint(hint, "electric.W007"),
            id="electric.W007",
        )
    ]

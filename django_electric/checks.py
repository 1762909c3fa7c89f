"""System checks; each has an id, a hint and a heading of that name in docs/reference/checks.md.

What needs the database is asked of it only where Django says so: by ``check --database`` and by ``migrate``.
It is what `electric_doctor` finds, as warnings: a database may be migrated before it replicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.conf import settings
from django.core import checks
from django.db import connections
from django.utils.module_loading import import_string

from django_electric import conf
from django_electric.registry import registered_models
from django_electric.upkeep.examine import examine, is_writable
from django_electric.upkeep.findings import Finding, docs_hint
from django_electric.upkeep.probes import findings
from django_electric.wakeup.layer import layer_is_local
from django_electric.web.shapes_first import ShapesFirst

_SHORTEST_SECRET = 16
"""Characters."""
_OF_THE_DOCTOR = {"electric.W020", "electric.W033"}
"""Django itself says that a database cannot be reached, and which migrations are not applied."""


def register() -> None:
    """Make the checks known to Django."""
    checks.register(check_settings, "electric")
    checks.register(check_access, "electric")
    checks.register(check_database, "electric")
    checks.register(check_wakeup, "electric")
    checks.register(check_storage, "electric")
    checks.register(check_installation, "electric", checks.Tags.database)
    checks.register(check_serving, "electric", deploy=True)
    checks.register(check_interface, "electric", deploy=True)
    checks.register(check_middleware, "electric", deploy=True)
    checks.register(check_exposure, "electric", deploy=True)


def check_settings(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.E001: the ELECTRIC setting can be read."""
    return [
        checks.Error(
            problem, hint=docs_hint("Correct the setting.", "electric.E001"), id="electric.E001"
        )
        for problem in conf.problems()
    ]


def check_access(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W002: nothing is served, since neither or both of secret and insecure are set.

    A project that has shapes or policies serves those to its users, and needs neither.
    """
    if list(conf.problems()):
        return []
    electric = conf.electric_settings()
    if not electric.is_open and (electric.secret or not registered_models()):
        which = "both" if electric.secret else "neither"
        text = f"Nothing is served: {which} of SECRET and INSECURE are set in the ELECTRIC setting."
        hint = (
            "Set ELECTRIC_SECRET to a long random text, or ELECTRIC_INSECURE=true while developing."
        )
        return [checks.Warning(text, hint=docs_hint(hint, "electric.W002"), id="electric.W002")]
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
            hint=docs_hint(hint, "electric.E004"),
            id="electric.E004",
        )
    ]


def check_serving(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W005: shape requests wait inside Django."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if name is None or _is_wrapped():
        return []
    hint = "Wrap it: application = django_electric.asgi.shapes_first(application)."
    return [
        checks.Warning(
            f"{name} is not wrapped in shapes_first: every client that waits for news holds a thread.",
            hint=docs_hint(hint, "electric.W005"),
            id="electric.W005",
        )
    ]


def _is_wrapped() -> bool:
    name = getattr(settings, "ASGI_APPLICATION", None)
    return name is not None and isinstance(import_string(name), ShapesFirst)


def check_interface(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W008: the settings know of WSGI alone, where a request that waits holds a worker."""
    if getattr(settings, "ASGI_APPLICATION", None) or not getattr(
        settings, "WSGI_APPLICATION", None
    ):
        return []
    hint = "Serve the project by ASGI and name its application in ASGI_APPLICATION."
    return [
        checks.Warning(
            "WSGI_APPLICATION is set and ASGI_APPLICATION is not: under WSGI every client that waits for news"
            " holds a thread or a process of the server.",
            hint=docs_hint(hint, "electric.W008"),
            id="electric.W008",
        )
    ]


def check_middleware(
    app_configs: Sequence[object] | None, **_: object
) -> list[checks.CheckMessage]:
    """electric.W009: middleware that is synchronous only holds a thread while a shape request waits."""
    names = [name for name in settings.MIDDLEWARE if not _is_async(name)]
    if not names or _is_wrapped():
        return []
    hint = "Wrap the application in django_electric.asgi.shapes_first, or make the middleware async_capable."
    return [
        checks.Warning(
            f"Middleware that is not async_capable: {', '.join(names)}. Django keeps a thread for every client"
            " that waits for news.",
            hint=docs_hint(hint, "electric.W009"),
            id="electric.W009",
        )
    ]


def _is_async(name: str) -> bool:
    try:
        return bool(getattr(import_string(name), "async_capable", False))
    except ImportError:
        return True  # Django says so itself


def check_storage(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W010: the logs have no place."""
    if list(conf.problems()):
        return []
    root = conf.electric_settings().root
    if is_writable(root):
        return []
    hint = "Give the user of the worker the right to write there, or set ELECTRIC_STORAGE_DIR."
    return [
        checks.Warning(
            f"The storage directory {root} cannot be written to by this user.",
            hint=docs_hint(hint, "electric.W010"),
            id="electric.W010",
        )
    ]


def check_exposure(app_configs: Sequence[object] | None, **_: object) -> list[checks.CheckMessage]:
    """electric.W011: everybody may read everything, or may guess how to."""
    if list(conf.problems()):
        return []
    return [
        checks.Warning(text, hint=docs_hint(hint, "electric.W011"), id="electric.W011")
        for text, hint in _exposures(conf.electric_settings())
    ]


def _exposures(electric: conf.ElectricSettings) -> Iterator[tuple[str, str]]:
    if electric.insecure:
        yield (
            "INSECURE is set: whoever reaches the server may read every table.",
            "Unset ELECTRIC_INSECURE and set ELECTRIC_SECRET.",
        )
    if electric.secret and len(electric.secret) < _SHORTEST_SECRET:
        yield (
            f"SECRET has fewer than {_SHORTEST_SECRET} characters.",
            "Take a long random text: python -c 'import secrets; print(secrets.token_urlsafe(48))'.",
        )


def check_installation(
    app_configs: Sequence[object] | None, databases: Sequence[str] | None = None, **_: object
) -> list[checks.CheckMessage]:
    """electric.W021 and following: what `electric_doctor` finds in the database and around it."""
    served = getattr(settings, "ELECTRIC", {})
    return [
        _message(finding)
        for alias in databases or ()
        if alias in served and not list(conf.problems(alias)) and _is_postgres(alias)
        for finding in findings(examine(conf.electric_settings(alias)))
        if finding.severity != "note" and finding.id not in _OF_THE_DOCTOR
    ]


def _is_postgres(alias: str) -> bool:
    return connections[alias].vendor == "postgresql"


def _message(finding: Finding) -> checks.CheckMessage:
    return checks.Warning(finding.text, hint=docs_hint(finding.remedy, finding.id), id=finding.id)


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
                hint=docs_hint(hint, "electric.E006"),
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
            hint=docs_hint(hint, "electric.W007"),
            id="electric.W007",
        )
    ]

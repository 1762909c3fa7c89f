"""System checks; each has an id, a hint and a heading of that name in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Sequence

from django.core import checks
from django.db import connections

from django_electric import conf

_DOCS = "See docs/reference/checks.md#{id}."


def register() -> None:
    """Make the checks known to Django."""
    checks.register(check_settings, "electric")
    checks.register(check_access, "electric")
    checks.register(check_database, "electric")


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

"""System checks of what a project declares in its ``shapes.py``; documented with those of `checks`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from django.core import checks

from django_electric import conf
from django_electric.declared import Shape
from django_electric.errors import ElectricError
from django_electric.protocol.params import ShapeParams
from django_electric.querysets import access_of
from django_electric.registry import Registry, registry
from django_electric.upkeep.findings import docs_hint
from django_electric.web.clauses import Clauses
from django_electric.web.shapes import resolve_with

_NAME: Final = re.compile(r"[-a-zA-Z0-9_]+")


def register() -> None:
    """Make the checks known to Django."""
    checks.register(check_names, "electric")
    checks.register(check_readers, "electric")
    checks.register(check_conditions, "electric", checks.Tags.database)


def check_names(
    app_configs: Sequence[object] | None, known: Registry = registry, **_: object
) -> list[checks.CheckMessage]:
    """electric.E040: two shapes of one name; electric.E041: a name that no URL has."""
    clashes: list[checks.CheckMessage] = [
        checks.Error(
            f"Two shapes are called '{name}': {one} and {other}.",
            hint=docs_hint("Rename a variable, or give Shape a name.", "electric.E040"),
            id="electric.E040",
        )
        for name, one, other in known.clashes
    ]
    return clashes + [
        checks.Error(
            f"The shape '{name}' cannot be mounted at shapes/<name>/.",
            hint=docs_hint("Give it a name of letters, digits, - and _.", "electric.E041"),
            id="electric.E041",
        )
        for name in known.shapes
        if not _NAME.fullmatch(name)
    ]


def check_readers(
    app_configs: Sequence[object] | None, known: Registry = registry, **_: object
) -> list[checks.CheckMessage]:
    """electric.W042: a declared shape that nobody may read."""
    hint = "Register a policy of the model, or give Shape a policy or public=True."
    return [
        checks.Warning(
            f"Nobody may read the shape '{name}': {shape.model._meta.label} has no policy.",
            hint=docs_hint(hint, "electric.W042"),
            id="electric.W042",
        )
        for name, shape in known.shapes.items()
        if not shape.is_public and shape.policy is None and known.policy_of(shape.model) is None
    ]


def check_conditions(
    app_configs: Sequence[object] | None,
    databases: Sequence[str] | None = None,
    known: Registry = registry,
    **_: object,
) -> list[checks.CheckMessage]:
    """electric.W043: a declared shape whose rows nobody can tell, asked only with ``--database``."""
    if conf.ALIAS not in (databases or ()):
        return []
    hint = "Write its condition with other lookups."
    return [
        checks.Warning(
            f"The shape '{name}' cannot be served: {fault}",
            hint=docs_hint(hint, "electric.W043"),
            id="electric.W043",
        )
        for name, shape in known.shapes.items()
        for fault in _faults(shape)
    ]


def _faults(shape: Shape) -> Iterator[str]:
    clauses = Clauses(conf.ALIAS)
    try:
        access = access_of(shape.queryset)
        if clauses.find(access.table) is not None:
            resolve_with(clauses, ShapeParams(access.table, access=access))
    except ValueError:
        return  # `migrate`, which runs this check, has not made the table yet
    except ElectricError as error:
        yield error.message

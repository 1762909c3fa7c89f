"""Where a project has mounted its shapes."""

from __future__ import annotations

from django.urls import reverse

from django_electric.declared import Shape
from django_electric.registry import registry


def table_url() -> str:
    """The URL of the table-named endpoint. Raises NoReverseMatch if the project has none."""
    return reverse("django_electric:shape")


def declared_url(shape: Shape) -> str:
    """The URL of a declared shape by its name. Raises ValueError if it has no name."""
    for name, known in registry.shapes.items():
        if known is shape:
            return reverse("django_electric:declared-shape", args=[name])
    raise ValueError(f"{shape!r} is declared in no shapes.py: give the URL that it is mounted at.")

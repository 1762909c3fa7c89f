"""Casts from text: the type's input function at run time."""

from __future__ import annotations

from typing import Any

from django_electric.postgres.values import TYPES, Unreadable, ValueType
from django_electric.where.errors import Undecided


def from_text(type_name: str, text: str) -> Any:
    """The value that *text* is of one of the types in `TYPES`; Undecided if only Postgres can tell.

    >>> from_text("int4", " 7 ")
    7
    """
    return read(TYPES[type_name], text)


def read(value_type: ValueType, text: str) -> Any:
    """The same for an array or enum type."""
    try:
        return value_type.decode(value_type.canonical(text))
    except (ValueError, Unreadable) as error:
        raise Undecided(f"a spelling that not every Postgres reads: {error}") from error

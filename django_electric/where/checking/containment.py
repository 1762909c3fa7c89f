"""``columns IN (SELECT …)``: whether what is selected can be compared with what stands on the left."""

from __future__ import annotations

from collections.abc import Sequence

from django_electric.where.errors import WhereError
from django_electric.where.nodes import Column, Within
from django_electric.where.sql import within_sql
from django_electric.where.subqueries import Subselected
from django_electric.where.types import is_enum

_NAMES = "bool int2 int4 int8 oid uuid date timestamp timestamptz time text varchar bpchar numeric float4 float8"
_COMPARED = frozenset(_NAMES.split())
"""Types whose values are told apart by their texts in the log, or by something as plain. Enums are too."""


def within(columns: Sequence[Column], found: Subselected, at: int) -> Within:
    """The condition on *columns* and what is selected. Raises WhereError if their types differ."""
    left = tuple(column.type for column in columns)
    if left != found.types:
        raise WhereError(
            f"left side of `IN (SELECT ...)` has type {_said(left)} but subquery returns"
            f" {_said(found.types)}[]",
            at=at,
            is_final=True,
        )
    for kind in left:
        if kind not in _COMPARED and not is_enum(kind):
            message = f"values of type {kind} cannot be compared with those of a subquery"
            raise WhereError(message, at=at, is_final=True)
    names = tuple(column.name for column in columns)
    return Within(within_sql(names, found.sql), "bool", names, found.sql)


def _said(types: Sequence[str]) -> str:
    return types[0] if len(types) == 1 else f"row of ({', '.join(types)})"

"""``value IN (SELECT …)``: what such a subquery may look like (PROTOCOL section 12.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

Json = Mapping[str, object]
"""A node of libpg_query, as `parser` reads it."""

_CLAUSES: Final = frozenset(("targetList", "fromClause", "whereClause", "limitOption", "op"))
"""Members of a SELECT that has no clauses but FROM and WHERE."""
_BAD_LEFT_SIDE: Final = "currently, left side of `IN (SELECT ...)` can only be a column reference or a list of column references"


class Fault(NamedTuple):
    """Why a subquery is refused; *location* counts in the whole text, None if no place is named."""

    message: str
    location: int | None = None


def fault_of(left: Json, select: Json) -> Fault | None:
    """What is wrong with ``left IN (select)``; None if Electric would serve it.

    *select* is the statement in the parentheses.
    """
    if select.keys() - _CLAUSES or select.get("op") != "SETOP_NONE":
        return Fault("SELECT statement must not contain any clauses")
    row = _nodes(_node(left, "RowExpr"), "args") if "RowExpr" in left else [left]
    if not all(map(_is_plain_column, row)):
        return Fault(_BAD_LEFT_SIDE)
    tables = _nodes(select, "fromClause")
    if len(tables) != 1 or "RangeVar" not in tables[0]:
        return Fault("Expected a single table reference")
    for target in _nodes(select, "targetList"):
        value = _node(_node(target, "ResTarget"), "val")
        if not _is_plain_column(value):
            location = cast(int, _node(target, "ResTarget").get("location", 0))
            return Fault("Expected a plain column reference", location)
    return None


def _is_plain_column(node: Json) -> bool:
    column = _node(node, "ColumnRef")
    return "ColumnRef" in node and not any("A_Star" in part for part in _nodes(column, "fields"))


def _node(node: Json, name: str) -> Json:
    return cast(Json, node.get(name, {}))


def _nodes(node: Json, name: str) -> list[Json]:
    return cast(list[Json], node.get(name, []))

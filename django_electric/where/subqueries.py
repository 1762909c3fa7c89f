"""``value IN (SELECT …)``: what such a subquery may look like, and what it says (PROTOCOL section 12.1).

Its condition is not read here but by whoever knows the columns of its table: it stays a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from django_electric.where.errors import SubqueryError, WhereError
from django_electric.where.nodes import Scope, Subquery

Json = Mapping[str, object]
"""A node of libpg_query, as `parser` reads it."""

_CLAUSES: Final = frozenset(("targetList", "fromClause", "whereClause", "limitOption", "op"))
"""Members of a SELECT that has no clauses but FROM and WHERE."""
_ONE_TABLE: Final = "Expected a single table reference"
_PLAIN_COLUMN: Final = "Expected a plain column reference"
_BAD_LEFT_SIDE: Final = "currently, left side of `IN (SELECT ...)` can only be a column reference or a list of column references"


class Subselected(NamedTuple):
    """What is known of a subquery once its table is."""

    sql: str
    """The statement, canonical."""
    types: tuple[str, ...]
    """Of its columns."""


class Subqueries(NamedTuple):
    """What is needed to read a clause with subqueries."""

    scope: Scope
    read: Callable[[Subquery], Subselected]
    """Raises WhereError."""


def table_names(schema: str, table: str) -> frozenset[tuple[str, ...]]:
    """What columns of a table without an alias may be qualified by."""
    return frozenset(((table,), (schema, table)))


def check(left: Json, select: Json) -> None:
    """Raise SubqueryError if ``left IN (select)`` is not of the form that is served.

    *select* is the statement in the parentheses.
    """
    if "valuesLists" in select or select.get("op") != "SETOP_NONE":
        raise _refused(_ONE_TABLE)
    if select.keys() - _CLAUSES:
        raise _refused("SELECT statement must not contain any clauses")
    row = _nodes(_node(left, "RowExpr"), "args") if "RowExpr" in left else [left]
    if not all(map(_is_plain_column, row)):
        raise _refused(_BAD_LEFT_SIDE)
    tables = _nodes(select, "fromClause")
    if len(tables) != 1 or "RangeVar" not in tables[0] or _is_strange(tables[0]):
        raise _refused(_ONE_TABLE)
    for target in _nodes(select, "targetList"):
        if not _is_plain_column(_node(_node(target, "ResTarget"), "val")):
            raise _refused(_PLAIN_COLUMN, target)


def _refused(message: str, target: Json | None = None) -> SubqueryError:
    """The place of a selected column counts in the whole text, and is -1 where the grammar knows none."""
    at = None if target is None else cast(int, _node(target, "ResTarget").get("location", -1))
    return SubqueryError(message, at=at, is_final=True)


def _is_strange(item: Json) -> bool:
    """Whether a table is of another database, or its columns are given other names."""
    table = _node(item, "RangeVar")
    return "catalogname" in table or "colnames" in _node(table, "alias")


def table_of(select: Json) -> tuple[tuple[str, str], frozenset[tuple[str, ...]]]:
    """The schema and the table that a statement reads, and what its columns may be qualified by."""
    table = _node(_nodes(select, "fromClause")[0], "RangeVar")
    schema, name = cast(str, table.get("schemaname", "")), cast(str, table["relname"])
    alias = _node(table, "alias").get("aliasname")
    if alias is not None:
        return (schema, name), frozenset(((cast(str, alias),),))
    return (schema, name), table_names(schema or "public", name)


def selected(select: Json, scope: Scope) -> Iterator[str]:
    """The columns of a statement whose own *scope* that is."""
    for target in _nodes(select, "targetList"):
        fields = _nodes(_node(_node(_node(target, "ResTarget"), "val"), "ColumnRef"), "fields")
        names = [cast(str, _node(field, "String").get("sval", "")) for field in fields]
        *qualifier, name = names
        if qualifier and tuple(qualifier) not in scope.names | scope.outer:
            raise _refused(_PLAIN_COLUMN, target)
        yield column_name(names, scope) if qualifier else name


def column_name(names: Sequence[str], scope: Scope | None, at: int | None = None) -> str:
    """The column that a dotted name means; a name that nothing has if it means none. Raises WhereError."""
    *parts, name = names
    qualifier = tuple(parts)
    if scope is not None and qualifier:
        if qualifier in scope.names and scope.may_qualify:
            return name
        if qualifier in scope.outer:
            message = f"a subquery cannot refer to the row around it: {'.'.join(names)}"
            raise WhereError(message, at=at, is_final=True)
    return ".".join(names)


def _is_plain_column(node: Json) -> bool:
    column = _node(node, "ColumnRef")
    return "ColumnRef" in node and not any("A_Star" in part for part in _nodes(column, "fields"))


def _node(node: Json, name: str) -> Json:
    return cast(Json, node.get(name, {}))


def _nodes(node: Json, name: str) -> list[Json]:
    return cast(list[Json], node.get(name, []))

"""Two conditions as one: the second selects from the rows of the first, and tells nothing of any other.

Postgres evaluates conditions joined by AND in whatever order it likes. If the second fails on a row that
the first keeps out, the error message may well hold a value of that row. So unless it never fails it is
asked only about rows that the first lets through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django_electric.where import folding
from django_electric.where.checking.operands import Locale
from django_electric.where.clause import Where
from django_electric.where.delegated import Analysis, delegated_where
from django_electric.where.errors import WhereError
from django_electric.where.families import family
from django_electric.where.nodes import FALSE, Case, Column, IsNull, Node, children, column_names
from django_electric.where.sql import sql_of
from django_electric.where.traits import can_fail


def narrowed(outer: Where, inner: Where, types: Mapping[str, str], locale: Locale) -> Where:
    """The rows of *outer* that meet *inner* too, on a table whose columns have *types*.

    Raises WhereError for an *inner* that may fail beside subqueries: none of them can be part of a CASE.
    """
    if outer.subselects and not never_fails(inner):
        raise WhereError(
            "a condition that may fail on a row, or that only Postgres could evaluate, cannot stand beside a subquery",
            is_final=True,
        )
    if not (outer.is_delegated or inner.is_delegated):
        asked = inner.tree
        if not never_fails(inner):
            asked = Case(((outer.tree, inner.tree),), FALSE, "bool")
        tree = folding.conjunction((outer.tree, asked))
        return Where(tree, sql_of(tree), column_names(tree))
    columns = tuple(sorted(outer.columns | inner.columns))
    return delegated_where(Analysis(narrowed_sql(outer.sql, inner), columns), types, locale)


def narrowed_sql(outer: str, inner: Where) -> str:
    """The same as text, *outer* being one whole condition.

    >>> from django_electric.where import parse_where
    >>> narrowed_sql('"a" = 1', parse_where("b = 2", {"b": "int4"}))
    '("a" = 1) AND ("b" = 2)'
    >>> narrowed_sql('"a" = 1', parse_where("1 / b = 2", {"b": "int4"}))
    '("a" = 1) AND CASE WHEN ("a" = 1) THEN ((1 / "b") = 2) ELSE false END'
    """
    if never_fails(inner):
        return f"({outer}) AND ({inner.sql})"
    return f"({outer}) AND CASE WHEN ({outer}) THEN ({inner.sql}) ELSE false END"


def never_fails(where: Where) -> bool:
    """Whether there is no row on which Postgres could fail; of what only Postgres knows, nothing is sure."""
    if where.is_delegated or can_fail(where.tree):
        return False
    return all(family(column.type) for column in _compared(where.tree))


def _compared(node: Node) -> Iterator[Column]:
    """The columns whose values are looked at, by operators that may be the project's own."""
    if isinstance(node, Column):
        yield node
    if not (isinstance(node, IsNull) and isinstance(node.operand, Column)):
        for child in children(node):
            yield from _compared(child)

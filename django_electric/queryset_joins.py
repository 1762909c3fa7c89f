"""Conditions on a related row, as ``filter(project__slug="x")`` has them, written as subqueries.

Django joins the other table. Where the relation is a foreign key there is one related row or none, so that the
condition is true of a row exactly if its key is among those of the related rows which meet it:
``project_id IN (SELECT id FROM project WHERE slug = 'x')``. That a shape can follow.

Below NOT, not only what is true counts: there a condition is rewritten only if it is never NULL, as those
are that ``exclude`` makes. What cannot be rewritten stays as it is, to be refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from django.db.models import ForeignKey, Transform
from django.db.models.expressions import Col
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Lookup,
    PatternLookup,
    Range,
)
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, WhereNode

_STRICT = (
    Exact, In, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, PatternLookup, Range,
)  # fmt: skip
"""Lookups that are NULL if the column is. So are the transforms that lead to it, ``__date`` and the like."""


def without_joins(query: Query) -> Query:
    """A copy of *query* whose conditions on related rows are subqueries, where they can be."""
    query = query.clone()
    table = query.get_initial_alias()
    if set(query.alias_map) == {table}:
        return query
    query.where = _rewritten(query, table, query.where, is_negated=False)
    used = {node.alias for node in _columns(query.where)}
    for alias in query.alias_map:
        if alias != table and alias not in _with_parents(query, used):
            query.alias_refcount[alias] = 0
    return query


def _with_parents(query: Query, aliases: set[str]) -> set[str]:
    """*aliases*, and those that lie on the way to them."""
    found = set()
    for alias in aliases:
        while alias not in found:
            found.add(alias)
            join = query.alias_map[alias]
            alias = join.parent_alias if isinstance(join, Join) else alias
    return found


def _rewritten(query: Query, table: str, node: WhereNode, *, is_negated: bool) -> WhereNode:
    is_negated = is_negated or node.negated
    children: list[Any] = []
    related: dict[str, list[Lookup[Any]]] = {}
    for child in node.children:
        if isinstance(child, WhereNode):
            children.append(_rewritten(query, table, child, is_negated=is_negated))
            continue
        alias = _alias_of(query, table, child)
        if alias is None:
            children.append(child)
        else:
            related.setdefault(alias, []).append(cast("Lookup[Any]", child))
    for alias, lookups in related.items():
        # Of one related row: all of them together, or each for itself.
        groups = [lookups] if node.connector == AND else [[one] for one in lookups]
        for group in groups:
            children += _subqueries(query, table, alias, group, is_negated=is_negated)
    return type(node)(children, node.connector, node.negated)


def _alias_of(query: Query, table: str, child: Any) -> str | None:
    """The table that a lookup is about, if that is another one, by foreign keys; and it is false without a row."""
    if not isinstance(child, (*_STRICT, IsNull)) or (isinstance(child, IsNull) and child.rhs):
        return None
    column = child.lhs
    while isinstance(column, Transform):
        column = column.lhs
    if not isinstance(column, Col):
        return None
    alias = column.alias
    if alias == table or {node.alias for node in _columns(child)} != {alias}:
        return None
    step = alias
    while step != table:
        way = _way_to(query, step)
        if way is None:
            return None
        step = way.parent
    return alias


def _subqueries(
    query: Query, table: str, alias: str, group: list[Lookup[Any]], *, is_negated: bool
) -> list[Any]:
    if is_negated and not _is_never_null(query, alias, group):
        return list(group)
    nodes: list[Any] = list(group)
    while alias != table:
        way = _way_to(query, alias)
        assert way is not None, "it was looked at before"
        field = way.key
        inner = Query(field.related_model)
        inner.get_initial_alias()
        inner.bump_prefix(query)
        own = inner.get_initial_alias()
        for node in nodes:
            if isinstance(node.rhs, Query):
                node.rhs.bump_prefix(inner)
            inner.where.add(node.relabeled_clone({alias: own}), AND)
        inner.add_fields([field.target_field.name])
        key = field.get_col(way.parent)
        nodes = [In(key, inner)]
        if is_negated and field.null:
            # Without a related row it is false, and not NULL.
            nodes.append(IsNull(field.get_col(way.parent), False))
        alias = way.parent
    if len(nodes) > 1:
        return [WhereNode(nodes, AND)]
    return nodes


def _is_never_null(query: Query, alias: str, group: list[Lookup[Any]]) -> bool:
    """Whether lookups, joined by AND, are true or false of any row, also of one that has no related row."""
    if not all(isinstance(one.lhs, Col) for one in group):
        return False
    known = {one.lhs.target for one in group if isinstance(one, IsNull)}
    if _may_lack_row(query, alias) and not known:
        return False
    return all(
        isinstance(one, IsNull) or not one.lhs.target.null or one.lhs.target in known
        for one in group
    )


def _may_lack_row(query: Query, alias: str) -> bool:
    while (way := _way_to(query, alias)) is not None:
        if way.key.null:
            return True
        alias = way.parent
    return False


class _Way(NamedTuple):
    """How a related row is found."""

    parent: str
    """Alias of the table that refers to it."""
    key: ForeignKey[Any, Any]


def _way_to(query: Query, alias: str) -> _Way | None:
    """None if it is not by a foreign key alone."""
    join = query.alias_map.get(alias)
    if isinstance(join, Join) and join.filtered_relation is None:
        key: Any = join.join_field
        if isinstance(key, ForeignKey):
            return _Way(join.parent_alias, key)
    return None


def _columns(node: Any) -> Iterator[Col]:
    """Every column of a condition, but for those of subqueries."""
    if isinstance(node, Col):
        yield node
    if isinstance(node, Query):
        return
    below = node.children if isinstance(node, WhereNode) else node.get_source_expressions()
    listed = getattr(node, "rhs", None)
    for child in [*below, *(listed if isinstance(listed, list | tuple) else ())]:
        if hasattr(child, "get_source_expressions") or isinstance(child, WhereNode):
            yield from _columns(child)

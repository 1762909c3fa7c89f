"""The text of a condition → Where, with what its subqueries read (PROTOCOL sections 2.5 and 12.1).

A condition that is not understood here is asked of Postgres, if it has no subqueries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from django_electric.postgres.relation import Relation
from django_electric.protocol.identifiers import TableName
from django_electric.shapes.definition import ShapeDefinition, locale_of
from django_electric.where import (
    Analyse,
    Analysis,
    Locale,
    Scope,
    Subqueries,
    Subquery,
    Subselected,
    Where,
    WhereError,
    delegated_where,
    has_subqueries,
    parse_where,
    table_names,
)
from django_electric.where.clause import MAX_BYTES
from django_electric.where.nodes import TRUE
from django_electric.where.rewriting import without_qualifiers

_DEEPEST: Final = 16
"""Subqueries in subqueries."""
_MOST: Final = 32
"""Different subqueries in one condition, those in them included: the worker keeps the rows of each."""


class FoundTable(NamedTuple):
    """A table, and what asks Postgres about a condition on it."""

    relation: Relation
    analyse: Analyse | None = None


FindTable = Callable[[TableName], FoundTable | None]


def missing(table: TableName) -> str:
    """What is said of a table that does not exist."""
    return (
        f"Table {table.display_name} does not exist. If the table name contains capitals or"
        " special characters you must quote it."
    )


def parsed(
    text: str,
    types: Mapping[str, str],
    params: Mapping[str, str] | None,
    analyse: Analyse | None,
    locale: Locale,
    subqueries: Subqueries | None = None,
) -> Where:
    """The condition that *text* writes on a table whose columns have *types*. Raises WhereError."""
    try:
        return parse_where(text, types, params, locale=locale, subqueries=subqueries)
    except WhereError as error:
        if error.is_final or analyse is None:
            raise
        if has_subqueries(text):
            raise _beside_subquery(error) from error
        return _delegated(text, types, params, error, analyse, locale)


def _beside_subquery(error: WhereError) -> WhereError:
    """What is not understood here may be understood by Postgres, but nobody asks it."""
    message = error.message
    if "unknown reference" not in message:
        message += "; what only Postgres could evaluate cannot stand beside a subquery"
    return WhereError(message, field=error.field, is_final=True)


def _delegated(
    text: str,
    types: Mapping[str, str],
    params: Mapping[str, str] | None,
    refusal: WhereError,
    analyse: Analyse,
    locale: Locale,
) -> Where:
    """The clause as one that Postgres evaluates, or evaluated here now that Postgres has explained it."""
    values = {int(name): value for name, value in (params or {}).items()}
    try:
        analysis = analyse(text, values)
    except WhereError as error:
        raise WhereError(f"{refusal.message} ({error.message})", field=refusal.field) from error
    if analysis is None:
        raise refusal
    try:
        return parse_where(analysis.sql, types, locale=locale)
    except WhereError:
        return delegated_where(analysis, types, locale)


# --- Subqueries -------------------------------------------------------------------------------------


def reader(
    relation: Relation, find: FindTable, params: Mapping[str, str] | None
) -> DependencyReader:
    """What reads the subqueries of one condition on *relation*; each table is looked up once."""
    known: dict[TableName, FoundTable | None] = {}

    def find_once(table: TableName) -> FoundTable | None:
        if table not in known:
            known[table] = find(table)
        return known[table]

    return DependencyReader(find_once, params, Scope(table_names(relation.schema, relation.name)))


@dataclass(slots=True)
class DependencyReader:
    """Reads the subqueries of a condition, and remembers what they depend on."""

    find: FindTable
    params: Mapping[str, str] | None
    scope: Scope
    depth: int = 0
    found: dict[str, ShapeDefinition] = field(default_factory=dict)
    """By canonical text."""

    @property
    def subqueries(self) -> Subqueries:
        return Subqueries(self.scope, self._read)

    def _read(self, subquery: Subquery) -> Subselected:
        if self.depth == _DEEPEST:
            raise WhereError("expression is nested too deeply", is_final=True)
        table = TableName(subquery.schema or "public", subquery.table)
        inner = self.find(table)
        if inner is None:
            raise WhereError(missing(table), field="table", is_final=True)
        if inner.relation.is_partitioned:
            message = f"{table.display_name} is partitioned: a subquery cannot read it"
            raise WhereError(message, at=subquery.at, is_final=True)
        _check_columns(subquery, inner.relation)
        definition = self._definition(subquery, inner)
        self.found[definition.subselect] = definition
        # What stands in two subqueries is kept for each of them.
        if sum(1 for one in self.found.values() for _ in one.walk()) > _MOST:
            raise WhereError(f"more than {_MOST} different subqueries", is_final=True)
        types = {c.name: c.type_name for c in definition.relation_columns}
        return Subselected(definition.subselect, tuple(types[name] for name in definition.columns))

    def _definition(self, subquery: Subquery, inner: FoundTable) -> ShapeDefinition:
        below = replace(self, scope=subquery.scope, depth=self.depth + 1, found={})
        definition = ShapeDefinition.build(
            inner.relation,
            columns=subquery.columns,
            where=below._condition(subquery, inner),
            dependencies=below.found,
        )
        # Their order, in which the row on the left is compared.
        return replace(definition, columns=subquery.columns)

    def _condition(self, subquery: Subquery, inner: FoundTable) -> Where | None:
        if subquery.condition is None:
            return None
        if len(subquery.condition) > MAX_BYTES:
            # Said before it is read: each of the conditions in it would be, one after the other.
            message = f"clause is bigger than maximum size of {MAX_BYTES} bytes"
            raise WhereError(message, is_final=True)
        usable = [c for c in inner.relation.columns if not c.is_generated]
        types = {c.name: c.evaluator_type for c in usable}
        analyse = inner.analyse and _analyse_unqualified(inner.analyse, subquery.scope)
        try:
            where = parsed(
                subquery.condition,
                types,
                self.params,
                analyse,
                locale_of(usable),
                self.subqueries,
            )
        except WhereError as error:
            # Nor is the clause around it one that Postgres could be asked about.
            error.is_final = True
            raise
        return None if where.tree == TRUE and not where.is_delegated else where


def _check_columns(subquery: Subquery, relation: Relation) -> None:
    generated = {c.name for c in relation.columns if c.is_generated}
    unknown = [name for name in subquery.columns if name not in relation.by_name]
    unsent = [name for name in subquery.columns if name in generated]
    for names, what in (
        (unknown, "not found on the table"),
        (unsent, "generated and cannot be included in the shape"),
    ):
        if names:
            listed = ", ".join(dict.fromkeys(names))
            message = f"The following columns are {what}: {listed}"
            raise WhereError(message, field="columns", is_final=True)


def _analyse_unqualified(analyse: Analyse, scope: Scope) -> Analyse:
    """*analyse*, to which the table is known by none of the names that qualify its columns in *scope*."""

    def analyse_plain(text: str, params: Mapping[int, str]) -> Analysis | None:
        return analyse(without_qualifiers(text.strip(), scope.names), params)

    return analyse_plain

"""ShapeParams + the table → ShapeDefinition: stage G of validation (PROTOCOL sections 2.3 to 2.5).

If there is an access, the definition is what the access allows and the client asks for. The two conditions
are parsed alone, so that neither can be read as a part of the other, and the client's knows only the
columns of the access.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from django_electric.errors import ConfigurationError
from django_electric.postgres.relation import Relation
from django_electric.protocol.access import Access
from django_electric.protocol.conditions import FindTable, missing, parsed, reader
from django_electric.protocol.params import InvalidRequest, ShapeParams, invalid
from django_electric.shapes.definition import ShapeDefinition, StoredColumn, locale_of
from django_electric.where import (
    Analyse,
    Analysis,
    SubqueryError,
    Where,
    WhereError,
    narrowed,
)

_OTHER_TABLES = "subqueries are not allowed here: they would tell of tables that may not be read"
_PARAMETER = re.compile(r"\$([0-9]+)")


def resolve(
    shape: ShapeParams,
    relation: Relation | None,
    analyse: Analyse | None = None,
    find: FindTable | None = None,
) -> ShapeDefinition:
    """The definition that *shape* means on *relation*. Raises InvalidRequest.

    *analyse* asks Postgres about a clause that is not understood here, *find* looks up the tables of
    subqueries; without it there can be none. Raises ConfigurationError if it is the access that does not fit
    the table.
    """
    if relation is None:
        raise invalid("table", missing(shape.table))
    columns = _columns(shape, relation)
    where, dependencies = _where(shape, relation, analyse, find)
    definition = ShapeDefinition.build(
        relation,
        columns=columns,
        where=where,
        params=_used_params(shape),
        replica=shape.replica,
        log_mode=shape.log_mode,
        dependencies=dependencies,
    )
    _check_plans(definition, shape.access, relation)
    return definition


def _check_plans(definition: ShapeDefinition, access: Access | None, relation: Relation) -> None:
    """Refuse subqueries, inner ones too, that cannot be followed."""
    try:
        for one in definition.dependencies:
            _check_plans(one, access, relation)
        definition.plan()
    except WhereError as error:
        # What the client says has no subqueries if there is an access.
        if access is not None:
            raise _misfit(relation, error.message) from error
        raise InvalidRequest({error.field: [error.message]}) from error


def _used_params(shape: ShapeParams) -> tuple[str, ...]:
    """The values that the clause refers to, by their numbers; others make no other shape."""
    used = {int(number) for number in _PARAMETER.findall(shape.where or "")}
    # Whether the names are numbers, `parse_where` has checked.
    given = {int(name): value for name, value in shape.params or ()}
    return tuple(given[number] for number in sorted(given.keys() & used))


def nameable_columns(shape: ShapeParams, relation: Relation) -> frozenset[str] | None:
    """The columns that a subset of *shape* may name in its conditions; None for all."""
    allowed, queryable = _allowed_columns(shape.access, relation), shape.queryable_columns
    if allowed is None or queryable is None:
        named = queryable if allowed is None else allowed
        return None if named is None else frozenset(named)
    return frozenset(allowed) & frozenset(queryable)


def _allowed_columns(access: Access | None, relation: Relation) -> tuple[str, ...] | None:
    """The columns of *access* and of the primary key, without which no row has a name; None for all."""
    if access is None or access.columns is None:
        return None
    named = frozenset((*access.columns, *relation.primary_key))
    known = frozenset(c.name for c in relation.columns if not c.is_generated)
    if not named <= known:
        raise _misfit(relation, f"no columns to be sent are {', '.join(sorted(named - known))}")
    if not relation.primary_key and named != known:
        raise _misfit(relation, "without a primary key every column is part of a row's name")
    return tuple(c.name for c in relation.columns if c.name in named)


def _misfit(relation: Relation, reason: str) -> ConfigurationError:
    return ConfigurationError(f"What may be read of {relation.display_name} is wrong: {reason}.")


def _columns(shape: ShapeParams, relation: Relation) -> tuple[str, ...] | None:
    key = relation.primary_key or tuple(c.name for c in relation.columns)
    allowed = _allowed_columns(shape.access, relation)
    queryable = shape.queryable_columns
    if queryable is not None:
        known = relation.by_name if allowed is None else allowed
        _check("queryable_columns", "queryable columns", queryable, key, known)
        allowed = queryable
    columns = allowed if shape.columns is None else shape.columns
    generated = {c.name for c in relation.columns if c.is_generated}
    if columns is None:
        _refuse_generated(
            (c.name for c in relation.columns if c.is_generated),
            ". You can exclude them from the shape by explicitly listing which columns to fetch"
            " in the 'columns' query param",
        )
        return None
    _check("columns", "columns", columns, key, relation.by_name if allowed is None else allowed)
    _refuse_generated((name for name in columns if name in generated), "")
    return columns


def _check(
    field: str, noun: str, columns: tuple[str, ...], key: tuple[str, ...], allowed: Iterable[str]
) -> None:
    missing = [name for name in key if name not in columns]
    if missing:
        message = f"The list of {noun} must include all primary key columns, missing: {', '.join(missing)}"
        raise invalid(field, message)
    known = set(allowed)
    unknown = [name for name in dict.fromkeys(columns) if name not in known]
    if unknown:
        raise invalid(
            field, f"The following {noun} are not found on the table: {', '.join(unknown)}"
        )


def _refuse_generated(names: Iterable[str], advice: str) -> None:
    listed = ", ".join(dict.fromkeys(names))
    if listed:
        message = (
            f"The following columns are generated and cannot be included in the shape: {listed}"
        )
        raise invalid("columns", message + advice)


def _where(
    shape: ShapeParams, relation: Relation, analyse: Analyse | None, find: FindTable | None
) -> tuple[Where | None, Mapping[str, ShapeDefinition]]:
    """The condition, and what its subqueries read, by their canonical texts."""
    usable = [c for c in relation.columns if not c.is_generated]
    types = {c.name: c.evaluator_type for c in usable}
    locale = locale_of(usable)
    allowed = _allowed_columns(shape.access, relation)
    outer, dependencies = _access_where(shape.access, relation, analyse, find)
    if allowed is not None and analyse is not None:
        analyse = analyse_within(allowed, analyse)
    known = types if allowed is None else {name: types[name] for name in allowed}
    if shape.where is None:
        return outer, dependencies
    params = None if shape.params is None else dict(shape.params)
    read = None
    if find is not None and shape.access is None:
        read = reader(relation, find, params)
    subqueries = read.subqueries if read else None
    try:
        inner = parsed(shape.where, known, params, analyse, locale, subqueries)
        if outer is not None:
            return narrowed(outer, inner, types, locale), dependencies
    except SubqueryError as error:
        message = error.message if shape.access is None else _OTHER_TABLES
        raise invalid("where", message) from error
    except WhereError as error:
        raise InvalidRequest({error.field: [error.message]}) from error
    return inner, read.found if read else {}


def _access_where(
    access: Access | None, relation: Relation, analyse: Analyse | None, find: FindTable | None
) -> tuple[Where | None, Mapping[str, ShapeDefinition]]:
    if access is None or access.where is None:
        return None, {}
    usable = [c for c in relation.columns if not c.is_generated]
    types = {c.name: c.evaluator_type for c in usable}
    params = {str(number): value for number, value in enumerate(access.params, start=1)} or None
    read = None if find is None else reader(relation, find, params)
    subqueries = read.subqueries if read else None
    try:
        where = parsed(access.where, types, params, analyse, locale_of(usable), subqueries)
        return where, read.found if read else {}
    except WhereError as error:
        # Not the client's fault, and not for its eyes.
        raise _misfit(relation, error.message) from error


def analyse_within(columns: Collection[str], analyse: Analyse) -> Analyse:
    """*analyse*, for which other columns than *columns* do not exist."""
    return partial(_analyse_within, frozenset(columns), analyse)


def _analyse_within(
    columns: frozenset[str], analyse: Analyse, text: str, params: Mapping[int, str]
) -> Analysis | None:
    try:
        analysis = analyse(text, params)
    except WhereError:
        # What is wrong may be wrong with a column that nobody is to know of.
        return None
    return analysis if analysis is not None and columns >= set(analysis.columns) else None


def is_outdated(stored: ShapeDefinition, current: ShapeDefinition) -> bool:
    """Whether columns that a shape was made with are of another type now (section 16.1 point 2).

    *current* has the same identity: same table, columns and condition. Nullability may change.
    Without a where clause only the selected columns matter. What subqueries read is looked at too.
    """
    before = {c.name: _type(c) for c in stored.relation_columns}
    now = {c.name: _type(c) for c in current.relation_columns}
    if len(stored.dependencies) != len(current.dependencies) or any(
        map(is_outdated, stored.dependencies, current.dependencies)
    ):
        return True
    names = set(current.columns) | set(current.key_columns)
    if current.where is not None:
        names |= before.keys() & now.keys()
    return any(before.get(name) != now.get(name) for name in names)


def _type(column: StoredColumn) -> tuple[object, ...]:
    return (
        column.type_oid,
        column.type_modifier,
        column.type_name,
        column.is_bytewise,
        column.lowers_ascii,
    )

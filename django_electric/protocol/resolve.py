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
from django_electric.protocol.params import InvalidRequest, ShapeParams, invalid
from django_electric.shapes.definition import ShapeDefinition, StoredColumn, locale_of
from django_electric.where import (
    Analyse,
    Analysis,
    Locale,
    Where,
    WhereError,
    delegated_where,
    narrowed,
    parse_where,
)

_PARAMETER = re.compile(r"\$([0-9]+)")


def resolve(
    shape: ShapeParams, relation: Relation | None, analyse: Analyse | None = None
) -> ShapeDefinition:
    """The definition that *shape* means on *relation*. Raises InvalidRequest.

    *analyse* asks Postgres about a clause that is not understood here. Raises ConfigurationError if it is
    the access that does not fit the table.
    """
    if relation is None:
        raise invalid(
            "table",
            f"Table {shape.table.display_name} does not exist. If the table name contains capitals or"
            " special characters you must quote it.",
        )
    return ShapeDefinition.build(
        relation,
        columns=_columns(shape, relation),
        where=_where(shape, relation, analyse),
        params=_used_params(shape),
        replica=shape.replica,
        log_mode=shape.log_mode,
    )


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


def _where(shape: ShapeParams, relation: Relation, analyse: Analyse | None) -> Where | None:
    usable = [c for c in relation.columns if not c.is_generated]
    types = {c.name: c.evaluator_type for c in usable}
    locale = locale_of(usable)
    allowed = _allowed_columns(shape.access, relation)
    outer = _access_where(shape.access, relation, analyse, types, locale)
    if allowed is not None and analyse is not None:
        analyse = analyse_within(allowed, analyse)
    known = types if allowed is None else {name: types[name] for name in allowed}
    try:
        params = None if shape.params is None else dict(shape.params)
        inner = _parsed(shape.where, known, params, analyse, locale)
    except WhereError as error:
        raise InvalidRequest({error.field: [error.message]}) from error
    if outer is None or inner is None:
        return inner if outer is None else outer
    return narrowed(outer, inner, types, locale)


def _access_where(
    access: Access | None,
    relation: Relation,
    analyse: Analyse | None,
    types: Mapping[str, str],
    locale: Locale,
) -> Where | None:
    if access is None:
        return None
    params = {str(number): value for number, value in enumerate(access.params, start=1)}
    try:
        return _parsed(access.where, types, params or None, analyse, locale)
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


def _parsed(
    text: str | None,
    types: Mapping[str, str],
    params: Mapping[str, str] | None,
    analyse: Analyse | None,
    locale: Locale,
) -> Where | None:
    if text is None:
        return None
    try:
        return parse_where(text, types, params, locale=locale)
    except WhereError as error:
        if error.is_final or analyse is None:
            raise
        return _delegated(text, types, params, error, analyse, locale)


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


def is_outdated(stored: ShapeDefinition, current: ShapeDefinition) -> bool:
    """Whether columns that a shape was made with are of another type now (section 16.1 point 2).

    *current* has the same identity: same table, columns and condition. Nullability may change.
    Without a where clause only the selected columns matter.
    """
    before = {c.name: _type(c) for c in stored.relation_columns}
    now = {c.name: _type(c) for c in current.relation_columns}
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

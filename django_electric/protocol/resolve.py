"""ShapeParams + the table → ShapeDefinition: stage G of validation (PROTOCOL sections 2.3 to 2.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django_electric.postgres.relation import Relation
from django_electric.protocol.params import InvalidRequest, ShapeParams, invalid
from django_electric.shapes.definition import ShapeDefinition, StoredColumn
from django_electric.where import Where, WhereError, parse_where

_PARAMETER = re.compile(r"\$([0-9]+)")


def resolve(shape: ShapeParams, relation: Relation | None) -> ShapeDefinition:
    """The definition that *shape* means on *relation*. Raises InvalidRequest."""
    if relation is None:
        raise invalid(
            "table",
            f"Table {shape.table.display_name} does not exist. If the table name contains capitals or"
            " special characters you must quote it.",
        )
    columns = _columns(shape, relation)
    return ShapeDefinition.build(
        relation,
        columns=columns,
        where=_where(shape, relation),
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


def _columns(shape: ShapeParams, relation: Relation) -> tuple[str, ...] | None:
    key = relation.primary_key or tuple(c.name for c in relation.columns)
    queryable = shape.queryable_columns
    if queryable is not None:
        _check("queryable_columns", "queryable columns", queryable, key, relation.by_name)
    columns = shape.columns if shape.columns is not None else queryable
    generated = {c.name for c in relation.columns if c.is_generated}
    if columns is None:
        _refuse_generated(
            (c.name for c in relation.columns if c.is_generated),
            ". You can exclude them from the shape by explicitly listing which columns to fetch"
            " in the 'columns' query param",
        )
        return None
    _check("columns", "columns", columns, key, relation.by_name if queryable is None else queryable)
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


def _where(shape: ShapeParams, relation: Relation) -> Where | None:
    if shape.where is None:
        return None
    usable = [c for c in relation.columns if not c.is_generated]
    try:
        return parse_where(
            shape.where,
            {c.name: c.evaluator_type for c in usable},
            None if shape.params is None else dict(shape.params),
            collation_is_c=all(c.is_bytewise for c in usable),
        )
    except WhereError as error:
        raise InvalidRequest({error.field: [error.message]}) from error


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
    return column.type_oid, column.type_modifier, column.type_name, column.is_bytewise

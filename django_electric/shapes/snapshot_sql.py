"""The query that builds a shape's rows as the JSON that clients receive, inside Postgres.

Each row comes out as one whole log entry without its newline. Values have the text that the log
has: the type's output function (``concat`` calls it), except that booleans are ``true``/``false``
everywhere (PROTOCOL section 4.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as encode_string

from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.shapes.definition import ShapeDefinition, StoredColumn
from django_electric.shapes.log_items import relation_key
from django_electric.shapes.move_sql import (
    LeafSql,
    Part,
    subselects,
    table_sql,
    tag_parts,
)
from django_electric.where import SortKey, Where, narrowed_sql
from django_electric.where.plan import Plan

_PLAIN = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "oid",
        "float4",
        "float8",
        "numeric",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
        "time",
        "timetz",
        "interval",
        "macaddr",
        "macaddr8",
        "bit",
        "varbit",
        "xid",
        "xid8",
    ]
)
"""Types whose text, as ``::text`` and their output functions alike give it (``bool`` apart), needs no escaping."""
_TEXT = frozenset(("text", "varchar"))
_MOST_ARGUMENTS = 90
"""Postgres takes 100 arguments a call."""


class _Parts:
    """Arguments of ``concat``; literals that follow one another are joined."""

    def __init__(self) -> None:
        self._parts: list[tuple[bool, str]] = []

    def text(self, text: str) -> None:
        if self._parts and self._parts[-1][0]:
            text = self._parts.pop()[1] + text
        self._parts.append((True, text))

    def expression(self, expression: str) -> None:
        self._parts.append((False, expression))

    def sql(self) -> str:
        arguments = [quote_literal(part) if is_text else part for is_text, part in self._parts]
        while len(arguments) > _MOST_ARGUMENTS:
            arguments = list(_nested(arguments))
        return f"concat({', '.join(arguments)})"


def _nested(arguments: list[str]) -> Iterator[str]:
    for at in range(0, len(arguments), _MOST_ARGUMENTS):
        yield f"concat({', '.join(arguments[at : at + _MOST_ARGUMENTS])})"


def _add_value(parts: _Parts, column: StoredColumn) -> None:
    name = quote_identifier(column.name)
    if column.type_name == "bool":
        parts.expression(
            f"CASE WHEN {name} THEN '\"true\"' WHEN NOT {name} THEN '\"false\"' ELSE 'null' END"
        )
    elif column.type_name in _PLAIN and column.not_null:
        parts.text('"')
        parts.expression(name)
        parts.text('"')
    elif column.type_name in _PLAIN:
        # concat passes over NULL, and calls a type's output function faster than a cast to text does.
        parts.expression(f"CASE WHEN {name} IS NULL THEN 'null' ELSE '\"' END")
        parts.expression(name)
        parts.expression(f"CASE WHEN {name} IS NULL THEN '' ELSE '\"' END")
    elif column.type_name in _TEXT:
        json = f"to_json({name}::text)"
        parts.expression(json if column.not_null else f"coalesce({json}::text, 'null')")
    else:
        parts.expression(
            f"CASE WHEN {name} IS NOT DISTINCT FROM NULL THEN 'null' ELSE to_json(concat({name}))::text END"
        )


def _add_key_part(parts: _Parts, column: StoredColumn) -> None:
    name = quote_identifier(column.name)
    text = f"{name}::text" if column.type_name in _PLAIN | _TEXT else f"concat({name})"
    inner = f"right(left(to_json(replace({text}, '/', '//'))::text, -1), -1)"
    if column.type_name in _PLAIN:
        inner = name if column.not_null and column.type_name != "bool" else text
    if column.not_null:
        parts.text('/\\"')
        parts.expression(inner)
        parts.text('\\"')
    else:
        quoted = (
            f"""{quote_literal("/" + chr(92) + '"')} || {inner} || {quote_literal(chr(92) + '"')}"""
        )
        parts.expression(f"CASE WHEN {name} IS NOT DISTINCT FROM NULL THEN '/_' ELSE {quoted} END")


def entry_expression(definition: ShapeDefinition, more_headers: Sequence[Part] = ()) -> str:
    """The SQL expression whose value is a row's log entry, without the newline.

    *more_headers*: JSON that follows the other headers, from its comma on.
    """
    columns = {c.name: c for c in definition.relation_columns}
    parts = _Parts()
    parts.text(
        f',{{"key":"{encode_string(relation_key(definition.schema, definition.table))[1:-1]}'
    )
    for name in definition.key_columns:
        _add_key_part(parts, columns[name])
    separator = '","value":{'
    for name in definition.columns:
        parts.text(f"{separator}{encode_string(name)}:")
        _add_value(parts, columns[name])
        separator = ","
    relation = f"[{encode_string(definition.schema)},{encode_string(definition.table)}]"
    parts.text(f'}},"headers":{{"operation":"insert","relation":{relation}')
    for is_text, sql in more_headers:
        if is_text:
            parts.text(sql)
        else:
            parts.expression(sql)
    parts.text("}}")
    return parts.sql()


def _tags(definition: ShapeDefinition, handle: str) -> list[Part]:
    plan = definition.plan()
    return [] if plan is None else tag_parts(definition, plan, handle, subselects(definition))


@dataclass(frozen=True, slots=True)
class Subset:
    """Part of a shape's rows (PROTOCOL section 11.1)."""

    where: Where | None = None
    order_by: tuple[SortKey, ...] = ()
    limit: int | None = None
    offset: int | None = None


def copy_statement(definition: ShapeDefinition, handle: str) -> str:
    """``COPY … TO STDOUT`` of the rows of the shape *handle*, one entry a line."""
    expression = entry_expression(definition, _tags(definition, handle))
    return _copy(definition, expression, _clauses(definition, Subset()))


def subset_statement(definition: ShapeDefinition, handle: str, subset: Subset, mark: int) -> str:
    """The same for a part of the rows; each bears *mark*, its ``snapshot_mark``."""
    headers = [Part(is_text=True, sql=f',"snapshot_mark":{mark}'), *_tags(definition, handle)]
    return _copy(definition, entry_expression(definition, headers), _clauses(definition, subset))


def move_statement(
    definition: ShapeDefinition, plan: Plan, handle: str, condition: str, leaf: LeafSql
) -> str:
    """The same for the rows that *condition* is true of, which come with a move; see `tag_parts` of *leaf*."""
    headers = [
        Part(is_text=True, sql=',"is_move_in":true'),
        *tag_parts(definition, plan, handle, leaf),
    ]
    return _copy(definition, entry_expression(definition, headers), f" WHERE {condition}")


def _copy(definition: ShapeDefinition, expression: str, clauses: str) -> str:
    # CSV with control characters for quote and delimiter leaves the text as it is: JSON text never
    # holds a raw control character.
    query = f"SELECT {expression} FROM {table_sql(definition)}{clauses}"  # noqa: S608  # quoted
    return f"COPY ({query}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"


def _clauses(definition: ShapeDefinition, subset: Subset) -> str:
    """What follows the table: a subset never leaves the shape."""
    condition = _condition(definition.where, subset.where)
    clauses = f" WHERE {condition}" if condition else ""
    if subset.order_by:
        clauses += f" ORDER BY {', '.join(_sort_key(definition, key) for key in subset.order_by)}"
    if subset.limit is not None:
        clauses += f" LIMIT {subset.limit}"
    if subset.offset is not None:
        clauses += f" OFFSET {subset.offset}"
    return clauses


def _condition(shape: str | None, subset: Where | None) -> str | None:
    if shape is None or subset is None:
        alone = subset.sql if subset is not None else shape
        return f"({alone})" if alone is not None else None
    return narrowed_sql(shape, subset)


def _sort_key(definition: ShapeDefinition, key: SortKey) -> str:
    # A bare name would first be looked for among the names of the query's result, which has one.
    name = f"{quote_identifier(definition.table)}.{quote_identifier(key.column)}"
    direction = f" {key.direction}" if key.direction else ""
    return f"{name}{direction}{f' NULLS {key.nulls}' if key.nulls else ''}"

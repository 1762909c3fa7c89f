"""Looks a table up in Postgres' catalogue: one query, on any cursor, for web processes and worker alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, cast

from django_electric.postgres.layouts import IS_LOST, SQL_TYPE
from django_electric.postgres.relation import Column, Relation
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where.types import EnumName, array_of


class Cursor(Protocol):
    """What the look-up needs of a cursor: Django's and psycopg's both have it."""

    def execute(self, query: str, params: Sequence[str | int], /) -> object: ...

    def fetchall(self) -> Sequence[Sequence[object]]: ...


# Row by row, one column of the table. The sub-select knows whether the database's own collation orders
# by byte: datlocprovider is new in Postgres 15, hence the detour by JSON; libc's C.UTF-8 orders by code
# point, which in UTF-8 is the order of the bytes, and so do all collations of the builtin provider.
# Turkish and Azeri are told by the names of locales, the column's and the database's: JSON again, since the
# columns that hold them have other names in each version.
_RELATION = """
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p',
       a.attname, a.atttypid, coalesce(element.typname, t.typname), a.atttypmod,
       CASE WHEN element.oid IS NULL THEN 0 ELSE greatest(a.attndims, 1) END,
       a.attnotnull,
       CASE WHEN array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts
            THEN array_position(i.indkey::int2[], a.attnum) END,
       {is_lost},
       a.attcollation = 0 OR coalesce(
           CASE co.collprovider
               WHEN 'd' THEN (
                   SELECT d.provider = 'b' OR (d.provider = 'c' AND d.datcollate IN ({bytewise}))
                     FROM (SELECT coalesce(to_jsonb(db) ->> 'datlocprovider', 'c') AS provider, datcollate
                             FROM pg_catalog.pg_database db WHERE datname = current_database()) d)
               WHEN 'b' THEN true
               WHEN 'c' THEN co.collcollate IN ({bytewise})
           END, false),
       coalesce(co.collisdeterministic, true),
       NOT concat_ws(' ', own.names, co.collctype, co.collcollate, to_jsonb(co) ->> 'colllocale',
                     to_jsonb(co) ->> 'colliculocale') ~* '(^| )(tr|az)([^a-z]|$)',
       {sql_type}
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_type element ON element.oid = t.typelem AND element.typarray = t.oid
  LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
  CROSS JOIN (SELECT concat_ws(' ', datctype, to_jsonb(db) ->> 'datlocale', to_jsonb(db) ->> 'daticulocale') AS names
                FROM pg_catalog.pg_database db WHERE datname = current_database()) own
 WHERE c.relkind IN ('r', 'p') AND {condition}
 ORDER BY a.attnum
"""
_BYTEWISE = "'C', 'POSIX', 'C.UTF-8', 'C.utf8'"
_QUERY = partial(_RELATION.format, bytewise=_BYTEWISE, sql_type=SQL_TYPE, is_lost=IS_LOST)
_BY_NAME = _QUERY(condition="n.nspname = %s AND c.relname = %s")
_BY_OID = _QUERY(condition="c.oid = %s")

# A type of the user's own may bear the name of a builtin one: it is another type to the evaluator. So
# is "char", which is not char(n).
_TYPES = """
SELECT t.oid, t.typtype = 'd', t.typbasetype,
       CASE WHEN element.oid IS NULL THEN 0 ELSE element.oid END,
       CASE WHEN t.oid = '"char"'::regtype THEN '"char"'
            WHEN t.typtype = 'c' THEN 'record'
            WHEN t.typtype = 'e' THEN n.nspname || '.' || t.typname
            WHEN t.typnamespace <> 'pg_catalog'::regnamespace AND EXISTS (
                SELECT FROM pg_catalog.pg_type b
                 WHERE b.typname = t.typname AND b.typnamespace = 'pg_catalog'::regnamespace)
            THEN t.typnamespace::regnamespace::text || '.' || t.typname
            ELSE t.typname END,
       ARRAY(SELECT enumlabel::text FROM pg_catalog.pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_type element ON element.oid = t.typelem AND element.typarray = t.oid
 WHERE t.oid = ANY(%s::oid[])
"""
_FIRST_USER_OID = 16384
"""Types below this oid come with Postgres: they are no domains, and their names are unique."""
_CHAR = 18


def find_relation(cursor: Cursor, schema: str, name: str) -> Relation | None:
    """The ordinary or partitioned table of that name; None if there is none, or it has no columns."""
    cursor.execute(_BY_NAME, (schema, name))
    return _relation(cursor, cursor.fetchall())


def find_relation_by_oid(cursor: Cursor, oid: int) -> Relation | None:
    """The ordinary or partitioned table with *oid*."""
    cursor.execute(_BY_OID, (oid,))
    return _relation(cursor, cursor.fetchall())


def has_changed(cursor: Cursor, definition: ShapeDefinition) -> bool:
    """Whether a table that *definition* reads is gone, or has other columns than it had when that was made."""
    return any(_has_changed(cursor, one) for one in definition.walk())


def _has_changed(cursor: Cursor, definition: ShapeDefinition) -> bool:
    relation = find_relation_by_oid(cursor, definition.relation_oid)
    if relation is None:
        return True
    return ShapeDefinition.build(relation).relation_columns != definition.relation_columns


def _relation(cursor: Cursor, rows: Sequence[Sequence[object]]) -> Relation | None:
    if not rows:
        return None
    oid, schema, name, is_partitioned = rows[0][:4]
    unusual = _evaluator_types(cursor, {cast(int, row[5]) for row in rows})
    return Relation(
        oid=cast(int, oid),
        schema=cast(str, schema),
        name=cast(str, name),
        columns=tuple(_column(row[4:], unusual) for row in rows),
        is_partitioned=bool(is_partitioned),
    )


def _column(row: Sequence[object], unusual: Mapping[int, str]) -> Column:
    name, type_oid, type_name, modifier, dimensions, not_null, position, generated = row[:8]
    is_bytewise, is_deterministic, lowers_ascii, sql_type = row[8:]
    plain = f"{type_name}[]" if dimensions else cast(str, type_name)
    if not is_deterministic:
        # Texts that differ may be equal: a type that no operator knows, so that nothing is guessed.
        plain += " nondeterministic"
    return Column(
        name=cast(str, name),
        type_oid=cast(int, type_oid),
        type_name=cast(str, type_name),
        type_modifier=cast(int, modifier),
        dimensions=cast(int, dimensions),
        not_null=bool(not_null),
        pk_position=cast("int | None", position),
        is_generated=bool(generated),
        evaluator_type=unusual.get(cast(int, type_oid), plain),
        is_bytewise=bool(is_bytewise),
        lowers_ascii=bool(lowers_ascii),
        sql_type=cast(str, sql_type),
    )


class _Type(NamedTuple):
    is_domain: bool
    base: int
    element: int
    name: str
    labels: Sequence[str]
    """Of an enum, in their order."""


def _evaluator_types(cursor: Cursor, oids: set[int]) -> dict[int, str]:
    """Names of the types that are not Postgres's own, domains resolved, arrays as ``name[]``, enums with their labels."""
    known: dict[int, _Type] = {}
    wanted = unusual = {oid for oid in oids if oid >= _FIRST_USER_OID or oid == _CHAR}
    while wanted:
        cursor.execute(_TYPES, ("{" + ",".join(map(str, wanted)) + "}",))
        rows = cast(Sequence[tuple[int, bool, int, int, str, Sequence[str]]], cursor.fetchall())
        found = {row[0]: _Type(*row[1:]) for row in rows}
        known.update(found)
        wanted = {oid for t in found.values() for oid in (t.base, t.element) if oid} - known.keys()
    return {oid: _resolve(oid, known) for oid in unusual if oid in known}


def _resolve(oid: int, known: Mapping[int, _Type]) -> str:
    found = known[oid]
    if found.is_domain:
        return _resolve(found.base, known)
    if found.element:
        return array_of(_resolve(found.element, known))
    # Of a name with more than one dot nobody can tell the parts, nor an array from one that ends as its name does.
    is_plain = found.name.count(".") == 1 and "[" not in found.name
    return EnumName(found.name, tuple(found.labels)) if found.labels and is_plain else found.name

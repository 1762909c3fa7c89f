"""The rows of a QuerySet as a client of the protocol would have them, and how two lots of rows differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.models import Model, QuerySet

from django_electric.postgres.display import LOCAL_DISPLAY_SETTINGS
from django_electric.postgres.relation import quote_identifier
from django_electric.test.following import Row

Schema = Mapping[str, Mapping[str, Any]]


def rows_of(queryset: QuerySet[Any], schema: Schema) -> list[Row]:
    """The columns of *schema*, the header ``electric-schema`` of a shape, of every row in *queryset*."""
    keys = [quote_identifier(field.column) for field in _key_of(queryset.model)]
    table = connections[queryset.db].ops.quote_name(queryset.model._meta.db_table)
    try:
        chosen, params = _key_query(queryset).query.get_compiler(queryset.db).as_sql()
    except EmptyResultSet:
        return []
    texts = ", ".join(_text_of(name, column) for name, column in schema.items())
    statement = f"SELECT {texts} FROM {table} WHERE ({', '.join(keys)}) IN ({chosen})"  # noqa: S608  # quoted
    with transaction.atomic(queryset.db), connections[queryset.db].cursor() as cursor:
        cursor.execute(LOCAL_DISPLAY_SETTINGS)
        cursor.execute(statement, params)
        rows = [dict(zip(schema, row, strict=True)) for row in cursor.fetchall()]
        transaction.set_rollback(True, queryset.db)  # for the settings: nothing was written
    return rows


def difference(got: Iterable[Row], expected: Iterable[Row]) -> str:
    """What is wrong with the rows that a client has, or an empty string."""
    has, should = (Counter(map(_hashable, rows)) for rows in (got, expected))
    lines = [f"  not in the shape: {dict(row)}" for row in (should - has).elements()]
    lines += [f"  not in the queryset: {dict(row)}" for row in (has - should).elements()]
    return "\n".join(lines)


def _hashable(row: Row) -> tuple[tuple[str, str | None], ...]:
    return tuple(sorted(row.items()))


def _key_of(model: type[Model]) -> Iterable[Any]:
    return model._meta.pk_fields


def _key_query(queryset: QuerySet[Any]) -> QuerySet[Any]:
    names = [field.attname for field in _key_of(queryset.model)]
    return queryset.values(*names)


def _text_of(name: str, column: Mapping[str, Any]) -> str:
    """The value as the type's output function shows it, which ``concat`` calls; booleans as words."""
    quoted = quote_identifier(name)
    if column["type"] == "bool" and "dims" not in column:
        return f"{quoted}::text"
    return f"CASE WHEN {quoted} IS NOT DISTINCT FROM NULL THEN NULL ELSE concat({quoted}) END"

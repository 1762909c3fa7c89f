"""What tests of this package ask a database."""

from __future__ import annotations

from typing import Any

import psycopg

from django_electric.catalogue import find_relation
from django_electric.conf import ElectricSettings
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams
from django_electric.protocol.resolve import resolve
from django_electric.shapes.definition import ShapeDefinition

Connection = psycopg.Connection[tuple[object, ...]]


def definition_of(connection: Connection, name: str) -> ShapeDefinition:
    """A shape on the whole of a table."""
    relation = find_relation(connection.cursor(), "public", name)
    assert relation is not None
    return ShapeDefinition.build(relation)


def reading(connection: Connection, name: str, clause: str) -> ShapeDefinition:
    """A shape with a condition that may have subqueries."""

    def find(table: TableName) -> FoundTable | None:
        relation = find_relation(connection.cursor(), table.schema, table.name)
        return relation and FoundTable(relation)

    found = find(TableName("public", name))
    assert found is not None
    return resolve(ShapeParams(TableName("public", name), where=clause), found.relation, find=find)


def one(connection: Connection, query: str, *params: object) -> Any:
    """The first value of the first row."""
    row = connection.execute(query, params).fetchone()
    assert row is not None
    return row[0]


def oid_of(connection: Connection, name: str) -> int:
    return int(one(connection, "SELECT %s::regclass::oid::int8", name))


def published(connection: Connection, settings: ElectricSettings) -> set[str]:
    """The names of the tables that are streamed."""
    rows = connection.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s",
        [settings.publication_name],
    )
    return {str(row[0]) for row in rows}


def identities(connection: Connection, *names: str) -> list[str]:
    """``f`` for a table with REPLICA IDENTITY FULL, ``d`` for one with the default."""
    return [
        one(connection, "SELECT relreplident FROM pg_class WHERE relname = %s", n) for n in names
    ]

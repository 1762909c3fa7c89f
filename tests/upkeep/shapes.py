"""Shapes in the catalogue, on tables that are there."""

from __future__ import annotations

from django.db import connection

from django_electric.catalogue import find_relation
from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import parse_where
from tests.replication.database import reading


def register(settings: ElectricSettings, table: str, where: str | None = None) -> Shape:
    """A shape on *table*, which has a column ``id``."""
    with connection.cursor() as cursor:
        relation = find_relation(cursor, "public", table)
    assert relation is not None
    condition = parse_where(where, {"id": "int4"}) if where else None
    definition = ShapeDefinition.build(relation, where=condition)
    return Shape.objects.register(definition, settings.replication_stream_id)


def register_reader(settings: ElectricSettings, table: str, other: str) -> Shape:
    """A shape on *table* with a subquery that reads *other*."""
    connection.ensure_connection()
    definition = reading(connection.connection, table, f"id IN (SELECT id FROM {other})")
    return Shape.objects.register(definition, settings.replication_stream_id)

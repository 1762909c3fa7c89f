"""Shapes as a worker that stopped would have left them: ``python -m benchmarks.put STREAM KIND SIZE``.

Their rows are in the catalogue, their logs on the disk, and the table `things` is empty. The worker that starts next
finds them. The real way is measured elsewhere; it takes minutes for what some scenarios want in plenty. One
shape of `things` has to exist: the others are made after it. Prints their handles.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from benchmarks.kinds import Kind
    from django_electric.models import Shape
    from django_electric.postgres.xid import PgSnapshot
    from django_electric.shapes.definition import ShapeDefinition


def main(stream_id: str, kind: Kind, size: int) -> None:
    """Replace whatever there is of `things` by *size* shapes of *kind*."""
    from django.db import connection

    from django_electric.conf import electric_settings
    from django_electric.models import Shape
    from django_electric.postgres.xid import PgSnapshot
    from django_electric.replication.snapshotter import snapshot_end
    from django_electric.storage import FileStorage

    there = Shape.objects.filter(stream_id=stream_id, table_name="things")
    pattern = there.earliest("id").to_definition()
    there.delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE things")
        cursor.execute(
            "SELECT pg_current_snapshot()::text || '@' || (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)"
        )
        snapshot = PgSnapshot.parse(cursor.fetchone()[0])
    storage = FileStorage(electric_settings().root)
    made = shapes(pattern, stream_id, kind, size, snapshot)
    while some := list(islice(made, 1_000)):
        Shape.objects.bulk_create(some)
        for shape in some:
            log = storage.writer(shape.handle).snapshot()
            log.write(snapshot_end(snapshot))
            log.finish()
            print(shape.handle)
    storage.close()


def shapes(
    pattern: ShapeDefinition, stream_id: str, kind: Kind, size: int, snapshot: PgSnapshot
) -> Iterator[Shape]:
    """The rows of the catalogue, each with a definition that a request would make."""
    from django_electric.models import Shape, new_handle
    from django_electric.shapes.definition import locale_of
    from django_electric.where import delegated_where, parse_where
    from django_electric.where.delegated import Analysis

    types = {c.name: c.type_name for c in pattern.relation_columns}
    locale = locale_of(pattern.relation_columns)
    for number in range(size):
        where = (
            delegated_where(Analysis(kind.where(number), kind.delegated), types, locale)
            if kind.delegated
            else parse_where(kind.where(number), types, locale=locale)
        )
        own = replace(
            pattern,
            where=where.sql,
            delegated_columns=tuple(sorted(where.columns)) if where.is_delegated else None,
        )
        yield Shape(
            handle=new_handle(own),
            stream_id=stream_id,
            identity=own.identity,
            status=Shape.Status.ACTIVE,
            relation_oid=own.relation_oid,
            schema_name=own.schema,
            table_name=own.table,
            where=own.where or "",
            definition=own.to_json(),
            snapshot=str(snapshot),
            snapshot_rows=0,
        )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    django.setup()
    from benchmarks.kinds import KINDS

    main(sys.argv[1], KINDS[sys.argv[2]], int(sys.argv[3]))

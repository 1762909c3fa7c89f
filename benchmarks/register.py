"""Put many shapes into the catalogue at once: ``python -m benchmarks.register STREAM FIRST STOP``.

The worker fills what appears there, as it does for a web process. Shapes are made like this where it is
not their making that is measured. One shape of ``items`` has to exist: the others are made after it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import django


def main(stream_id: str, first: int, stop: int) -> None:
    """Register ``tenant = first`` to ``tenant = stop - 1``; print their handles."""
    from benchmarks.fleet import where_of
    from django_electric.models import Shape, new_handle
    from django_electric.where import parse_where

    pattern = Shape.objects.filter(stream_id=stream_id, table_name="items").earliest("id")
    definition = pattern.to_definition()
    types = {c.name: c.type_name for c in definition.relation_columns}
    made = []
    for tenant in range(first, stop):
        own = replace(definition, where=parse_where(where_of(tenant), types).sql)
        made.append(
            Shape(
                handle=new_handle(own),
                stream_id=stream_id,
                identity=own.identity,
                relation_oid=own.relation_oid,
                schema_name=own.schema,
                table_name=own.table,
                where=own.where or "",
                definition=own.to_json(),
            )
        )
    Shape.objects.bulk_create(made, batch_size=500)
    print("\n".join(shape.handle for shape in made))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    django.setup()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Shape: the catalogue row. The table is the truth about which shapes exist."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.db import connections, models, transaction
from django.utils.translation import gettext_lazy as _

from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.explanation import Explanation, explain_definition

_HAS_SUBQUERIES = models.Q(definition__has_key="reads")


class ShapeQuerySet(models.QuerySet["Shape"]):
    """The verbs of the catalogue."""

    def register(self, definition: ShapeDefinition, stream_id: str, owner: str = "") -> Shape:
        """The live shape of *definition*: the one that exists, or a new one under a new handle.

        *owner* is the key of the user who asks for it, if it is anybody (``Access.user``).
        """
        shape = Shape(
            stream_id=stream_id,
            identity=definition.identity,
            handle=new_handle(definition),
            relation_oid=definition.relation_oid,
            schema_name=definition.schema,
            table_name=definition.table,
            where=definition.where or "",
            columns=list(definition.columns) if definition.has_explicit_columns else [],
            definition=definition.to_json(),
            owner=owner,
        )
        # Several processes may try at once; the constraint lets one of them succeed.
        while True:
            self.bulk_create([shape], ignore_conflicts=True)
            found = self.filter(stream_id=stream_id, identity=definition.identity).first()
            if found is not None:
                return found
            # The one that was there has just been rotated.
            shape.handle = new_handle(definition)

    def reading(self, oid: int) -> ShapeQuerySet:
        """Shapes whose rows a table decides about: those on it, and those with subqueries that read it."""
        in_subqueries = models.Q(_HAS_SUBQUERIES, definition__reads__contains=oid)
        return self.filter(models.Q(relation_oid=oid) | in_subqueries)

    def with_subqueries(self) -> ShapeQuerySet:
        """Shapes whose definitions say what other tables they read."""
        return self.filter(_HAS_SUBQUERIES)

    def activate(self, filled: Sequence[tuple[str, PgSnapshot, int]]) -> None:
        """These shapes have their first rows: handle, snapshot, number of rows. One statement for all."""
        connection = connections[self.db]
        table = connection.ops.quote_name(self.model._meta.db_table)
        handles, snapshots, rows = zip(*filled, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET status = %s, snapshot = f.snapshot, snapshot_rows = f.rows "  # noqa: S608  # our own table
                "FROM unnest(%s::text[], %s::text[], %s::bigint[]) f(handle, snapshot, rows) "
                f"WHERE {table}.handle = f.handle",
                [Shape.Status.ACTIVE, list(handles), [str(s) for s in snapshots], list(rows)],
            )


def new_handle(definition: ShapeDefinition) -> str:
    """``<hash>-<microseconds since 1970>``: never given twice (PROTOCOL section 8)."""
    return f"{definition.handle_prefix}-{time.time_ns() // 1000}"


class Shape(models.Model):
    """One incarnation of a shape: web processes register it, the worker fills it.

    The row is written a few times in a shape's life and never per change. Deleting it rotates the
    shape: its log goes away, its readers hear ``must-refetch``, and the next request for the same
    definition makes a new row with a new handle.
    """

    class Status(models.TextChoices):
        REGISTERED = "registered", _("waiting for its first rows")
        ACTIVE = "active", _("active")

    handle = models.CharField(max_length=64, unique=True, editable=False)
    stream_id = models.CharField(max_length=40, default="default", editable=False)
    identity = models.CharField(max_length=64, editable=False)
    status = models.CharField(
        max_length=12, choices=Status, default=Status.REGISTERED, editable=False
    )
    relation_oid = models.BigIntegerField(editable=False)
    schema_name = models.CharField(max_length=63, editable=False)
    table_name = models.CharField(max_length=63, editable=False)
    where = models.TextField(blank=True, editable=False)
    columns = models.JSONField(default=list, blank=True, editable=False)
    definition = models.JSONField(editable=False)
    owner = models.CharField(max_length=255, blank=True, default="", db_default="", editable=False)
    """The user who asked for it first, as ``auth.User:7``. Users with the same rows share a shape."""
    snapshot = models.TextField(blank=True, editable=False)
    """``pg_current_snapshot()`` of the first rows, once they are complete."""
    snapshot_rows = models.BigIntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    objects = ShapeQuerySet.as_manager()

    class Meta:
        verbose_name = _("shape")
        verbose_name_plural = _("shapes")
        permissions: ClassVar = [
            ("rotate_shape", "Can rotate shape"),
            ("view_shape_log", "Can view the rows in the log of a shape"),
            ("revoke_shape_owner", "Can end what the owners of shapes are reading"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream_id", "identity"], name="electric_shape_identity"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["stream_id", "relation_oid"], name="electric_shape_relation"),
            # There are few, and they are asked for by tables that they are not on.
            models.Index(
                fields=["stream_id"], condition=_HAS_SUBQUERIES, name="electric_shape_reads"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.table_name} ({self.handle})"

    @property
    def tables(self) -> dict[int, tuple[str, str]]:
        """Schema and name of all tables that it reads, by their oids: its own first, then those of its subqueries."""
        # Its own as the row has them: the definition may be one of another version of the package.
        own = {self.relation_oid: (self.schema_name, self.table_name)}
        return own | {oid: name for oid, name in _tables_below(self.definition) if oid not in own}

    def to_definition(self) -> ShapeDefinition:
        """The definition as a value."""
        return ShapeDefinition.from_json(self.definition)

    def rotate(self) -> Shape:
        """Give the definition a new handle; the shape that the worker fills from now on.

        Whoever follows the old one hears ``must-refetch``. Raises KeyError or ValueError for a definition
        that another version of the package wrote.
        """
        definition = self.to_definition()
        shapes = Shape.objects.using(self._state.db)
        with transaction.atomic(self._state.db):
            shapes.filter(pk=self.pk).delete()
            return shapes.register(definition, self.stream_id, self.owner)

    def explain(self) -> Explanation:
        """How the worker finds the rows that belong to the shape."""
        return explain_definition(self.to_definition())


def _tables_below(definition: Mapping[str, Any]) -> Iterator[tuple[int, tuple[str, str]]]:
    for one in definition.get("dependencies", ()):
        yield one["relation_oid"], (one["schema"], one["table"])
        yield from _tables_below(one)

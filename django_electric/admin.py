"""The shapes in Django's admin: to look at, and to delete.

Deleting a shape rotates it: its clients are told to fetch anew, under a new handle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from django_electric.conf import ALIAS, electric_settings
from django_electric.errors import ShapeGone, StorageError
from django_electric.models import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.storage import FileStorage, LogState, ShapeLogReader

_UNKNOWN = "–"

if TYPE_CHECKING:
    _ShapeAdminBase = admin.ModelAdmin[Shape]
else:
    _ShapeAdminBase = admin.ModelAdmin


@contextmanager
def _reader(shape: Shape) -> Iterator[ShapeLogReader]:
    reader = FileStorage(electric_settings(ALIAS).root).reader(shape.handle)
    try:
        yield reader
    finally:
        reader.close()


def _log_state(shape: Shape) -> LogState | None:
    """What the files say; None while there is no log."""
    try:
        with _reader(shape) as reader:
            return reader.state()
    except (ShapeGone, StorageError):
        return None


@admin.register(Shape)
class ShapeAdmin(_ShapeAdminBase):
    """Read-only; the delete action rotates. Sizes and offsets are read from the files."""

    list_display = (
        "handle", "relation", "condition", "selected_columns", "status", "rows", "size", "last_offset", "created_at",
    )  # fmt: skip
    list_filter = ("status", "schema_name", "table_name")
    search_fields = ("handle", "table_name", "where")
    ordering = ("-id",)
    list_per_page = 50
    fields = (
        "handle", "relation", "condition", "selected_columns", "replica", "log_mode", "status", "rows", "size",
        "last_offset", "snapshot", "created_at",
    )  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Shape | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shape]:
        return (
            super()
            .get_queryset(request)
            .filter(stream_id=electric_settings(ALIAS).replication_stream_id)
        )

    @admin.display(description=_("table"), ordering="table_name")
    def relation(self, shape: Shape) -> str:
        return f"{quote_identifier(shape.schema_name)}.{quote_identifier(shape.table_name)}"

    @admin.display(description=_("where"))
    def condition(self, shape: Shape) -> str:
        return shape.where or str(_("all rows"))

    @admin.display(description=_("columns"))
    def selected_columns(self, shape: Shape) -> str:
        return ", ".join(shape.columns) or str(_("all"))

    @admin.display(description=_("replica"))
    def replica(self, shape: Shape) -> str:
        return str(shape.definition["replica"])

    @admin.display(description=_("log"))
    def log_mode(self, shape: Shape) -> str:
        return str(shape.definition["log_mode"])

    @admin.display(description=_("rows at first"), ordering="snapshot_rows", empty_value=_UNKNOWN)
    def rows(self, shape: Shape) -> int | None:
        return shape.snapshot_rows

    @admin.display(description=_("bytes"), empty_value=_UNKNOWN)
    def size(self, shape: Shape) -> str | None:
        state = _log_state(shape)
        return filesizeformat(state.size) if state else None

    @admin.display(description=_("last offset"), empty_value=_UNKNOWN)
    def last_offset(self, shape: Shape) -> str | None:
        state = _log_state(shape)
        return str(state.last_offset) if state and state.is_snapshot_complete else None

"""ShapeAdmin: the list of shapes and the page of one. Read-only: a shape is deleted or rotated, not changed.

Deleting a shape rotates it: its clients are told to fetch anew, under a new handle, which the first of them
brings about. The action *rotate* makes the new handle at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_electric.admin.filters import ClientsFilter, ConditionFilter
from django_electric.admin.log import log_page, may_view_log, tail
from django_electric.admin.replication import replication_page
from django_electric.conf import ALIAS, electric_settings
from django_electric.models import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.revoking import revoke_keys
from django_electric.upkeep.probes import said_bytes
from django_electric.upkeep.shapes import ShapeFacts, facts_of

_UNKNOWN = "–"
_FACTS = "_admin_facts"

if TYPE_CHECKING:
    _ShapeAdminBase = admin.ModelAdmin[Shape]
else:
    _ShapeAdminBase = admin.ModelAdmin


def _attach(shapes: Iterable[Shape]) -> None:
    """Look at the files once for all shapes of a page."""
    facts = facts_of(shapes, electric_settings(ALIAS))
    for shape in shapes:
        vars(shape)[_FACTS] = facts[shape.handle]


def _facts(shape: Shape) -> ShapeFacts:
    if _FACTS not in vars(shape):
        _attach([shape])
    found: ShapeFacts = vars(shape)[_FACTS]
    return found


@admin.register(Shape)
class ShapeAdmin(_ShapeAdminBase):
    """Sizes, offsets, costs and clients are read from the files, once for a page."""

    list_display = (
        "handle", "relation", "condition", "owner", "is_indexed", "clients", "rows", "size", "behind", "status",
        "cost", "last_offset",
    )  # fmt: skip
    list_filter = ("status", ConditionFilter, ClientsFilter, "schema_name", "table_name")
    search_fields = ("handle", "table_name", "where", "owner")
    ordering = ("-id",)
    list_per_page = 50
    actions = ("rotate_selected", "revoke_owners")
    fields = (
        "handle", "relation", "condition", "selected_columns", "replica", "log_mode", "status", "rows", "size",
        "last_offset", "behind", "clients", "snapshot", "road", "cost", "owner", "created_at",
    )  # fmt: skip
    readonly_fields = fields

    class Media:
        css: ClassVar = {"all": ["django_electric/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "replication/",
                wrap(self.replication_view),
                name="django_electric_shape_replication",
            ),
            path("<int:pk>/log/", wrap(self.log_view), name="django_electric_shape_log"),
            path("<int:pk>/log/tail/", wrap(self.tail_view), name="django_electric_shape_tail"),
            *super().get_urls(),
        ]

    def replication_view(self, request: HttpRequest) -> HttpResponseBase:
        """How slot, publication and worker are."""
        return replication_page(self, request)

    def log_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """The log of a shape, page by page."""
        return log_page(self, request, pk)

    def tail_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """What is added to it, as it is added."""
        return tail(self, request, pk)

    # -- who may -----------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Shape | None = None) -> bool:
        return False

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """Asked by the action."""
        return bool(request.user.has_perm("django_electric.rotate_shape"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Asked by the action."""
        return bool(request.user.has_perm("django_electric.revoke_shape_owner"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["may_view_log"] = may_view_log(request)
        return super().render_change_form(request, context, *args, **kwargs)

    # -- what is shown -----------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shape]:
        stream = electric_settings(ALIAS).replication_stream_id
        return super().get_queryset(request).filter(stream_id=stream)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        _attach(changelist.result_list)
        return changelist

    @admin.action(description=_("Rotate selected shapes"), permissions=["rotate"])
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[Shape]) -> None:
        """New handles; the worker begins to fill them at once."""
        rotated = [shape.rotate() for shape in queryset]
        for shape in rotated:
            self.log_change(request, shape, "Rotated.")
        count = len(rotated)
        text = ngettext("%d shape was rotated.", "%d shapes were rotated.", count) % count
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(
        description=_("End what the owners of selected shapes are reading"), permissions=["revoke"]
    )
    def revoke_owners(self, request: HttpRequest, queryset: QuerySet[Shape]) -> None:
        """Of all shapes, not only these: their live requests end, and their tokens."""
        owners = set(queryset.exclude(owner="").values_list("owner", flat=True))
        try:
            revoke_keys(owners)
        except OSError as error:
            text = _("The storage cannot be written: %s") % error
            self.message_user(request, text, messages.ERROR)
            return
        text = ngettext("%d user was revoked.", "%d users were revoked.", len(owners)) % len(owners)
        self.message_user(request, text, messages.SUCCESS if owners else messages.WARNING)

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

    @admin.display(description=_("rows at first"), ordering="snapshot_rows")
    def rows(self, shape: Shape) -> str:
        return _UNKNOWN if shape.snapshot_rows is None else f"{shape.snapshot_rows:,}"

    @admin.display(description=_("bytes"))
    def size(self, shape: Shape) -> str:
        log = _facts(shape).log
        return filesizeformat(log.size) if log else _UNKNOWN

    @admin.display(description=_("last offset"))
    def last_offset(self, shape: Shape) -> str:
        log = _facts(shape).log
        return str(log.last_offset) if log and log.is_snapshot_complete else _UNKNOWN

    @admin.display(description=_("lag"))
    def behind(self, shape: Shape) -> str:
        """WAL that the worker has not taken in; nothing for a shape that waits for its first rows."""
        behind = _facts(shape).behind
        is_active = shape.status == shape.Status.ACTIVE
        return _UNKNOWN if behind is None or not is_active else said_bytes(behind)

    @admin.display(description=_("live clients"))
    def clients(self, shape: Shape) -> int:
        return _facts(shape).clients

    @admin.display(description=_("indexed"), boolean=True)
    def is_indexed(self, shape: Shape) -> bool | None:
        return _facts(shape).is_indexed

    @admin.display(description=_("found how"))
    def road(self, shape: Shape) -> str:
        explanation = _facts(shape).explanation
        return format_html("<pre>{}</pre>", explanation) if explanation else _UNKNOWN

    @admin.display(description=_("cost of the condition"))
    def cost(self, shape: Shape) -> str:
        """As the worker measured it; nothing where an index tells all."""
        cost = _facts(shape).cost
        if cost is None:
            return _UNKNOWN
        return (
            format_html("<strong>{} ({})</strong>", cost, _("slow")) if cost.is_slow else str(cost)
        )

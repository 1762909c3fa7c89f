"""The log of a shape in the admin: page by page, one row's history, one transaction, and what is added live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_electric.conf import ALIAS, electric_settings
from django_electric.errors import StorageError
from django_electric.models import Shape
from django_electric.shapes.offset import LogOffset
from django_electric.storage import FileStorage
from django_electric.upkeep.log import BEGINNING, LogBook, LogPage, Place
from django_electric.web.django_http import EventStream
from django_electric.web.service import shape_service
from django_electric.web.streaming import EventBody

if TYPE_CHECKING:
    ShapeModelAdmin = ModelAdmin[Shape]
else:
    ShapeModelAdmin = ModelAdmin


def may_view_log(request: HttpRequest) -> bool:
    """The log holds the rows themselves: to view shapes is not enough."""
    return bool(request.user.has_perm("django_electric.view_shape_log"))


def log_page(admin: ShapeModelAdmin, request: HttpRequest, pk: int) -> HttpResponseBase:
    """Without parameters the newest entries; with ``place``, ``before``, ``offset``, ``txid`` or ``key`` others."""
    shape = _shape(admin, request, pk)
    wanted = request.GET.dict()
    page, problem, end = LogPage((), None, None), "", ""
    try:
        page, end = _look(shape, wanted)
    except StorageError:
        problem = _("The shape has no log: the worker has not begun to fill it, or has rotated it.")
    except ValueError as error:
        problem = str(error)
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Log of %s") % shape,
        "opts": admin.opts,
        "media": admin.media,
        "shape": shape,
        "page": page,
        "problem": problem,
        "jumps": _jumps(wanted),
        "search": {name: wanted[name] for name in ("key", "txid") if wanted.get(name)},
        "end": end,
        "is_at_end": not problem and page.after is None and not page.is_search,
    }
    return TemplateResponse(request, "admin/django_electric/shape/log.html", context)


def _jumps(wanted: dict[str, str]) -> list[dict[str, str]]:
    """The forms that lead to a place."""
    labels = {"offset": _("Offset"), "txid": _("Transaction id"), "key": _("Key of a row")}
    return [
        {"name": name, "label": label, "value": wanted.get(name, "")}
        for name, label in labels.items()
    ]


def _look(shape: Shape, wanted: dict[str, str]) -> tuple[LogPage, str]:
    """The page that is asked for, and where the log ends. Raises StorageError, ValueError."""
    reader = FileStorage(electric_settings(ALIAS).root).reader(shape.handle)
    try:
        end = str(reader.state().last_offset)
        return _page(LogBook(reader), wanted), end
    finally:
        reader.close()


def tail(admin: ShapeModelAdmin, request: HttpRequest, pk: int) -> HttpResponseBase:
    """What follows ``offset``, as server-sent events, for a minute."""
    shape = _shape(admin, request, pk)
    if not isinstance(request, ASGIRequest):
        return HttpResponse("a live log needs ASGI", status=501, content_type="text/plain")
    try:
        offset = LogOffset.parse(request.GET.get("offset", ""))
    except ValueError as error:
        return HttpResponse(str(error), status=400, content_type="text/plain")
    body = EventBody(shape_service(electric_settings(ALIAS)), shape.handle, offset, None, _nothing)
    return EventStream(body, content_type="text/event-stream")


def _nothing() -> None:
    """No permit was taken that could be given back."""


def _shape(admin: ShapeModelAdmin, request: HttpRequest, pk: int) -> Shape:
    shape = admin.get_queryset(request).filter(pk=pk).first()
    if shape is None:
        raise Http404("there is no such shape")
    if not may_view_log(request):
        raise PermissionDenied
    return shape


def _page(book: LogBook, wanted: dict[str, str]) -> LogPage:
    """The page that the first of these parameters means. Raises ValueError."""
    start = Place.parse(wanted["place"]) if wanted.get("place") else None
    if key := wanted.get("key"):
        return book.history(key, start or BEGINNING)
    if txid := wanted.get("txid"):
        return book.transaction(_number(txid), start or BEGINNING)
    if before := wanted.get("before"):
        return book.page_before(Place.parse(before))
    if offset := wanted.get("offset"):
        return book.page(book.place_of(LogOffset.parse(offset)))
    return book.page(start) if start is not None else book.page_before(book.end)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise ValueError(f"not a transaction id: {text!r}")
    return int(text)

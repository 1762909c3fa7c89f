"""Shapes from the ViewSets of Django REST framework (extra ``drf``)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import classonlymethod
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer

from django_electric.authority import user_key
from django_electric.querysets import access_of
from django_electric.web.project_views import Allowed, around

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.viewsets import GenericViewSet as Base
else:
    Base = object


class EventStreamErrors(JSONRenderer):
    """Lets clients in who ask for server-sent events; what they get is no business of a renderer."""

    media_type = "text/event-stream"
    format = "sse"


class ShapeActionMixin(Base):
    """Adds the route ``…/shape/`` to a ViewSet: the rows of its queryset, live, to whom it lets in::

        class IssueViewSet(ShapeActionMixin, ModelViewSet): ...

    Authentication, permissions, throttles and filters are those of the ViewSet; the columns are the fields
    of its serializer that are columns of the model and are not ``write_only``.
    """

    @action(
        detail=False,
        methods=["get", "post"],
        url_path="shape",
        url_name="shape",
        renderer_classes=[JSONRenderer, EventStreamErrors],
    )
    def shape(self, request: Request, *args: object, **kwargs: object) -> HttpResponseBase:
        """The rows as a shape."""
        access = access_of(
            self.get_shape_queryset(),
            columns=self.get_shape_columns(),
            user=user_key(request.user),
        )
        return Allowed(access)

    def get_shape_queryset(self) -> QuerySet[Any]:
        """What a list would show, without the order and the other tables that it brings along."""
        rows: QuerySet[Any] = self.filter_queryset(self.get_queryset())
        return rows.order_by().select_related(None).prefetch_related(None)

    def get_shape_columns(self) -> Iterable[str] | None:
        """The names of the model's fields that the serializer shows."""
        model = self.get_queryset().model
        known = {field.name for field in model._meta.concrete_fields}
        known |= {field.attname for field in model._meta.concrete_fields}
        shown = self.get_serializer().fields.values()
        return [field.source for field in shown if not field.write_only and field.source in known]

    @classonlymethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """That of the ViewSet; for the shape's route an async one around it, so that nothing waits in a thread."""
        inner = super().as_view(actions, **initkwargs)
        if "shape" not in (actions or {}).values():
            return inner

        async def view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            return await around(request, partial(inner, request, *args, **kwargs))

        return transaction.non_atomic_requests(update_wrapper(view, inner))

"""Shapes from a project's own views: `shape_view`, `sync_response`, `ShapeView`.

Whatever decides who may read what, the project's QuerySets, mixins, permissions and policies, is ordinary
code that may ask the database. So it runs in a thread, and is done before the answer begins to wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial, update_wrapper
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from django_electric.authority import Refused, access_to_shape, refusal, user_key, user_of
from django_electric.declared import Shape
from django_electric.errors import ElectricError
from django_electric.protocol.access import Access
from django_electric.protocol.body import BadBody
from django_electric.querysets import Rows, access_of, queryset_of
from django_electric.registry import registry
from django_electric.web.django_http import from_django
from django_electric.web.exchange import WebRequest
from django_electric.web.gate import by_token
from django_electric.web.handover import Handover
from django_electric.web.views import (
    all_that_is_asked,
    answer_with,
    current_service,
    in_thread,
    let_go_of_connections,
    not_found,
    refuse,
)

AsyncView = Callable[..., Awaitable[HttpResponseBase]]


async def sync_response(
    request: HttpRequest,
    rows: Rows,
    *,
    columns: Iterable[str] | None = None,
    is_public: bool = False,
) -> HttpResponseBase:
    """The answer of an async view to a client that may read *rows*: whatever it says narrows them.

    *columns* names the fields to be read; None for those that the QuerySet loads. *is_public* says that
    everybody gets the same, so that shared caches may keep it. Raises `UnsupportedQuerySet`.
    """
    if request.method == "OPTIONS":
        return await answer_with(request, None)
    access = await in_thread(
        request, _computed, request, rows, columns=columns, is_public=is_public
    )
    return await answer_with(request, access)


def wait_in_thread(
    request: HttpRequest,
    rows: Rows,
    *,
    columns: Iterable[str] | None = None,
    is_public: bool = False,
) -> HttpResponseBase:
    """`sync_response` for a synchronous view, whose thread waits unless `shapes_first` answers."""
    access = _computed(request, rows, columns=columns, is_public=is_public)
    if Handover.of(request) is None:
        let_go_of_connections()
    return async_to_sync(answer_with)(request, access)


def _computed(
    request: HttpRequest, rows: Rows, *, columns: Iterable[str] | None, is_public: bool
) -> Access:
    user = None if is_public else user_key(user_of(request))
    return access_of(rows, columns=columns, is_public=is_public, user=user)


# --- Declared shapes ----------------------------------------------------------------------------------


def shape_view(shape: Shape) -> AsyncView:
    """A view of a declared shape, for any path; decorators may guard it further."""

    @transaction.non_atomic_requests
    @csrf_exempt
    async def view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        return await _serve(request, shape)

    return view


@transaction.non_atomic_requests
@csrf_exempt
async def declared(request: HttpRequest, name: str) -> HttpResponseBase:
    """``shapes/<name>/``: the declared shape of that name."""
    shape = registry.shapes.get(name)
    if shape is None:
        return not_found(request)
    asked = from_django(request)
    if asked.method == "OPTIONS":
        return await _serve(request, shape)
    asked, query = await all_that_is_asked(asked)
    try:
        entry = (
            None if isinstance(query, BadBody) else by_token(current_service(), asked, query, name)
        )
    except ElectricError as error:
        return refuse(request, error)
    if entry is None:
        return await _serve(request, shape, asked)
    return await answer_with(request, entry.access, asked, leave=entry.leave)


async def _serve(
    request: HttpRequest, shape: Shape, asked: WebRequest | None = None
) -> HttpResponseBase:
    if request.method == "OPTIONS":
        return await answer_with(request, None)
    try:
        access = await in_thread(request, _access, shape, request)
    except Refused as error:
        return refuse(request, error)
    return await answer_with(request, access, asked)


def _access(shape: Shape, request: HttpRequest) -> Access:
    # The user is looked up when it is first looked at.
    return access_to_shape(shape, user_of(request))


# --- Class-based views --------------------------------------------------------------------------------


class Allowed(HttpResponse):
    """What a `ShapeView` returns inside: goes back through its mixins and is then replaced by the answer."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        del self.headers["Content-Type"]
        self.access = access


class ShapeView(View):
    """A view of the rows that `get_queryset` returns, with the columns that `get_columns` names::

        class MyIssues(LoginRequiredMixin, ShapeView):
            def get_queryset(self):
                return Issue.objects.filter(assignee=self.request.user)

    Everything in it is synchronous, as in other class-based views, and runs in a thread: mixins, decorators
    of `dispatch`, permissions. What `as_view` returns is an async view, so that nothing waits in a thread.
    """

    model: ClassVar[type[Model] | None] = None
    queryset: ClassVar[QuerySet[Any] | None] = None
    permission_classes: ClassVar[Sequence[Callable[[], Any]]] = ()
    """Each is called and asked ``has_permission(request, view)``, as those of Django REST framework are."""
    is_public: ClassVar[bool] = False
    """Whether everybody gets the same, so that shared caches may keep it."""

    http_method_names: ClassVar[list[str]] = ["get", "head", "post", "delete", "options"]  # type: ignore[misc]  # of each

    def get_queryset(self) -> QuerySet[Model]:
        """The rows that who asks may read."""
        rows = self.model if self.queryset is None else self.queryset.all()
        if rows is None:
            name = type(self).__name__
            raise ImproperlyConfigured(
                f"Give {name} a queryset or a model, or override get_queryset()."
            )
        return queryset_of(rows)

    def get_columns(self) -> Iterable[str] | None:
        """The names of the fields to be read; None for those that the QuerySet loads."""
        return None

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Decide what may be read; how much of it is wanted is the client's affair."""
        user = user_of(request)
        for permission in self.permission_classes:
            if not permission().has_permission(request, self):
                raise refusal(user)
        access = access_of(
            self.get_queryset(),
            columns=self.get_columns(),
            is_public=self.is_public,
            user=None if self.is_public else user_key(user),
        )
        return Allowed(access)

    post = delete = get

    @classmethod
    def as_view(cls, **initkwargs: Any) -> AsyncView:  # type: ignore[override]  # an async view is one
        """The async view around the synchronous one."""
        inner = super().as_view(**initkwargs)

        async def view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            return await around(request, partial(inner, request, *args, **kwargs))

        return transaction.non_atomic_requests(csrf_exempt(update_wrapper(view, inner)))


async def around(request: HttpRequest, inner: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The answer of a synchronous view, called in a thread; in the place of `Allowed` the shape's."""
    if request.method == "OPTIONS":
        return await answer_with(request, None)
    try:
        response = await in_thread(request, inner)
    except Refused as error:
        return refuse(request, error)
    if not isinstance(response, Allowed):
        return response
    return await answer_with(request, response.access, held=response)

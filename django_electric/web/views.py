"""Django's face of the answering core: async views for /v1/shape and /v1/health."""

from __future__ import annotations

from functools import partial

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from django_electric.conf import electric_settings
from django_electric.protocol.body import BadBody
from django_electric.protocol.headers import EVENT_STREAM
from django_electric.web.answer import (
    answer_health,
    answer_not_found,
    answer_root,
    answer_shape,
)
from django_electric.web.exchange import WebRequest, WebResponse, query_pairs
from django_electric.web.handover import Handover
from django_electric.web.service import shape_service


# The work on the database is done elsewhere: ATOMIC_REQUESTS, which async views cannot have, need not
# apply.
@transaction.non_atomic_requests
@csrf_exempt
async def shape(request: HttpRequest) -> HttpResponseBase:
    """``/v1/shape``."""
    service = shape_service(electric_settings())
    answer = partial(answer_shape, service)
    handover = Handover.of(request)
    if handover is not None:
        return handover.accept(answer)
    return to_django(request, await answer(from_django(request)))


@transaction.non_atomic_requests
@csrf_exempt
async def health(request: HttpRequest) -> HttpResponseBase:
    """``/v1/health``."""
    service = shape_service(electric_settings())
    return to_django(request, await answer_health(service, from_django(request)))


@csrf_exempt
def root(request: HttpRequest) -> HttpResponseBase:
    """``/``, for a project that serves nothing else there: some clients and probes ask for it."""
    return to_django(request, answer_root(from_django(request)))


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """404 as Electric's clients know it: for a project's last route or its ``handler404``."""
    return to_django(request, answer_not_found(from_django(request)))


class EventStream(StreamingHttpResponse):
    """Server-sent events, which must not be compressed: GZipMiddleware would hold them back."""

    def has_header(self, header: str) -> bool:
        # The middleware leaves alone what is encoded already.
        return header.lower() == "content-encoding" or super().has_header(header)


def from_django(request: HttpRequest) -> WebRequest:
    """What the core needs of *request*."""

    async def read_body(limit: int) -> bytes:
        try:
            return request.read(limit)
        except UnreadablePostError as error:
            raise BadBody("Failed to read request body") from error

    async def may_delete() -> bool:
        return await sync_to_async(_may_delete)(request)

    return WebRequest(
        method=request.method or "GET",
        query=query_pairs(request.META.get("QUERY_STRING", "")),
        headers=request.headers,
        read_body=read_body,
        may_delete=may_delete,
    )


def _may_delete(request: HttpRequest) -> bool:
    """Whether the project's user has the permission, and meant it: a cookie is sent by any page."""
    user = getattr(request, "user", None)
    if user is None or not user.has_perm("django_electric.delete_shape"):
        return False
    return settings.SESSION_COOKIE_NAME not in request.COOKIES or _has_csrf_token(request)


def _has_csrf_token(request: HttpRequest) -> bool:
    check = CsrfViewMiddleware(not_found)
    check.process_request(request)
    # On behalf of a view that is not exempt.
    return check.process_view(request, HttpResponse, (), {}) is None


def to_django(request: HttpRequest, response: WebResponse) -> HttpResponseBase:
    """A Django response with exactly the core's headers."""
    answer: HttpResponseBase
    if response.stream is not None:
        kind = (
            EventStream
            if response.headers["content-type"] == EVENT_STREAM
            else StreamingHttpResponse
        )
        answer = kind(response.stream, status=response.status)
    else:
        answer = HttpResponse(response.body, status=response.status)
    # Django's own choice, where the core makes none.
    del answer.headers["Content-Type"]
    for name, value in response.headers.items():
        # WSGI forbids an application to speak of the connection.
        if name != "connection" or not isinstance(request, WSGIRequest):
            answer.headers[name] = value
    return answer

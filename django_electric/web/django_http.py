"""Django's requests and responses ↔ those of the answering core."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from django_electric.protocol.body import BadBody
from django_electric.protocol.headers import EVENT_STREAM
from django_electric.web.exchange import WebRequest, WebResponse, query_pairs


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
        http_version=getattr(request, "scope", {}).get("http_version", ""),
        client=request.META.get("REMOTE_ADDR"),
    )


def _may_delete(request: HttpRequest) -> bool:
    """Whether the project's user has the permission, and meant it: a cookie is sent by any page."""
    user = getattr(request, "user", None)
    if user is None or not user.has_perm("django_electric.delete_shape"):
        return False
    return is_meant(request)


def is_meant(request: HttpRequest) -> bool:
    """Whether a page of the project sent it: a session's cookie is sent by anybody's page."""
    return settings.SESSION_COOKIE_NAME not in request.COOKIES or _has_csrf_token(request)


def _has_csrf_token(request: HttpRequest) -> bool:
    check = CsrfViewMiddleware(HttpResponse)
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
        if name != "connection" or _may_speak_of_connection(request):
            answer.headers[name] = value
    return answer


def _may_speak_of_connection(request: HttpRequest) -> bool:
    """WSGI forbids it, and so do HTTP/2 and what follows it."""
    if isinstance(request, WSGIRequest):
        return False
    scope = getattr(request, "scope", {})
    return bool(scope.get("http_version", "1.1").startswith("1"))

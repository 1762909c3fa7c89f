"""What the example project answers outside its pages: the root and unknown paths, as Electric does."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def root(request: HttpRequest) -> HttpResponseBase:
    """An empty 200 for clients and probes (PROTOCOL section 1.1); people are sent to the page."""
    if request.method not in {"GET", "HEAD"}:
        return not_found(request)
    response: HttpResponseBase = redirect("demo:page") if _is_browser(request) else HttpResponse()
    response["Vary"] = "Accept"
    return _as_electric(request, response)


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """``404 Not found`` as plain text, whatever the method (PROTOCOL section 1.1)."""
    return _as_electric(
        request, HttpResponse("Not found", status=404, content_type="text/plain; charset=utf-8")
    )


def _is_browser(request: HttpRequest) -> bool:
    """Whether HTML is asked for by name; ``*/*``, which curl sends, does not count."""
    return any(str(accepted).split(";")[0] == "text/html" for accepted in request.accepted_types)


def _as_electric(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The headers that Electric sets outside the shape route (PROTOCOL sections 1.4 and 6.4)."""
    response["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    response["Access-Control-Allow-Methods"] = "GET, HEAD"
    response["Cache-Control"] = "max-age=0, private, must-revalidate"
    return response

"""What the example project answers at its root: people are sent to the page, clients hear what Electric says."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt

from django_electric.web import views


@csrf_exempt
def root(request: HttpRequest) -> HttpResponseBase:
    """An empty 200 for clients and probes (PROTOCOL section 1.1); people are sent to the page."""
    response = redirect("demo:page") if _is_browser(request) else views.root(request)
    response["Vary"] = "Accept"
    return response


def _is_browser(request: HttpRequest) -> bool:
    """Whether HTML is asked for by name; ``*/*``, which curl sends, does not count."""
    return request.method in {"GET", "HEAD"} and any(
        str(accepted).split(";")[0] == "text/html" for accepted in request.accepted_types
    )

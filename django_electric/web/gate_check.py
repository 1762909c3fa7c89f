"""``gatekeeper/check``: tells a proxy whether the token of a request lets it through, and what to ask for then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlencode

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from django_electric.authority import NotSignedIn, Refused
from django_electric.errors import ElectricError
from django_electric.protocol import replies
from django_electric.protocol.params import InvalidRequest, nest
from django_electric.protocol.query import (
    COLUMNS,
    PARAMS,
    QUERYABLE_COLUMNS,
    SECRETS,
    TABLE,
    WHERE,
)
from django_electric.tokens import TokenShape
from django_electric.web.answer import answer_reply
from django_electric.web.django_http import from_django, to_django
from django_electric.web.exchange import Pairs, WebRequest, query_pairs
from django_electric.web.gate import token_of
from django_electric.web.gatekeeper import gatekeeper, path_of
from django_electric.web.views import current_service, refuse

URI: Final = "x-forwarded-uri"
METHOD: Final = "x-forwarded-method"
ASK: Final = "x-electric-uri"
"""The headers that proxies set; whatever a client says in them they have to overwrite."""
_SHAPE_ROUTES: Final = ("shape", "declared-shape")
_FROM_THE_TOKEN: Final = frozenset(
    parameter.name for parameter in (TABLE, WHERE, PARAMS, COLUMNS, QUERYABLE_COLUMNS, *SECRETS)
)


@transaction.non_atomic_requests
@csrf_exempt
async def check(request: HttpRequest) -> HttpResponseBase:
    """204 for the request whose URI and method the proxy names; 401 or 403 if its token is not good for it.

    The header ``X-Electric-Uri`` has what to ask for in its place with the secret, and without the token:
    the shape as the token has it, and of the client's words those that do not say which shape.
    """
    if request.method not in ("GET", "HEAD"):
        return await gatekeeper(request, "check")  # a table may be called so
    asked = from_django(request)
    try:
        shape = _checked(asked)
    except InvalidRequest:
        # Proxies know of no other refusal.
        return refuse(request, Refused())
    except ElectricError as error:
        return refuse(request, error)
    query = urlencode([*_besides(_original(asked)), *_definition(shape)])
    uri = f"{path_of(request, None)}?{query}"
    return to_django(request, answer_reply(asked, replies.let_through({ASK: uri})))


def _checked(asked: WebRequest) -> TokenShape:
    # What a body says no proxy shows.
    if asked.headers.get(METHOD) not in ("GET", "HEAD"):
        raise Refused("Only GET can be checked: the proxy has to say so in X-Forwarded-Method.")
    path, _, _ = asked.headers.get(URI, "").partition("?")
    name = _name(unquote(path))
    token = token_of(current_service(), asked, nest(_original(asked)), name)
    if token is None:
        raise NotSignedIn("A token of the gatekeeper is needed")
    return token.shape


def _original(asked: WebRequest) -> Pairs:
    _, _, query = asked.headers.get(URI, "").partition("?")
    return query_pairs(query)


def _name(path: str) -> str | None:
    """That of the declared shape at *path*; None if it is the table's endpoint. Raises `Refused`."""
    try:
        match = resolve(path)
    except Resolver404:
        raise Refused from None
    if "django_electric" not in match.app_names or match.url_name not in _SHAPE_ROUTES:
        raise Refused
    return match.kwargs.get("name")


def _besides(pairs: Pairs) -> Iterator[tuple[str, str]]:
    for key, value in pairs:
        if key.partition("[")[0] not in _FROM_THE_TOKEN:
            yield key, value


def _definition(shape: TokenShape) -> Iterator[tuple[str, str]]:
    query = shape.to_query()
    yield from query.items()
    if COLUMNS.name in query:
        # Conditions of subsets would tell what stands in the others.
        yield QUERYABLE_COLUMNS.name, query[COLUMNS.name]

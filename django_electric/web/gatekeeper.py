"""The gatekeeper: asks once who may read a shape, and gives out a token for exactly that shape.

Whoever has the token reads without anybody being asked again until it expires, and a proxy that has the
key can check it before the request comes here (`gatekeeper/check`, docs/how-to/gatekeeper.md).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from math import inf

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from django_electric.authority import NotSignedIn, access_to_shape, user_key, user_of
from django_electric.errors import ElectricError
from django_electric.protocol import body as post_body
from django_electric.protocol import replies
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import table_text
from django_electric.protocol.params import nest, parse_definition
from django_electric.protocol.query import COLUMNS, PARAMS, TABLE, WHERE
from django_electric.registry import registry
from django_electric.revocations import now
from django_electric.tokens import Token, TokenShape
from django_electric.web.answer import answer_preflight, answer_reply
from django_electric.web.django_http import from_django, is_meant, to_django
from django_electric.web.exchange import WebRequest
from django_electric.web.gate import keyring_of
from django_electric.web.service import ShapeService
from django_electric.web.views import current_service, in_thread, refuse, table_access

_NARROWING = (TABLE.name, WHERE.name, PARAMS.name, COLUMNS.name)
"""What of a request says which shape is wanted."""
_MICRO = 1_000_000


@transaction.non_atomic_requests
@csrf_exempt  # whoever comes with a session is asked for the token below
async def gatekeeper(request: HttpRequest, name: str) -> HttpResponseBase:
    """``POST gatekeeper/<name>/``: *name* is that of a declared shape, or a table's.

    The body, or the query, may hold ``where``, ``params`` and ``columns``, which narrow what may be read.
    """
    asked = from_django(request)
    service = current_service()
    if asked.method == "OPTIONS":
        return to_django(request, answer_preflight(asked))
    refused = await _refusal(request, service)
    if refused is not None:
        return to_django(request, answer_reply(asked, refused))
    try:
        query = await _query(asked)
        given = await _admit(request, service, name, query)
    except ElectricError as error:
        return refuse(request, error)
    return to_django(request, answer_reply(asked, given))


async def _refusal(request: HttpRequest, service: ShapeService) -> replies.Reply | None:
    """Why nobody is asked at all, if so."""
    if request.method != "POST":
        return replies.POST_ONLY
    if not service.settings.gatekeeper_keys:
        return replies.NO_KEYS
    if not await sync_to_async(is_meant)(request):
        return replies.NOT_MEANT
    return None


async def _query(asked: WebRequest) -> dict[str, object]:
    body = post_body.decode(await asked.read_body(post_body.LARGEST + 1))
    given = {**nest(asked.query), **post_body.as_query(body)}
    return {key: given[key] for key in _NARROWING if key in given}


async def _admit(
    request: HttpRequest, service: ShapeService, name: str, query: Mapping[str, object]
) -> replies.Reply:
    since = await _after_trial(request, service)
    is_declared = name in registry.shapes
    if is_declared:
        access = await in_thread(request, _access_to_declared, name, request)
    else:
        access = await table_access(request, service, {**query, TABLE.name: name})
    shape = await _shape(service, access, query, name if is_declared else None)
    token = Token(shape, access.user, since / _MICRO, _expiry(service, since))
    text = keyring_of(service.settings).sign(token)
    return replies.ticket(json.dumps(_ticket(request, token, text)).encode())


def _access_to_declared(name: str, request: HttpRequest) -> Access:
    return access_to_shape(registry.shapes[name], user_of(request))


async def _shape(
    service: ShapeService, access: Access, query: Mapping[str, object], name: str | None
) -> TokenShape:
    """All that *access* allows of what *query* asks for, as one definition that needs no access to it."""
    definition = await service.shapes.definition(parse_definition(query, access))
    return TokenShape(
        table_text(access.table),
        definition.where,
        columns=definition.columns if definition.has_explicit_columns else None,
        name=name,
    )


def _expiry(service: ShapeService, since: int) -> float:
    return math.ceil(since / _MICRO + service.settings.token_ttl / 1000)


def _ticket(request: HttpRequest, token: Token, text: str) -> dict[str, object]:
    """What the official client takes as its options, and when it is over."""
    shape = token.shape
    params: dict[str, object] = {**shape.to_query()}
    if shape.columns is not None:
        params[COLUMNS.name] = list(shape.columns)
    return {
        "url": request.build_absolute_uri(path_of(request, shape.name)),
        "headers": {"Authorization": f"Bearer {text}"},
        "params": params,
        "expires": token.expires,
    }


def path_of(request: HttpRequest, name: str | None) -> str:
    """The path of the declared shape of that name, or of the table's endpoint, where this project has them."""
    match = request.resolver_match
    instance = match.namespace if match is not None else None
    if name is None:
        return reverse("django_electric:shape", current_app=instance)
    return reverse("django_electric:declared-shape", args=[name], current_app=instance)


async def _after_trial(request: HttpRequest, service: ShapeService) -> int:
    """Now, or a little later: until nothing is left of what a revocation has just taken away."""
    since = now()
    service.revocations.look()
    user = await in_thread(request, _user_key, request)
    left = service.revocations.leave(user, since).trial_seconds
    if left == inf:
        return since
    await asyncio.sleep(left)
    if not await in_thread(request, _has_session, request):
        raise NotSignedIn
    return now()


def _user_key(request: HttpRequest) -> str | None:
    return user_key(user_of(request))


def _has_session(request: HttpRequest) -> bool:
    """Whether the session by which the user was known is still there."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is None or session.session_key is None:
        return True
    # Read anew: what this request knows of it is as old as the request.
    return bool(type(session)(session.session_key).load())

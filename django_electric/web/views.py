"""Django's face of the answering core: async views for /v1/shape and /v1/health.

Who may read what is decided here, and nowhere else, before the core is asked: by the secret, by open
mode, by a token of the gatekeeper, by the project's hook, or by the policy of the table's model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from django_electric.authority import NotSignedIn, access_to_table, refusal, user_of
from django_electric.conf import electric_settings
from django_electric.errors import ElectricError
from django_electric.protocol import body as post_body
from django_electric.protocol.access import Access
from django_electric.protocol.body import BadBody
from django_electric.protocol.identifiers import TableName, parse_table
from django_electric.protocol.params import parse_definition
from django_electric.protocol.query import TABLE
from django_electric.registry import registry
from django_electric.revocations import Leave, now
from django_electric.web.answer import (
    answer_failure,
    answer_health,
    answer_not_found,
    answer_root,
    answer_shape,
    is_authentic,
)
from django_electric.web.django_http import from_django, to_django
from django_electric.web.exchange import WebRequest
from django_electric.web.gate import by_hook, by_token
from django_electric.web.handover import Handover
from django_electric.web.service import ShapeService, shape_service
from django_electric.web.wanted import merged_query

P = ParamSpec("P")
T = TypeVar("T")
Query = Mapping[str, object]


# The work on the database is done elsewhere: ATOMIC_REQUESTS, which async views cannot have, need not
# apply.
@transaction.non_atomic_requests
@csrf_exempt
async def shape(request: HttpRequest) -> HttpResponseBase:
    """``/v1/shape``."""
    asked = from_django(request)
    service = current_service()
    if asked.method == "OPTIONS" or not _others_decide(service) or _secret_decides(service, asked):
        return await answer_with(request, None)
    try:
        asked, query = await all_that_is_asked(asked)
        entry = None if isinstance(query, BadBody) else by_token(service, asked, query)
        if entry is not None:
            return await answer_with(request, entry.access, asked, leave=entry.leave)
        access = await table_access(request, service, query)
    except NotSignedIn as error:
        # Where there is a secret, whoever is nobody hears what Electric says of a wrong one.
        if service.settings.secret is not None:
            return await answer_with(request, None, asked)
        return refuse(request, error)
    except ElectricError as error:
        return refuse(request, error)
    return await answer_with(request, access, asked)


def _secret_decides(service: ShapeService, asked: WebRequest) -> bool:
    """Whether the request needs no user: it is open to everybody, has the secret, or nothing is served."""
    settings = service.settings
    if settings.is_open:
        return is_authentic(service, asked)
    return settings.insecure


def _others_decide(service: ShapeService) -> bool:
    """Whether anything but the secret lets anybody in."""
    settings = service.settings
    return bool(registry.policies or settings.gatekeeper_keys or settings.authorize)


async def all_that_is_asked(asked: WebRequest) -> tuple[WebRequest, Query | BadBody]:
    """The request, whose body has been read if it has one, and all its parameters.

    What is wrong with the body is for those to hear who may be answered at all.
    """
    try:
        asked = await _with_body_read(asked)
        return asked, await merged_query(asked)
    except BadBody as error:
        return asked, error


async def _with_body_read(asked: WebRequest) -> WebRequest:
    """A body can be read once, and who may read a table is asked before the core asks for it."""
    if asked.method != "POST":
        return asked
    body = await asked.read_body(post_body.LARGEST + 1)

    async def read_again(limit: int) -> bytes:
        return body[:limit]

    return replace(asked, read_body=read_again)


async def table_access(
    request: HttpRequest, service: ShapeService, query: Query | BadBody
) -> Access:
    """What may be read of the table that *query* names. Raises `Refused` and other ElectricErrors."""
    if service.settings.authorize is None:
        return await in_thread(request, _access, _table_named(query), request)
    if isinstance(query, BadBody):
        raise query
    return await by_hook(service.settings, request, parse_definition(query))


def _table_named(query: Query | BadBody) -> TableName | BadBody | None:
    if isinstance(query, BadBody):
        return query
    text = query.get(TABLE.name)
    try:
        return parse_table(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _access(table: TableName | BadBody | None, request: HttpRequest) -> Access:
    user = user_of(request)
    if isinstance(table, TableName):
        return access_to_table(table, user)
    raise table if table is not None and user.is_authenticated else refusal(user)


def current_service() -> ShapeService:
    """That of this process, with the settings as they are."""
    return shape_service(electric_settings())


# --- What the project's own views use too -------------------------------------------------------------


async def answer_with(
    request: HttpRequest,
    access: Access | None,
    asked: WebRequest | None = None,
    held: HttpResponseBase | None = None,
    leave: Leave | None = None,
) -> HttpResponseBase:
    """The answer to *request*, for which *access* is allowed; None if the secret decides.

    *held* is a response in whose place it comes, and whose headers and cookies it takes over. The *leave* is
    that of the user of *access*, unless another is given.
    """
    service = current_service()
    service.ending.hear()
    handover = Handover.of(request)
    if leave is None:
        since = now() if handover is None else handover.since
        leave = service.revocations.leave(access.user if access else None, since)
    answer = partial(answer_shape, service, access=access, leave=leave)
    if handover is not None:
        response: HttpResponseBase = handover.accept(answer, leave)
    else:
        response = to_django(request, await answer(asked or from_django(request)))
    return response if held is None else _in_place_of(held, response)


def _in_place_of(held: HttpResponseBase, response: HttpResponseBase) -> HttpResponseBase:
    for name, value in held.headers.items():
        if name.lower() == "vary":
            patch_vary_headers(response, [one.strip() for one in value.split(",")])
        else:
            response.headers.setdefault(name, value)
    response.cookies.update(held.cookies)
    return response


def refuse(request: HttpRequest, error: ElectricError) -> HttpResponseBase:
    """The answer that says why not."""
    service = current_service()
    return to_django(request, answer_failure(service, from_django(request), error))


async def in_thread(
    request: HttpRequest, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What *ask* returns, which may ask the database.

    If this request will wait in Django for its answer, its connections are closed: it may wait long.
    """
    if Handover.of(request) is not None:
        return await sync_to_async(ask)(*args, **kwargs)
    return await sync_to_async(_and_let_go)(ask, *args, **kwargs)


def _and_let_go(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return ask(*args, **kwargs)
    finally:
        let_go_of_connections()


def let_go_of_connections() -> None:
    """Close this thread's connections to databases, but none in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


# --- Beside the shapes --------------------------------------------------------------------------------


@transaction.non_atomic_requests
@csrf_exempt
async def health(request: HttpRequest) -> HttpResponseBase:
    """``/v1/health``."""
    service = current_service()
    return to_django(request, await answer_health(service, from_django(request)))


@csrf_exempt
def root(request: HttpRequest) -> HttpResponseBase:
    """``/``, for a project that serves nothing else there: some clients and probes ask for it."""
    return to_django(request, answer_root(from_django(request)))


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """404 as Electric's clients know it: for a project's last route or its ``handler404``."""
    return to_django(request, answer_not_found(from_django(request)))

"""What lets a request in beside the secret and the policies: a token of the gatekeeper, the project's hook."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from math import inf
from typing import NamedTuple

from django.http import HttpRequest
from django.utils.module_loading import import_string

from django_electric.authority import Refused
from django_electric.conf import ElectricSettings
from django_electric.errors import ElectricError
from django_electric.protocol.access import Access
from django_electric.protocol.params import ShapeParams, parse_definition
from django_electric.protocol.query import TABLE
from django_electric.revocations import Leave
from django_electric.tokens import (
    LEEWAY_SECONDS,
    Keyring,
    Token,
    TokenInvalid,
    TokenMismatch,
    TokenShape,
    bearer_of,
    keyring,
)
from django_electric.web.exchange import WebRequest
from django_electric.web.service import ShapeService

Hook = Callable[[HttpRequest, ShapeParams], Awaitable[Access | None]]
"""The project's own: what may be read by whoever sends this request for this shape; None for nothing."""


class TokenRevoked(TokenInvalid):
    """The token was revoked"""


class HookFailed(ElectricError):
    """The callable that AUTHORIZE names has failed"""


class Entry(NamedTuple):
    """What may be read, and with which leave."""

    access: Access
    leave: Leave


def keyring_of(settings: ElectricSettings) -> Keyring:
    """The keys of the gatekeeper. Raises ConfigurationError if they cannot be used."""
    return keyring(settings.gatekeeper_keys, settings.replication_stream_id)


def by_token(
    service: ShapeService, asked: WebRequest, query: Mapping[str, object], name: str | None = None
) -> Entry | None:
    """What the gatekeeper's token in *asked* allows; None if there is none.

    *query* is all that *asked* says, its body included; *name* that of the declared shape whose endpoint it
    is. Raises `TokenInvalid`, `TokenMismatch`, and InvalidRequest if it names no shape at all.
    """
    token = token_of(service, asked, query, name)
    if token is None:
        return None
    return Entry(token.shape.to_access(token.user), _leave(service, token))


def token_of(
    service: ShapeService, asked: WebRequest, query: Mapping[str, object], name: str | None
) -> Token | None:
    """The same, as the token says it."""
    text = bearer_of(asked.headers.get("authorization"))
    if text is None or not service.settings.gatekeeper_keys:
        return None
    token = keyring_of(service.settings).verify(text)
    _refuse_revoked(service, token)
    check_shape(token.shape, query, name)
    return token


def check_shape(shape: TokenShape, query: Mapping[str, object], name: str | None) -> None:
    """Raise `TokenMismatch` unless *query* asks for exactly *shape*; what it says besides is its own affair."""
    named = query if name is None else {TABLE.name: shape.table, **query}
    asked_for = TokenShape.of_request(parse_definition(named), name)
    differing = [
        field.name
        for field in fields(TokenShape)
        if getattr(asked_for, field.name) != getattr(shape, field.name)
    ]
    if differing:
        raise TokenMismatch(differing)


def _leave(service: ShapeService, token: Token) -> Leave:
    until = round((token.expires + LEEWAY_SECONDS) * 1_000_000)
    return service.revocations.leave(token.user, round(token.issued * 1_000_000), until)


def _refuse_revoked(service: ShapeService, token: Token) -> None:
    service.revocations.look()
    leave = _leave(service, token)
    # No token is given out during the trial after a revocation: one that says so comes from a wrong clock.
    if leave.is_revoked or leave.trial_seconds < inf:
        raise TokenRevoked


async def by_hook(settings: ElectricSettings, request: HttpRequest, shape: ShapeParams) -> Access:
    """What the callable that AUTHORIZE names allows. Raises `Refused`, or `HookFailed` whatever goes wrong."""
    try:
        hook: Hook = import_string(settings.authorize or "")
        access = await hook(request, shape)
        if not isinstance(access, Access | None):
            raise TypeError(f"{settings.authorize} returned {access!r}, which is no Access")
    except Exception as error:
        raise HookFailed from error
    if access is None:
        raise Refused
    return access

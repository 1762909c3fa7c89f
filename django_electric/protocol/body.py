"""The JSON body of a POST, merged with the query (PROTOCOL section 2.8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from django_electric.errors import ElectricError

LARGEST: Final = 8_000_000
"""Bytes."""
_SUBSET_MEMBERS: Final = (
    "where",
    "order_by",
    "limit",
    "offset",
    "params",
    "where_expr",
    "order_by_expr",
)


class BadBody(ElectricError):
    """The body of the request cannot be used."""

    def __init__(self, message: str, *, status: int = 400, details: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.details = details


def decode(body: bytes) -> dict[str, object]:
    """The members of the body; none if it is empty. Raises `BadBody`."""
    if len(body) > LARGEST:
        raise BadBody("Request body too large", status=413)
    if not body:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody("Invalid JSON in request body", details=str(error)) from None
    if not isinstance(value, dict):
        raise BadBody("Request body must be a JSON object")
    return value


def merge(query: Mapping[str, object], body: Mapping[str, object]) -> dict[str, object]:
    """Parameters of *query* with those of *body* over them; what belongs to a subset under ``subset``.

    A member ``subset`` that is an object takes the subset's members out of the question: all others
    are parameters. Without it ``where``, ``params``, ``offset`` and so on mean the subset's.
    """
    nested = body.get("subset")
    if isinstance(nested, Mapping):
        rest = {key: value for key, value in body.items() if key != "subset"}
        return {**query, **_as_query(rest), "subset": dict(nested)}
    members = {key: body[key] for key in _SUBSET_MEMBERS if key in body}
    rest = {key: value for key, value in body.items() if key not in _SUBSET_MEMBERS}
    merged = {**query, **_as_query(rest)}
    if members:
        merged["subset"] = members
    return merged


def _as_query(members: Mapping[str, object]) -> dict[str, object]:
    """Numbers and booleans as the text that a query would hold; a secret never comes from a body."""
    return {
        key: _as_text(value)
        for key, value in members.items()
        if key not in ("secret", "api_secret")
    }


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _as_text(member) for key, member in value.items()}
    return value

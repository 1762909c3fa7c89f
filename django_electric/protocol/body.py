"""The JSON body of a POST, merged with the query (PROTOCOL section 2.8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from django_electric.errors import ElectricError
from django_electric.protocol.query import (
    COLUMNS,
    CURSOR,
    QUERYABLE_COLUMNS,
    SECRETS,
    SUBSET,
    SUBSET_NESTED,
)

LARGEST: Final = 8_000_000
"""Bytes."""
_LONGEST_INTEGER: Final = 21
"""Digits and sign of what has 64 bits."""
IGNORED_MEMBERS: Final = ("where_expr", "order_by_expr")
"""Of a subset, as the official client sends it to proxies: conditions in another form."""
_SUBSET_MEMBERS: Final = (*(member.name for member in SUBSET), *IGNORED_MEMBERS)
_LISTS: Final = (COLUMNS.name, QUERYABLE_COLUMNS.name)
"""May be lists of texts in a body."""
_OF_THE_QUERY: Final = (*(parameter.name for parameter in SECRETS), CURSOR.name)
"""A member of the body is not taken for one of these."""


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
        # UTF-8 and nothing else: left to guess, the decoder takes halves of surrogate pairs too.
        value = strict_json(body.decode(), _integer)
    except (ValueError, RecursionError) as error:
        raise BadBody("Invalid JSON in request body", details=str(error)) from None
    if not isinstance(value, dict):
        raise BadBody("Request body must be a JSON object")
    return value


def strict_json(text: str, read_integer: Callable[[str], object]) -> object:
    """The value that *text* is in JSON, and in no dialect of it; fractions stay the text that was written.

    Raises ValueError and RecursionError.
    """
    return json.loads(text, parse_int=read_integer, parse_float=str, parse_constant=_not_in_json)


def _integer(text: str) -> object:
    """One that no parameter takes for a number stays text: Python reads no more than some thousand digits."""
    return int(text) if len(text) < _LONGEST_INTEGER else text


def _not_in_json(word: str) -> NoReturn:
    """``NaN`` and ``Infinity``, which Python takes for JSON."""
    raise ValueError(f"{word} is not JSON")


def merge(query: Mapping[str, object], body: Mapping[str, object]) -> dict[str, object]:
    """Parameters of *query* with those of *body* over them; what belongs to a subset under ``subset``.

    A member ``subset`` that is an object takes the subset's members out of the question: all others
    are parameters. Without it ``where``, ``params``, ``offset`` and so on mean the subset's.
    """
    nested = body.get(SUBSET_NESTED)
    if isinstance(nested, Mapping):
        rest = {key: value for key, value in body.items() if key != SUBSET_NESTED}
        return {**query, **as_query(rest), SUBSET_NESTED: dict(nested)}
    members = {key: body[key] for key in _SUBSET_MEMBERS if key in body}
    rest = {key: value for key, value in body.items() if key not in _SUBSET_MEMBERS}
    merged = {**query, **as_query(rest)}
    if members:
        beside = query.get(SUBSET_NESTED)
        merged[SUBSET_NESTED] = {**(beside if isinstance(beside, Mapping) else {}), **members}
    return merged


def as_query(members: Mapping[str, object]) -> dict[str, object]:
    """*members* as a query would hold them, without those that only count there."""
    return {
        key: _as_parameter(key, value) for key, value in members.items() if key not in _OF_THE_QUERY
    }


def _as_parameter(name: str, value: object) -> object:
    """What no parameter can be stays as it is, to be refused."""
    if isinstance(value, Mapping):
        return {key: _as_text(member) for key, member in value.items()}
    if name in _LISTS and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    return _as_text(value)


def _as_text(value: object) -> object:
    """A number or a boolean as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value

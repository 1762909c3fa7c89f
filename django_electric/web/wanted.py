"""WebRequest → ShapeRequest: what is asked for, wherever in the request it stands."""

from __future__ import annotations

from functools import lru_cache

from django_electric.protocol import body as post_body
from django_electric.protocol.access import Access
from django_electric.protocol.params import ShapeRequest, nest, parse
from django_electric.web.exchange import Pairs, WebRequest


async def wanted_of(request: WebRequest, access: Access | None) -> ShapeRequest:
    """The shape and the place in its log that *request* is about. Raises InvalidRequest and `BadBody`."""
    if request.method != "POST":
        return _parse(request.query, access)
    return parse(await merged_query(request), access)


async def merged_query(request: WebRequest) -> dict[str, object]:
    """The parameters of *request*, those of a POST's body among them. Raises `BadBody`."""
    query = nest(request.query)
    if request.method != "POST":
        return query
    return post_body.merge(query, post_body.decode(await request.read_body(post_body.LARGEST + 1)))


@lru_cache(maxsize=4_096)
def _parse(query: Pairs, access: Access | None) -> ShapeRequest:
    """Clients that wait for the same news ask the same question."""
    return parse(nest(query), access)

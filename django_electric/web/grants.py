"""Grants: what has passed through the host project lately need not do so again.

A request that has come through the project's middleware, URLs and decorators to the view leaves a
grant. Another one that is equal in everything that could have changed the way is answered without
Django, until the grant expires or is revoked. What cannot have changed it is listed here, by name;
all else counts.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_electric.revocations import UNBOUND, Leave
from django_electric.web.exchange import Answer

Scope = Mapping[str, Any]
RawHeaders = tuple[tuple[bytes, bytes], ...]

MOST: Final = 10_000
"""Grants kept; the oldest go first."""
_POSITION: Final = frozenset(
    (b"offset", b"handle", b"cursor", b"live", b"live_sse", b"experimental_live_sse", b"expired_handle",
     b"cache-buster")
)  # fmt: skip
"""Query parameters that say how far a client has come, not what it may see."""
_IRRELEVANT: Final = frozenset(
    (b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection", b"if-none-match",
     b"keep-alive", b"pragma", b"priority", b"b3", b"cf-ray", b"fly-request-id", b"request-id", b"traceparent",
     b"tracestate", b"x-amz-cf-id", b"x-amzn-trace-id", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-spanid",
     b"x-b3-traceid", b"x-cloud-trace-context", b"x-correlation-id", b"x-request-id", b"x-request-start")
)  # fmt: skip
"""Request headers that negotiate the form of an answer or name the request in a log."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How to answer, and the headers that the project's middleware adds to the answer."""

    answer: Answer
    headers: RawHeaders
    expires: float
    leave: Leave = UNBOUND
    """The leave to read of the user that it was given to."""


def grant_key(scope: Scope) -> Hashable:
    """All of a request that could change whether and how it is answered; *scope* is ASGI's."""
    query: bytes = scope.get("query_string", b"")
    client = scope.get("client")
    return (
        scope["method"],
        scope.get("scheme"),
        scope.get("root_path"),
        scope["path"],
        client[0] if client else None,
        b"&".join([part for part in query.split(b"&") if part.partition(b"=")[0] not in _POSITION]),
        tuple([header for header in map(tuple, scope["headers"]) if header[0] not in _IRRELEVANT]),
    )


class Grants:
    """The grants of one process. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grants: OrderedDict[Hashable, Grant] = OrderedDict()

    def __len__(self) -> int:
        return len(self._grants)

    def get(self, key: Hashable) -> Grant | None:
        """The grant for *key*, if it is still valid."""
        grant = self._grants.get(key)
        if grant is None:
            return None
        if grant.expires <= self._clock() or grant.leave.is_revoked:
            del self._grants[key]
            return None
        return grant

    def put(
        self,
        key: Hashable,
        answer: Answer,
        headers: RawHeaders,
        seconds: float,
        leave: Leave = UNBOUND,
    ) -> None:
        """Grant requests with *key* for so many seconds, if the leave is good for so long."""
        seconds = min(seconds, leave.seconds)
        if seconds <= 0:
            return
        self._grants[key] = Grant(answer, headers, self._clock() + seconds, leave)
        self._grants.move_to_end(key)
        if len(self._grants) > MOST:
            self._grants.popitem(last=False)

    def clear(self) -> None:
        """Send everybody through Django again."""
        self._grants.clear()

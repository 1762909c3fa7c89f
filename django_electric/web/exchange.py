"""WebRequest and WebResponse: what the answering core knows of HTTP; no framework's types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qsl

from django_electric.protocol.replies import Reply
from django_electric.revocations import UNBOUND, Leave

Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=4_096)
def query_pairs(query: str) -> Pairs:
    """A query string as pairs; clients that wait for the same news ask the same question."""
    return tuple(parse_qsl(query, keep_blank_values=True))


async def _no_body(limit: int) -> bytes:
    return b""


def _nothing_to_do() -> None:
    pass


async def _nobody_may() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request whose path has been routed."""

    method: str
    query: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name, or without regard to case."""
    read_body: Callable[[int], Awaitable[bytes]] = _no_body
    """Reads at most so many bytes."""
    on_wait: Callable[[], None] = _nothing_to_do
    """Called when the answer has to wait, which may take as long as the client stays."""
    leave: Leave = UNBOUND
    """With which it is answered, and no longer than which."""
    may_delete: Callable[[], Awaitable[bool]] = _nobody_may
    """Whether who asks may delete shapes, where not everybody may."""
    http_version: str = ""
    """As ASGI writes it: ``1.1``, ``2``; empty where it is not known."""
    client: str | None = None
    """Address of whoever has connected to us."""

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)


class Body(Protocol):
    """A body that is sent piece by piece; `close` is called in all cases, also if nobody iterated."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WebResponse:
    """A response; `stream` is set instead of `body` if it is large or has no end yet."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    stream: Body | None = None

    @classmethod
    def of(cls, reply: Reply) -> WebResponse:
        """A reply that holds no rows."""
        return cls(reply.status, reply.headers, reply.body)

    def close(self) -> None:
        """Let go of the body if it will not be sent."""
        if self.stream is not None:
            self.stream.close()


Answer = Callable[[WebRequest], Awaitable[WebResponse]]
"""What answers a request that has been authorised."""

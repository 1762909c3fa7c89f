"""WebRequest and WebResponse: what the answering core knows of HTTP; no framework's types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from django_electric.protocol.replies import Reply

Pairs = tuple[tuple[str, str], ...]


async def _no_body(limit: int) -> bytes:
    return b""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request whose path has been routed."""

    method: str
    query: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name, or without regard to case."""
    read_body: Callable[[int], Awaitable[bytes]] = _no_body
    """Reads at most so many bytes."""

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

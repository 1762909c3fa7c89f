"""Handover: a Django view that authorised a request leaves the answering to the ASGI wrapper.

The wrapper puts a `Handover` into the request's scope. A view that finds one there accepts it and
returns a placeholder, which goes back through the project's middleware: what that adds to the
placeholder's headers it would have added to the answer, and what it makes of the placeholder
otherwise, a redirect or an error, goes to the client as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from django.http import HttpRequest, HttpResponse

from django_electric.revocations import UNBOUND, Leave, now
from django_electric.web.exchange import Answer
from django_electric.web.grants import RawHeaders, Scope

SCOPE_KEY: Final = "django_electric.handover"
_MARK: Final = "X-Django-Electric-Handover"
_OWN: Final = (
    b"content-length",
    b"content-type",
    b"cache-control",
    b"etag",
    _MARK.lower().encode(),
)


class Handover:
    """One request on its way through Django."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        """What answers the request, once a view has accepted."""
        self.leave = UNBOUND
        """The leave to read with which the view let it through."""
        self.since = now()
        """When the project began to be asked, as `Leave.since`."""
        self._token = secrets.token_hex(8)

    @classmethod
    def of(cls, request: HttpRequest) -> Handover | None:
        """The handover of *request*; None if it does not come through the wrapper."""
        scope: Scope = getattr(request, "scope", {})
        handover = scope.get(SCOPE_KEY)
        return handover if isinstance(handover, cls) else None

    def accept(self, answer: Answer, leave: Leave = UNBOUND) -> HttpResponse:
        """The placeholder that the view returns. *answer* has in it what the view allows."""
        self.answer, self.leave = answer, leave
        # The tag keeps ConditionalGetMiddleware from making one, no-store keeps it out of caches.
        headers = {
            _MARK: self._token,
            "Cache-Control": "private, no-store",
            "ETag": f'"{self._token}"',
        }
        response = HttpResponse(headers=headers)
        del response["Content-Type"]
        return response

    def is_placeholder(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a response that came out of Django is the placeholder."""
        mark = (_MARK.lower().encode(), self._token.encode())
        return (
            status == 200
            and self.answer is not None
            and any((name.lower(), value) == mark for name, value in headers)
        )


def added_headers(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """What the project's middleware added to a placeholder."""
    return tuple((name.lower(), value) for name, value in headers if name.lower() not in _OWN)

"""Queues: a browser without HTTP/2 opens six connections to a server; what it wants more waits in its queue.

Six live requests are six connections that are never free: the page then stands still, and nothing says why.
While one develops (``DEBUG``) the server says it. A proxy that speaks HTTP/2 to the browser is what helps.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Final

from django_electric.web.exchange import WebRequest

logger = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 6
_OF_PROXIES: Final = ("x-forwarded-for", "forwarded", "via")
_ADVICE: Final = (
    "%d live shape requests of one browser (%s) are open over HTTP/1.1: it opens no more than that many connections,"
    " so that everything else on the page waits for one of them. Put a server that speaks HTTP/2 in front, such as"
    " `caddy reverse-proxy --from localhost:8443 --to 127.0.0.1:8000`: see docs/how-to/troubleshooting.md."
)


def browser_of(request: WebRequest) -> str | None:
    """Names the browser that sent *request*, if it did so by HTTP/1 and without a proxy between."""
    agent = request.headers.get("user-agent", "")
    if not request.http_version.startswith("1") or "Mozilla" not in agent:
        return None
    if any(name in request.headers for name in _OF_PROXIES):
        return None
    return f"{request.client} {agent}"


def _nothing() -> None:
    pass


class BrowserQueues:
    """Counts the live requests of each browser. Any thread."""

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on
        self._open: Counter[str] = Counter()
        self._told: set[str] = set()
        self._lock = Lock()

    def enter(self, request: WebRequest) -> Callable[[], None]:
        """A request begins; to be called when it ends."""
        if not self._is_on or request.parameter("live") != "true":
            return _nothing
        browser = browser_of(request)
        if browser is None:
            return _nothing
        with self._lock:
            self._open[browser] += 1
        self._warn(browser)
        return partial(self._leave, browser)

    def _leave(self, browser: str) -> None:
        with self._lock:
            self._open[browser] -= 1
            if not self._open[browser]:
                del self._open[browser]

    def _warn(self, browser: str) -> None:
        """Once for each browser."""
        if self._open[browser] >= MOST_CONNECTIONS and browser not in self._told:
            self._told.add(browser)
            logger.warning(_ADVICE, MOST_CONNECTIONS, browser.partition(" ")[0])

"""HostileProxy: a proxy that caches what it should not, or loses parts of what it is asked.

There are such caches. A client behind one must come to a clear error or get over it, and never ask for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

Pairs = list[tuple[str, str]]
_KEPT = 3_600
_NOT_PASSED_ON = {
    "connection",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "date",
    "server",
}


class HostileProxy:
    """Used as a context manager. Keeps every answer for an hour, errors too, whatever they say of themselves."""

    def __init__(
        self, origin: str, *, keeps: bool = True, loses: Callable[[str], bool] | None = None
    ) -> None:
        self.origin = origin
        self.keeps = keeps
        self._loses = loses or (lambda name: False)
        self._kept: dict[str, httpx.Response] = {}
        self.requests: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        parts = urlsplit(handler.path)
        pairs: Pairs = [pair for pair in parse_qsl(parts.query) if not self._loses(pair[0])]
        path = f"{parts.path}?{urlencode(pairs)}"
        answer = self._kept.get(path)
        if answer is None:
            try:
                answer = httpx.get(f"{self.origin}{path}", timeout=60)
            except httpx.HTTPError:
                handler.close_connection = True
                return
            if self.keeps:
                self._kept[path] = answer
        handler.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name not in _NOT_PASSED_ON | {"cache-control"}:
                handler.send_header(name, value)
        if self.keeps:
            handler.send_header("cache-control", f"public, max-age={_KEPT}")
            handler.send_header("age", "1")
        handler.send_header("content-length", str(len(answer.content)))
        with suppress(ConnectionError):  # the client may have gone
            handler.end_headers()
            handler.wfile.write(answer.content)

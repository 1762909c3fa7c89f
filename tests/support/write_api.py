"""WriteApi: the HTTP endpoint of a project through which its clients write, as far as tests need one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Handler = Callable[[dict[str, str], bytes], Any]
"""Query parameters and body of a request → what is answered as JSON."""


class WriteApi:
    """Listens on the loopback interface; ``api.handlers["/path"] = handler``. Used as a context manager."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        handlers = self.handlers

        class Request(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                target = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                try:
                    answer = handlers[target.path](dict(parse_qsl(target.query)), body)
                    self._answer(200, json.dumps(answer))
                except Exception as error:
                    self._answer(500, repr(error))

            do_PUT = do_POST

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

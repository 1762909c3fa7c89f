"""ShapeClient: a small blocking client of ``GET /v1/shape`` over one kept-open connection."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def handle(self) -> str:
        return self.headers["electric-handle"]

    @property
    def offset(self) -> str:
        return self.headers["electric-offset"]

    @property
    def is_up_to_date(self) -> bool:
        return "electric-up-to-date" in self.headers


class ShapeClient:
    """Not for several threads at once."""

    def __init__(self, port: int, timeout: float = 180) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def request(self, method: str = "GET", **parameters: str) -> Response:
        """Any answer of /v1/shape."""
        self._connection.request(method, "/v1/shape?" + urlencode(parameters))
        answer = self._connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, headers, answer.read())

    def get(self, **parameters: str) -> Response:
        """An answer that must be a 200; the server is asked again while it says 503."""
        while True:
            response = self.request(**parameters)
            if response.status == 503:
                time.sleep(0.05)
                continue
            if response.status != 200:
                raise RuntimeError(f"{parameters}: {response.status} {response.body[:300]!r}")
            return response

    def chunks(self, **parameters: str) -> Iterator[Response]:
        """Every chunk of a shape from its beginning until it is up to date."""
        response = self.get(**parameters, offset="-1")
        yield response
        while not response.is_up_to_date:
            response = self.get(**parameters, offset=response.offset, handle=response.handle)
            yield response

    def is_active(self) -> bool:
        """Whether the health check says that both processes are ready."""
        try:
            self._connection.request("GET", "/v1/health")
            return b'"active"' in self._connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False

"""A load generator: ``python -m benchmarks.load PORT TARGET CONNECTIONS SECONDS BYTES``.

Each connection is kept open and asks again as soon as it has its answer. An answer that is not a 200 with
a body of BYTES ends the run. Prints the number of requests and the seconds that they took.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Asks, reads, asks again."""

    def __init__(self, request: bytes, size: int, totals: Totals) -> None:
        self._request = request
        self._size = size
        self._totals = totals
        self._got = 0
        self._head = b""
        self._body_at = -1
        self._length: int | None = None
        self._end = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._body_at < 0:
            self._read_head(data)
        self._end = data[-7:] if len(data) >= 7 else (self._end + data)[-7:]
        if self._body_at >= 0 and self._is_complete():
            self._totals.requests += 1
            self._got, self._head, self._body_at = 0, b"", -1
            if self._totals.is_over:
                self._transport.close()
            else:
                self._transport.write(self._request)

    def _read_head(self, data: bytes) -> None:
        self._head += data
        at = self._head.find(b"\r\n\r\n")
        if at < 0:
            return
        self._body_at = at + 4
        head = self._head[: at + 2]
        if not head.startswith(b"HTTP/1.1 200"):
            self._totals.error = head.decode(errors="replace")
            self._transport.abort()
        found = _LENGTH.search(head)
        self._length = int(found[1]) if found else None
        if self._length not in (None, self._size):
            self._totals.error = f"{self._length} bytes instead of {self._size}"

    def _is_complete(self) -> bool:
        got = self._got - self._body_at
        if self._length is not None:
            return got >= self._length
        return got > self._size and self._end == _LAST_CHUNK

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._totals.is_over:
            self._totals.error = self._totals.error or f"a connection was lost: {exc}"
        self._totals.open -= 1
        if not self._totals.open:
            self._totals.done.set()


class Totals:
    """What all connections have done."""

    def __init__(self, connections: int) -> None:
        self.open = connections
        self.requests = 0
        self.is_over = False
        self.error = ""
        self.done = asyncio.Event()


async def run(port: int, target: str, connections: int, seconds: float, size: int) -> None:
    """The whole run."""
    totals = Totals(connections)
    request = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(request, size, totals), "127.0.0.1", port)
    await asyncio.sleep(seconds)
    requests, took = totals.requests, time.perf_counter() - began
    totals.is_over = True
    await asyncio.wait_for(totals.done.wait(), 30)
    if totals.error:
        sys.exit(totals.error)
    print(requests, took)


if __name__ == "__main__":
    asyncio.run(
        run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    )

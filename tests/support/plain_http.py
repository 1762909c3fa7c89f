"""PlainConnection: just enough HTTP/1.1 for many clients in one event loop.

A general client costs some milliseconds of Python a request; hundreds of followers would then measure
themselves and not the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

LONGEST_WAIT = 90.0


class BrokenConnection(Exception):
    """The server could not be reached, or went away in the middle of an answer."""


class Answer(NamedTuple):
    """A response, read whole; header names are in lower case."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.content)


class PlainConnection:
    """One kept-alive connection; one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str, query: Mapping[str, str]) -> Answer:
        """Raises `BrokenConnection`. An idle connection that the server has closed is opened anew."""
        is_old = self._writer is not None
        try:
            # Not wait_for: before Python 3.12 it forgets that it is cancelled if an answer comes just then.
            async with asyncio.timeout(LONGEST_WAIT):
                return await self._get(path, query)
        except TimeoutError as error:
            self.close()
            raise BrokenConnection(f"no answer within {LONGEST_WAIT} s") from error
        except asyncio.CancelledError:
            self.close()
            raise
        except (OSError, EOFError) as error:
            self.close()
            nothing_came = isinstance(error, asyncio.IncompleteReadError) and not error.partial
            if is_old and (nothing_came or isinstance(error, ConnectionError)):
                return await self.get(path, query)
            raise BrokenConnection(repr(error)) from error

    async def _get(self, path: str, query: Mapping[str, str]) -> Answer:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=1 << 20
            )
        assert self._reader is not None
        target = f"{path}?{urlencode(query)}"
        self._writer.write(
            f"GET {target} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n\r\n".encode()
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks(self._reader)
        else:
            body = await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

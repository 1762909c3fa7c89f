"""Place: where a client stands, and the clients that wait there."""

from __future__ import annotations

import asyncio
import itertools

import httpx

from tests.servers.conftest import ROOM
from tests.servers.web_process import WebProcess
from tests.support.plain_http import Answer, PlainConnection

_ids = itertools.count(1)


class Place:
    """Where a client stands that follows the verses through one web process."""

    def __init__(self, web: WebProcess) -> None:
        self.web = web
        self._query = {"table": "verses", "offset": "-1"}
        while "electric-up-to-date" not in self._get().headers:
            pass

    def _get(self) -> httpx.Response:
        answer = httpx.get(f"{self.web.url}/v1/shape", params=self._query, timeout=30)
        self._query["handle"] = answer.headers["electric-handle"]
        self._query["offset"] = answer.headers["electric-offset"]
        return answer

    async def ask(self, **more: str) -> Answer:
        """Over a connection of its own, which ends with it."""
        connection = PlainConnection("127.0.0.1", self.web.port)
        try:
            return await connection.get("/v1/shape", {**self._query, **more})
        finally:
            connection.close()

    def wait(self, **more: str) -> asyncio.Task[Answer]:
        """A client that waits for news."""
        return asyncio.create_task(self.ask(live="true", **more))

    async def fill(self, streams: int = 0) -> list[asyncio.Task[Answer]]:
        """As many clients wait as may, so many of them on a stream of events.

        Some more have been turned away: by that one knows that the others wait.
        """
        crowd = [self.wait(live_sse="true") for _ in range(streams)]
        crowd += [self.wait() for _ in range(ROOM - streams)]
        more = [self.wait() for _ in range(5)]
        async with asyncio.timeout(30):
            while sum(client.done() for client in [*crowd, *more]) < len(more):
                await asyncio.sleep(0.01)
        refused = [client for client in [*crowd, *more] if client.done()]
        assert {client.result().status_code for client in refused} == {503}
        assert len(refused) == len(more)
        return [client for client in [*crowd, *more] if not client.done()]

    def write(self) -> str:
        """News."""
        text = f"verse {next(_ids)} of {self.web.name}"
        self.web.server.sql(f"INSERT INTO verses (text) VALUES ('{text}')")
        return text

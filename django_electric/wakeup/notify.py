"""NotifyRoad: lines as notifications of Postgres, for worker and web processes on several hosts.

Both ends LISTEN on one connection of their own. A connection tells nothing of the other end, so the
web's end looks at the replication slot with every beat: it is active while a worker streams. A look
writes nothing; heartbeats would write WAL for ever in a database where nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from django_electric.wakeup.lines import LONGEST_LINE, payloads
from django_electric.wakeup.road import PATIENCE, Road, RoadBroken

_ALIVE: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""A server that vanished without a word is noticed within seconds."""
_IS_STREAMED: Final = (
    "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s AND active)"
)

Connection = psycopg.AsyncConnection[tuple[object, ...]]


def conninfo_of(params: Mapping[str, object], **more: str) -> str:
    """A libpq connection string from Django's connection parameters; what libpq does not know is left out."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    chosen = {k: str(v) for k, v in params.items() if k in known and v is not None}
    return make_conninfo("", **{**chosen, "client_encoding": "UTF8", **more})


class NotifyRoad(Road):
    """Hears the channel *hears*, speaks to the channel *speaks*.

    *slot* is the replication slot of a worker that is to be watched; None at the worker's own end.
    """

    def __init__(self, conninfo: str, hears: str, speaks: str, slot: str | None = None) -> None:
        super().__init__()
        self._conninfo = make_conninfo(conninfo, application_name=hears, **_ALIVE)
        self._hears = hears
        self._speaks = speaks
        self._slot = slot

    async def converse(self) -> None:
        try:
            async with await self._connect() as connection:
                self.connected()
                self.send(self.end.first_words())
                while True:
                    async with asyncio.timeout(PATIENCE):
                        await self._carry(connection)
                    if self.is_over:
                        return
                    await self._until_readable(connection.fileno())
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise RoadBroken(str(error).strip() or type(error).__name__) from error

    async def _connect(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        connection.add_notify_handler(lambda notification: self.heard(notification.payload))
        # Nobody waits for the disk, or for a standby, because of a hint.
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(SQL("LISTEN {}").format(Identifier(self._hears)))
        return connection

    async def _carry(self, connection: Connection) -> None:
        """Send what is to be sent, look whether the worker is there, take what has come."""
        if self.outbox:
            # One commit for all of it. Each payload is a transaction's share of Postgres's queue.
            texts = list(payloads(self.outbox.take(), LONGEST_LINE))
            await connection.execute(
                "SELECT pg_notify(%s, text) FROM unnest(%s::text[]) AS text", [self._speaks, texts]
            )
        if self.is_beat_due() and self._slot is not None:
            await self._watch(connection, self._slot)
        # What came together with an answer is in libpq's hands, and its socket is not readable.
        connection.pgconn.consume_input()
        while notification := connection.pgconn.notifies():
            self.heard(notification.extra.decode())

    async def _watch(self, connection: Connection, slot: str) -> None:
        cursor = await connection.execute(_IS_STREAMED, [slot])
        row = await cursor.fetchone()
        if row is None or not row[0]:
            self.end.lost()
        elif not self.end.is_in_touch:
            self.send(self.end.first_words())

    async def _until_readable(self, fd: int) -> None:
        """Until the server says something, or there is something to do."""
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, self._stirred.set)
        try:
            await self.stir()
        finally:
            loop.remove_reader(fd)

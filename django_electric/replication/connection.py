"""ReplicationConnection: the streaming replication protocol over ``psycopg.pq``.

psycopg carries the protocol but has no interface for it; this module is the only one that knows how.
Blocking ``get_copy_data(0)`` would hold the interpreter's lock, so reading is always "take what is
there", and waiting is the caller's, on `fileno`.
"""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from django_electric.errors import ConfigurationError, ReplicationLost, SlotLost
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.postgres.streaming import encode_status_update

_WAIT = 0.25
_NOTICE_OUR_END = "SET client_connection_check_interval = '2s'"
"""A backend that waits for a lock does not notice that its client is gone. It would go on to hold the
advisory lock, and the slot that it is making, for as long as a transaction of somebody else lasts."""


_MISTAKES = (
    (
        re.compile(
            "(must be superuser or replication role|permission denied).*wal ?sender", re.I | re.S
        ),
        "The database role may not replicate; run, as a superuser: ALTER ROLE <role> REPLICATION;",
    ),
    (
        re.compile("unsupported startup parameter: replication"),
        "The database is reached through a pooler, which carries no replication: give the worker a direct "
        "connection (DATABASE_URL, or DATABASES in the settings).",
    ),
    (
        re.compile(
            "root certificate file|certificate verify failed|no encryption|server does not support SSL"
        ),
        "The database and its client do not agree on encryption: {}. See sslmode and sslrootcert, in the query of "
        "DATABASE_URL or under OPTIONS in DATABASES.",
    ),
)
"""Texts of the server or of libpq that no waiting will change, and what is to be done."""


def is_readable(fd: int, seconds: float) -> bool:
    """Whether *fd* is readable within *seconds*. Not by ``select``: it takes no number over 1023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class ReplicationConnection:
    """One walsender of our own. SQL is possible until `start_streaming`.

    One thread uses it; another one may `confirm_again` meanwhile.
    """

    def __init__(self, conninfo: str, *, while_waiting: Callable[[], None] = lambda: None) -> None:
        """*while_waiting* is called several times a second while a query runs; it may raise."""
        self._while_waiting = while_waiting
        try:
            self._connection = psycopg.connect(
                make_conninfo(conninfo, replication="database"), autocommit=True
            )
        except psycopg.OperationalError as error:
            raise connection_error(error) from error
        self._pgconn = self._connection.pgconn
        self._lock = threading.Lock()
        """Held while libpq works on the stream: it takes one thread at a time."""
        self._status = (0, 0)
        """What was confirmed last; 0 stands for nothing."""
        self.confirmed_at = self._told_at = time.monotonic()
        self.heard = 0
        """Grows with every frame."""
        with suppress(psycopg.Error):  # not every system can look
            self.query(_NOTICE_OUR_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    @property
    def backend_pid(self) -> int:
        return self._pgconn.backend_pid

    def fileno(self) -> int:
        return self._pgconn.socket

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run *sql* by the simple protocol; the text of each value. Raises psycopg.Error."""
        result = self._run(sql)
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise psycopg.errors.lookup(_sqlstate(result))(
                result.error_message.decode(errors="replace")
            )
        return [
            tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]

    def _run(self, sql: str) -> pq.abc.PGresult:
        """The last result of *sql*. Making a slot may take as long as the longest transaction."""
        try:
            self._pgconn.send_query(sql.encode())
            last = None
            while True:
                while self._pgconn.is_busy():
                    if not is_readable(self.fileno(), _WAIT):
                        self._while_waiting()
                    self._pgconn.consume_input()
                result = self._pgconn.get_result()
                if result is not None:
                    last = result
                if result is None or result.status == pq.ExecStatus.COPY_BOTH:
                    break
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error
        if last is None:
            raise ReplicationLost("the server gave no answer")
        return last

    def start_streaming(self, slot: str, publication: str) -> None:
        """Begin to receive what *slot* has not confirmed. Raises SlotLost if the WAL is gone."""
        self.query(DISPLAY_SETTINGS)
        sql = (
            f"START_REPLICATION SLOT {quote_identifier(slot)} LOGICAL 0/0 (proto_version '1', "
            f"publication_names {quote_literal(quote_identifier(publication))}, messages 'true')"
        )
        result = self._run(sql)
        if result.status != pq.ExecStatus.COPY_BOTH:
            text = result.error_message.decode(errors="replace").strip()
            state = _sqlstate(result)
            if state in ("55000", "58P01"):
                raise SlotLost(f"replication slot {slot} cannot be read: {text}")
            raise ReplicationLost(text)
        self._pgconn.nonblocking = 1

    def receive(self) -> None:
        """Take what has arrived from the socket. Raises ReplicationLost."""
        try:
            with self._lock:
                self._pgconn.consume_input()
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error

    def has_more(self) -> bool:
        """Whether the socket holds more to `receive`."""
        return is_readable(self.fileno(), 0)

    def frames(self) -> Iterator[bytes]:
        """The frames that are here already; never waits. Raises ReplicationLost at the end of the stream."""
        take = self._pgconn.get_copy_data
        while True:
            try:
                with self._lock:
                    size, data = take(1)
            except psycopg.Error as error:
                raise _stream_error(str(error)) from error
            if size > 0:
                self.heard += 1
                yield bytes(data)
            elif size == 0:
                return
            else:
                raise self._ended()

    def _ended(self) -> Exception:
        result = self._pgconn.get_result()
        text = result.error_message.decode(errors="replace").strip() if result else ""
        return _stream_error(text or "the server ended the stream")

    def confirm(self, written: int, flushed: int, *, wants_reply: bool = False) -> None:
        """Tell the server how far we have received, and how far it need not send again."""
        with self._lock:
            self._status = written, flushed
            self._tell(wants_reply=wants_reply)
            self.confirmed_at = self._told_at

    def confirm_again(self, max_age: float) -> None:
        """Repeat what was confirmed last, unless the server was told something in the last *max_age* seconds.

        Any thread. Raises ReplicationLost.
        """
        if time.monotonic() - self._told_at >= max_age:
            with self._lock:
                self._tell()

    def _tell(self, *, wants_reply: bool = False) -> None:
        update = encode_status_update(
            *self._status, time.time_ns() // 1000, wants_reply=wants_reply
        )
        try:
            self._pgconn.put_copy_data(update)
            self._pgconn.flush()
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error
        self._told_at = time.monotonic()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _sqlstate(result: pq.abc.PGresult) -> str:
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()


def _stream_error(text: str) -> Exception:
    if (
        "can no longer get changes" in text
        or "has been invalidated" in text
        or "already been removed" in text
    ):
        return SlotLost(text)
    return ReplicationLost(text.strip())


def connection_error(error: psycopg.OperationalError) -> Exception:
    """What it means that there is no connection: a mistake of set-up, or something that may pass."""
    text = str(error).strip()
    for pattern, remedy in _MISTAKES:
        if pattern.search(text):
            return ConfigurationError(remedy.format(text.splitlines()[0]))
    return ReplicationLost(text)

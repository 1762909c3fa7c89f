"""ReplicationConnection: the streaming replication protocol over ``psycopg.pq``.

psycopg carries the protocol but has no interface for it; this module is the only one that knows how.
Blocking ``get_copy_data(0)`` would hold the interpreter's lock, so reading is always "take what is
there", and waiting is the caller's, on `fileno`.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
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


def is_readable(fd: int, seconds: float) -> bool:
    """Whether *fd* is readable within *seconds*. Not by ``select``: it takes no number over 1023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def conninfo_of(params: Mapping[str, object], **more: str) -> str:
    """A libpq connection string from Django's connection parameters; what libpq does not know is left out."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    chosen = {k: str(v) for k, v in params.items() if k in known and v is not None}
    return make_conninfo("", **{**chosen, "client_encoding": "UTF8", **more})


class ReplicationConnection:
    """One walsender of our own. SQL is possible until `start_streaming`."""

    def __init__(self, conninfo: str, *, while_waiting: Callable[[], None] = lambda: None) -> None:
        """*while_waiting* is called several times a second while a query runs; it may raise."""
        self._while_waiting = while_waiting
        try:
            self._connection = psycopg.connect(
                make_conninfo(conninfo, replication="database"), autocommit=True
            )
        except psycopg.OperationalError as error:
            raise _connection_error(error) from error
        self._pgconn = self._connection.pgconn

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
                size, data = take(1)
            except psycopg.Error as error:
                raise _stream_error(str(error)) from error
            if size > 0:
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
        update = encode_status_update(
            written, flushed, time.time_ns() // 1000, wants_reply=wants_reply
        )
        try:
            self._pgconn.put_copy_data(update)
            self._pgconn.flush()
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error


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


def _connection_error(error: psycopg.OperationalError) -> Exception:
    """A role without REPLICATION is a mistake of set-up; anything else may pass."""
    text = str(error).strip()
    is_refused = "must be superuser or replication role" in text or "permission denied" in text
    if is_refused and ("walsender" in text.lower() or "wal sender" in text.lower()):
        return ConfigurationError(
            "The database role may not replicate; run, as a superuser: ALTER ROLE <role> REPLICATION;"
        )
    return ReplicationLost(text)

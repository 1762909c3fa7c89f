"""Worker: the one process that reads the WAL and writes the logs of a stream.

A *session* lasts as long as its replication connection. If the connection breaks, the worker comes
back with patience; if nobody wrote in the meantime it goes on with the engine that it has, else it
builds another from disk. One thread does all the work here.
"""

from __future__ import annotations

import gc
import logging
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import psycopg
from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError, ReplicationLost, SlotLost, StorageError
from django_electric.postgres.lsn import Lsn
from django_electric.replication import publication
from django_electric.replication.announcer import Announcer
from django_electric.replication.carriers import worker_carrier
from django_electric.replication.connection import ReplicationConnection, conninfo_of, is_readable
from django_electric.replication.engine import Engine
from django_electric.replication.events import Inbox
from django_electric.replication.locks import WriterLocks

logger = logging.getLogger("django_electric.worker")

EXIT_OK, EXIT_ERROR, EXIT_CONFIGURATION = 0, 1, 3
STATUS_INTERVAL = 5.0
"""Seconds between status updates, asked for or not: a long transaction must not look like a dead client."""
HURRIED_STATUS_INTERVAL = 0.1
"""The same while a certain LSN is waited for."""
DRAIN_SECONDS = 2.0
"""How long a worker that was told to stop takes what still arrives."""
FIRST_RETRY, LAST_RETRY = 0.25, 15.0


class Stopped(Exception):
    """The worker was asked to stop."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How long to run."""

    once: bool = False
    """Stop when everything committed before the start is in the logs."""
    until_lsn: int | None = None
    """Stop when everything up to this LSN is in the logs."""


class Worker:
    """``run`` returns an exit code."""

    def __init__(self, settings: ElectricSettings, options: RunOptions | None = None) -> None:
        self.settings = settings
        self.options = options or RunOptions()
        self._conninfo = conninfo_of(
            connections[settings.alias].get_connection_params(), application_name=settings.slot_name
        )
        self._stopping = False
        self._wakeup = Inbox()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        self._announcer = Announcer(
            worker_carrier(settings, self._conninfo, self._selector, self._from_web)
        )
        self._engine: Engine | None = None
        self._renew_slot = False
        self._until = self.options.until_lsn
        self._next_status = 0.0

    # -- sessions --------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop, once. Raises nothing that a person could have been told."""
        try:
            return self._run()
        finally:
            self._selector.close()
            self._wakeup.close()

    def request_stop(self) -> None:
        """Finish what has arrived, make it durable, confirm it, and end. Any thread, any time."""
        self._stopping = True
        self._wakeup.wake()

    def _run(self) -> int:
        self.settings.root.mkdir(parents=True, exist_ok=True)
        _tune_interpreter()
        locks = WriterLocks(self.settings.root, self.settings.slot_name)
        with _stop_signals(self.request_stop), locks:
            try:
                return self._sessions(locks)
            except ConfigurationError as error:
                logger.error("%s", error)
                return EXIT_CONFIGURATION
            except (OSError, StorageError) as error:
                logger.error("the logs cannot be written, nothing more is confirmed: %s", error)
                return EXIT_ERROR
            finally:
                self._drop_engine()

    def _sessions(self, locks: WriterLocks) -> int:
        delay = FIRST_RETRY
        while True:
            began = time.monotonic()
            try:
                self._session(locks)
            except Stopped:
                return EXIT_OK
            except SlotLost as error:
                logger.warning("%s; every shape is rotated and the slot made anew", error)
                self._drop_engine()
                self._renew_slot = True
            except (ReplicationLost, psycopg.Error) as error:
                logger.warning("no replication: %s", str(error).strip())
            finally:
                self._end_session(locks)
            delay = FIRST_RETRY if time.monotonic() - began > LAST_RETRY else delay
            logger.info("connecting again in %.2f s", delay)
            self._pause(delay)
            if self._stopping:
                return EXIT_OK
            delay = min(delay * 2, LAST_RETRY)

    def _session(self, locks: WriterLocks) -> None:
        self._check_database()
        with ReplicationConnection(self._conninfo, while_waiting=self._while_waiting) as stream:
            self._acquire(locks, stream)
            engine = self._prepare(locks, stream)
            stream.start_streaming(self.settings.slot_name, self.settings.publication_name)
            engine.begin_session()
            self._announcer.set_state("active")
            logger.info("streaming from %s", self.settings.slot_name)
            self._stream(engine, stream)
            self._finish(engine, stream)
        raise Stopped

    def _end_session(self, locks: WriterLocks) -> None:
        if self._engine is not None:
            self._engine.end_session()
        self._announcer.close()
        locks.release()

    def _check_database(self) -> None:
        with self._sql_connection() as connection:
            publication.check_wal_level(connection)

    def _sql_connection(self) -> publication.Connection:
        try:
            return psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error

    def _acquire(self, locks: WriterLocks, stream: ReplicationConnection) -> None:
        said = False
        while not locks.try_acquire(stream):
            if not said:
                logger.info("another worker is active; standing by")
                said = True
            self._pause(0.5)
            self._while_waiting()

    def _prepare(self, locks: WriterLocks, stream: ReplicationConnection) -> Engine:
        """Publication, slot and engine: after this the logs fit to where the stream begins."""
        self._announcer.open()
        with self._sql_connection() as connection:
            was_made = publication.ensure_publication(connection, self.settings)
            if self._until is None and self.options.once:
                self._until = _current_lsn(connection)
        slot = publication.ensure_slot(stream, self.settings, renew=was_made or self._renew_slot)
        self._renew_slot = False
        engine = self._engine
        was_writer = locks.was_last_writer() and not slot.is_new
        if engine is not None and was_writer and slot.confirmed <= engine.flushed.confirmed:
            return engine
        self._drop_engine()
        engine = self._engine = Engine(self.settings, self._conninfo, self._announcer, slot)
        self._selector.register(engine.inbox, selectors.EVENT_READ, lambda _: engine.take_events())
        engine.load()
        return engine

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._selector.unregister(self._engine.inbox)
            self._engine.stop()
            self._engine = None

    # -- the stream ------------------------------------------------------------------------------

    def _stream(self, engine: Engine, stream: ReplicationConnection) -> None:
        """Until asked to stop, or until the LSN that was asked for is in the logs."""

        def breathe(now: float) -> bool:
            engine.breathe(now, stream.backend_pid)
            if engine.pipeline.wants_status or now >= self._next_status:
                self._send_status(engine, stream)
            return not self._stopping and not self._is_done(engine)

        # By its number: libpq may close the socket, and then the object does not know it any more.
        socket = stream.fileno()
        self._selector.register(
            socket, selectors.EVENT_READ, lambda _: engine.pipeline.pump(stream, breathe)
        )
        try:
            while not self._stopping and not self._is_done(engine):
                ready = self._selector.select(self._timeout())
                for key, mask in ready:
                    key.data(mask)
                if not ready:
                    engine.rest()
                breathe(time.monotonic())
        finally:
            self._selector.unregister(socket)

    def _timeout(self) -> float:
        return 0.05 if self._until is not None else 0.5

    def _is_done(self, engine: Engine) -> bool:
        if self._until is None:
            return False
        return engine.flushed.published >= self._until and not engine.is_starting_shapes

    def _send_status(self, engine: Engine, stream: ReplicationConnection) -> None:
        hurried = self._until is not None
        engine.pipeline.wants_status = False
        self._next_status = time.monotonic() + (
            HURRIED_STATUS_INTERVAL if hurried else STATUS_INTERVAL
        )
        flushed = engine.flushed
        stream.confirm(flushed.received, flushed.confirmed, wants_reply=hurried)

    def _finish(self, engine: Engine, stream: ReplicationConnection) -> None:
        """Publish what has arrived, make it durable and confirm it."""
        deadline = time.monotonic() + DRAIN_SECONDS
        engine.pipeline.pump(stream, lambda now: now < deadline)
        confirmed = engine.make_durable()
        stream.confirm(engine.flushed.received, confirmed)
        logger.info("stopped; confirmed up to %s", Lsn(confirmed))

    # -- being told --------------------------------------------------------------------------------

    def _from_web(self, verb: str, rest: str) -> None:
        """Any thread."""
        engine = self._engine
        if engine is not None and verb in ("registered", "deleted"):
            engine.keeper.look_at(rest)

    def _woken(self, _: int) -> None:
        for _event in self._wakeup.take():
            pass

    def _while_waiting(self) -> None:
        """While Postgres makes a slot, which may take as long as the longest transaction."""
        if self._stopping:
            raise Stopped
        for key, mask in self._selector.select(0):
            # An engine may only write while it is known to be the last writer.
            if self._engine is None or key.fileobj is not self._engine.inbox:
                key.data(mask)

    def _pause(self, seconds: float) -> None:
        """Sleep, unless asked to stop. The locks are not held: nothing is done meanwhile."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            if is_readable(self._wakeup.fileno(), left):
                self._woken(0)


def _current_lsn(connection: publication.Connection) -> int:
    """Where the WAL ends; every commit that somebody has seen lies before it.

    A commit with ``synchronous_commit=off`` is seen before it is written: one that is not follows it.
    """
    connection.execute(
        "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'django_electric', '')"
    )
    row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8").fetchone()
    return int(str(row[0])) if row else 0


def _tune_interpreter() -> None:
    # Snapshot threads are busy in Python; the stream must not wait 5 ms for each turn.
    sys.setswitchinterval(0.001)
    # Nearly nothing here is cyclic; frequent collections over many shapes cost more than they find.
    gc.set_threshold(100_000, 50, 1000)


@contextmanager
def _stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to stop; the old handlers come back at the end."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    try:
        before = {
            number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
    except ValueError:  # not the main thread: whoever runs us stops us
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

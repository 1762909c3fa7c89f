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
from functools import partial
from types import FrameType

import psycopg
from django.db import DatabaseError, InterfaceError, connections

from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError, ReplicationLost, SlotLost, StorageError
from django_electric.models import Shape
from django_electric.postgres.lsn import Lsn
from django_electric.postgres.relation import quote_identifier
from django_electric.replication import publication
from django_electric.replication.announcer import Announcer
from django_electric.replication.carriers import worker_carrier
from django_electric.replication.connection import (
    ReplicationConnection,
    connection_error,
    is_readable,
)
from django_electric.replication.engine import Engine
from django_electric.replication.events import Inbox
from django_electric.replication.heartbeat import Heart
from django_electric.replication.locks import WriterLocks
from django_electric.replication.pulse import Pulse, interval_of
from django_electric.replication.slot_wait import SlotWait
from django_electric.wakeup.notify import conninfo_of

logger = logging.getLogger("django_electric.worker")

EXIT_OK, EXIT_ERROR, EXIT_CONFIGURATION = 0, 1, 3
STATUS_INTERVAL = 5.0
"""Seconds between status updates, asked for or not: a long transaction must not look like a dead client."""
HURRIED_STATUS_INTERVAL = 0.1
"""The same while a certain LSN is waited for."""
SILENCE_SECONDS = 300.0
"""A server that says nothing for so long, though it was asked to, is gone: a network may lose it without a
word. Not less: one that decodes a very large transaction may not answer for minutes."""
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
        self._heart = Heart(settings.root)
        self._engine: Engine | None = None
        self._slot_wait: SlotWait | None = None
        """While a slot is being found or made."""
        self._renew_slot = False
        self._until = self.options.until_lsn
        self._next_status = 0.0
        self._heard = -1
        """How much had been heard of the server at `_heard_at`."""
        self._heard_at = 0.0

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
            except (ReplicationLost, psycopg.Error, DatabaseError, InterfaceError) as error:
                logger.warning("no replication: %s", str(error).strip())
            except (
                BaseException
            ):  # what was being written may be half written: no reader may hear of it
                self._drop_engine()
                raise
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
            interval = interval_of(stream)
            stream.start_streaming(self.settings.slot_name, self.settings.publication_name)
            with Pulse(stream, interval):
                engine.begin_session()
                self._heard = -1
                self._announcer.set_state("active")
                logger.info("streaming from %s", self.settings.slot_name)
                self._stream(engine, stream)
                self._finish(engine, stream)
                self._heart.stop()
        raise Stopped

    def _end_session(self, locks: WriterLocks) -> None:
        if self._engine is not None:
            self._engine.end_session()
        self._announcer.close()
        locks.release()

    def _check_database(self) -> None:
        with self._sql_connection() as connection:
            publication.check_wal_level(connection)
            _check_migrated(connection)

    def _sql_connection(self) -> publication.Connection:
        try:
            return psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise connection_error(error) from error

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
        slot = self._find_slot(stream, renew=was_made or self._renew_slot)
        self._renew_slot = False
        engine = self._engine
        was_writer = locks.was_last_writer() and not slot.is_new
        if engine is not None and was_writer and slot.confirmed <= engine.flushed.confirmed:
            return engine
        self._drop_engine()
        return self._load_engine(slot)

    def _find_slot(self, stream: ReplicationConnection, *, renew: bool) -> publication.SlotState:
        """Making one may take as long as the longest transaction: then somebody should know."""
        self._slot_wait = SlotWait(self._conninfo, stream.backend_pid)
        try:
            return publication.ensure_slot(stream, self.settings, renew=renew)
        finally:
            self._slot_wait = None

    def _load_engine(self, slot: publication.SlotState) -> Engine:
        engine = self._engine = Engine(self.settings, self._conninfo, self._announcer, slot)
        self._selector.register(engine.inbox, selectors.EVENT_READ, lambda _: engine.take_events())
        try:
            engine.load()
        except BaseException:  # one that knows a part of its shapes would delete the others' logs
            self._drop_engine()
            raise
        return engine

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._selector.unregister(self._engine.inbox)
            self._engine.stop()
            self._engine = None

    # -- the stream ------------------------------------------------------------------------------

    def _stream(self, engine: Engine, stream: ReplicationConnection) -> None:
        """Until asked to stop, or until the LSN that was asked for is in the logs."""
        breathe = partial(self._breathe, engine, stream)
        take = partial(engine.pipeline.pump, stream, breathe)
        # By its number: libpq may close the socket, and then the object does not know it any more.
        socket = stream.fileno()
        self._selector.register(socket, selectors.EVENT_READ, lambda _: take())
        try:
            # What libpq has read along with an answer, or while it wrote, makes no socket readable: it may
            # be the error that ends the stream.
            take()
            while not self._stopping and not self._is_done(engine):
                ready = self._selector.select(self._timeout())
                for key, mask in ready:
                    key.data(mask)
                if not ready:
                    take()
                    engine.rest()
                breathe(time.monotonic())
        finally:
            self._selector.unregister(socket)

    def _breathe(self, engine: Engine, stream: ReplicationConnection, now: float) -> bool:
        """Do what is due; whether to go on."""
        engine.breathe(now, stream.backend_pid)
        if self._heart.is_due(now):
            self._heart.beat(now, engine.vitals())
        if stream.heard != self._heard:
            self._heard, self._heard_at = stream.heard, now
        if engine.pipeline.wants_status or now >= self._next_status:
            self._send_status(engine, stream, silent=now - self._heard_at)
        return not self._stopping and not self._is_done(engine)

    def _timeout(self) -> float:
        return 0.05 if self._until is not None else 0.5

    def _is_done(self, engine: Engine) -> bool:
        if self._until is None:
            return False
        return engine.flushed.published >= self._until and not engine.is_starting_shapes

    def _send_status(self, engine: Engine, stream: ReplicationConnection, *, silent: float) -> None:
        """*silent*: seconds since something was heard. Raises ReplicationLost after too many."""
        if silent > SILENCE_SECONDS:
            raise ReplicationLost(f"nothing has been heard of the server for {silent:.0f} s")
        hurried = self._until is not None
        engine.pipeline.wants_status = False
        self._next_status = time.monotonic() + (
            HURRIED_STATUS_INTERVAL if hurried else STATUS_INTERVAL
        )
        flushed = engine.flushed
        wants_reply = hurried or silent > SILENCE_SECONDS / 4
        stream.confirm(flushed.received, flushed.confirmed, wants_reply=wants_reply)

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
        if self._slot_wait is not None:
            self._slot_wait.look()
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


def _check_migrated(connection: publication.Connection) -> None:
    """Raises ReplicationLost: whoever starts everything at once may still be about to migrate."""
    table = Shape._meta.db_table
    row = connection.execute("SELECT to_regclass(%s) IS NULL", [quote_identifier(table)]).fetchone()
    if row and row[0]:
        raise ReplicationLost(f"there is no table {table}: run manage.py migrate")


def _current_lsn(connection: publication.Connection) -> int:
    """Where the WAL ends; every commit that somebody has seen lies before it.

    A commit with ``synchronous_commit=off`` is seen before it is written: one that is not follows it.
    """
    connection.execute(
        "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'django_electric', '')"
    )
    row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    return int(Lsn.parse(str(row[0]))) if row else 0


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

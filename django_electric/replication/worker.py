"""Worker: the one process that reads the WAL and writes the logs of a stream.

A *session* lasts as long as its replication connection. If the connection breaks, the worker comes
back with patience; if nobody wrote in the meantime it goes on with what it has in memory, else it
reads everything from disk again. One thread does all the work here; snapshots, the catalogue and
the disk have threads of their own, which speak through the inbox.
"""

from __future__ import annotations

import gc
import json
import logging
import resource
import select
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import psycopg
from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.errors import (
    ConfigurationError,
    ReplicationLost,
    ShapeGone,
    SlotLost,
    SnapshotFailed,
    StorageError,
)
from django_electric.models import Shape
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import events, publication
from django_electric.replication.announcer import Announcer
from django_electric.replication.connection import ReplicationConnection, conninfo_of
from django_electric.replication.keeper import CatalogueKeeper
from django_electric.replication.locks import WriterLocks
from django_electric.replication.pipeline import Pipeline
from django_electric.replication.snapshotter import SnapshotJob, Snapshotter
from django_electric.replication.syncer import EngineState, Syncer
from django_electric.shapes.flush import FlushTracker
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.shapes.transactions import Outcome, TransactionBuilder
from django_electric.storage import FileStorage
from django_electric.wakeup import socket_path

logger = logging.getLogger("django_electric.worker")

EXIT_OK, EXIT_ERROR, EXIT_CONFIGURATION = 0, 1, 3
STATUS_INTERVAL = 5.0
"""Seconds between status updates, asked for or not: a long transaction must not look like a dead client."""
VISIBILITY_INTERVAL = 1.0
HELD_BYTES = 64 << 20
"""What a shape may hold back in memory until its snapshot is taken."""
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


Filled = tuple[str, PgSnapshot, int]
"""Handle, snapshot and number of rows of a shape that has its first rows."""


class Engine:
    """What a worker holds in memory: lost with the process, and rebuilt from disk and catalogue."""

    def __init__(self, worker: Worker, slot: publication.SlotState) -> None:
        settings = worker.settings
        self.storage = FileStorage(
            settings.root,
            chunk_bytes=settings.shape_chunk_bytes_threshold,
            open_files=_open_files_limit(),
        )
        self.storage.prepare()
        self.router = Router()
        self.builder = TransactionBuilder(self.router, find_roots=worker.find_roots)
        self.flushed = FlushTracker(slot.confirmed)
        self.shapes: dict[str, RoutedShape] = {}
        self.failures: dict[str, SnapshotFailed | None] = {}
        """Shapes whose rows are being removed from the catalogue; None for a rotation."""
        self.starting: set[str] = set()
        self.filled: list[Filled] = []
        """Shapes whose first rows are complete, and not yet on disk."""
        self.syncing: list[Filled] = []
        self.has_partitions = False
        self.pipeline = Pipeline(
            self.builder, self.storage, worker.announcer, self.flushed, worker.act
        )
        self.keeper = CatalogueKeeper(settings, worker.inbox)
        self.syncer = Syncer(self.storage, worker.state_path, slot.system, worker.inbox)

    def start(self) -> None:
        self.keeper.start()
        self.syncer.start()

    def stop(self) -> None:
        self.keeper.stop()
        self.syncer.stop()
        self.storage.close()


class Worker:
    """``run`` returns an exit code."""

    def __init__(self, settings: ElectricSettings, options: RunOptions | None = None) -> None:
        self.settings = settings
        self.options = options or RunOptions()
        self.inbox = events.Inbox()
        self.state_path = settings.root / "engine.json"
        self._conninfo = conninfo_of(
            connections[settings.alias].get_connection_params(), application_name=settings.slot_name
        )
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.inbox, selectors.EVENT_READ, lambda _mask: self._take_events())
        self.announcer = Announcer(socket_path(settings.root), self._selector, self._from_web)
        self._engine: Engine | None = None
        self._stream: ReplicationConnection | None = None
        self._until = self.options.until_lsn
        self._may_not_wait = False
        self._renew_slot = False
        self._next_status = self._next_visibility = 0.0
        self._on: dict[type, Callable[..., None]] = {
            events.RowsAppeared: self._rows_appeared,
            events.RowsVanished: self._rows_vanished,
            events.VisibilityKnown: self._visibility_known,
            events.ChunkWritten: self._chunk_written,
            events.SnapshotComplete: self._snapshot_complete,
            events.SnapshotEnded: self._snapshot_ended,
            events.RowRemoved: self._row_removed,
            events.NowVisible: self._now_visible,
            events.DatabaseStops: self._database_stops,
            events.Synced: self._synced,
            events.ThreadFailed: self._thread_failed,
        }

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop. Raises nothing that a person could have been told."""
        self.settings.root.mkdir(parents=True, exist_ok=True)
        _tune_interpreter()
        with (
            _stop_signals(self._request_stop),
            WriterLocks(self.settings.root, self.settings.slot_name) as locks,
        ):
            try:
                return self._sessions(locks)
            except ConfigurationError as error:
                logger.error("%s", error)
                return EXIT_CONFIGURATION
            except (OSError, StorageError) as error:
                logger.error("the logs cannot be written, nothing more is confirmed: %s", error)
                return EXIT_ERROR
            finally:
                self._close()

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
                self.state_path.unlink(missing_ok=True)
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
            self._prepare(locks, stream)
            stream.start_streaming(self.settings.slot_name, self.settings.publication_name)
            self._stream = stream
            self._may_not_wait = False
            # By its number: libpq may close the socket, and then the object does not know it any more.
            socket = stream.fileno()
            self._selector.register(socket, selectors.EVENT_READ, lambda _mask: self._pump())
            self.announcer.set_state("active")
            logger.info("streaming from %s", self.settings.slot_name)
            try:
                self._loop()
                self._drain(stream)
            finally:
                self._selector.unregister(socket)
                self._stream = None
        raise Stopped

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

    def _prepare(self, locks: WriterLocks, stream: ReplicationConnection) -> None:
        """Publication, slot and memory: after this the logs fit to where the stream begins."""
        self.announcer.open()
        with self._sql_connection() as connection:
            was_made = publication.ensure_publication(connection, self.settings)
            if self._until is None and self.options.once:
                self._until = _current_lsn(connection)
        slot = publication.ensure_slot(stream, self.settings, renew=was_made or self._renew_slot)
        self._renew_slot = False
        goes_on = locks.was_last_writer() and self._engine is not None and not slot.is_new
        if (
            goes_on
            and self._engine is not None
            and slot.confirmed <= self._engine.flushed.confirmed
        ):
            return
        self._drop_engine()
        self._engine = Engine(self, slot)
        self._load(self._engine, slot)
        self.snapshotter = Snapshotter(self._conninfo, self.settings, self.inbox)
        self._engine.start()

    def _load(self, engine: Engine, slot: publication.SlotState) -> None:
        """Resume every shape whose log fits to the slot; rotate the others."""
        state = EngineState.load(self.state_path)
        reason = _why_all_rotate(slot, state)
        began = time.monotonic()
        rows = engine.keeper.load()
        rotated = [row for row in rows if not self._resume(engine, row, slot.confirmed, reason)]
        gone = [row.handle for row in rotated]
        for start in range(0, len(gone), 1000):
            Shape.objects.using(self.settings.alias).filter(
                handle__in=gone[start : start + 1000]
            ).delete()
        connections[self.settings.alias].close()
        for handle in engine.storage.handles() - set(engine.shapes):
            engine.storage.delete(handle)
        EngineState(slot.system, slot.confirmed).save(self.state_path)
        if gone:
            logger.warning("%d shapes rotated%s", len(gone), f": {reason}" if reason else "")
        logger.info("%d shapes resumed in %.2f s", len(engine.shapes), time.monotonic() - began)
        gc.collect()
        gc.freeze()

    def _resume(self, engine: Engine, row: events.ShapeRow, durable: int, reason: str) -> bool:
        """Whether the shape goes on. One that nobody has read anything of may begin anew instead."""
        if not row.is_active:
            if _has_served(engine.storage, row.handle):
                return False
            self.inbox.put(events.RowsAppeared((row,)))
            return True
        if reason or row.snapshot is None:
            return False
        try:
            writer = engine.storage.writer(row.handle, durable_tx=durable)
            shape = RoutedShape(row.handle, row.definition, writer, snapshot=row.snapshot)
        except (ShapeGone, StorageError, OSError) as error:
            logger.warning("shape %s cannot go on: %s", row.handle, error)
            return False
        self._route(engine, shape, row.leaves)
        return True

    def _route(self, engine: Engine, shape: RoutedShape, leaves: Sequence[int]) -> None:
        engine.shapes[shape.handle] = shape
        engine.has_partitions |= shape.definition.is_partitioned
        engine.router.add(shape, leaves)

    def _loop(self) -> None:
        while not self._stopping and not self._is_done():
            for key, mask in self._selector.select(self._timeout()):
                key.data(mask)
            self._breathe(time.monotonic())

    def _timeout(self) -> float:
        return 0.05 if self._until is not None else 0.5

    def _is_done(self) -> bool:
        engine = self._engine
        if self._until is None or engine is None:
            return False
        return engine.flushed.published >= self._until and not engine.starting

    def _pump(self) -> None:
        if self._engine and self._stream:
            self._engine.pipeline.pump(self._stream, self._breathe)

    def _breathe(self, now: float) -> None:
        """What has to happen every now and then, however busy the stream is."""
        engine, stream = self._engine, self._stream
        if engine is None or stream is None:
            return
        self._hold(engine)
        if not engine.syncer.is_busy:
            self._sync(engine, now)
        if len(engine.builder.recent) and now >= self._next_visibility:
            self._next_visibility = now + VISIBILITY_INTERVAL
            engine.keeper.watch_visibility(stream.backend_pid)
        if engine.pipeline.wants_status or now >= self._next_status:
            self._send_status()

    def _sync(self, engine: Engine, now: float) -> None:
        lsn = engine.flushed.next_sync(now, has_more=bool(engine.filled))
        if lsn is not None:
            engine.syncing, engine.filled = engine.filled, []
            handles = {*engine.storage.take_unsynced(), *(filled[0] for filled in engine.syncing)}
            engine.syncer.request(handles, lsn)

    def _hold(self, engine: Engine) -> None:
        """Nothing is confirmed that is not known to be visible: a worker that starts gets it again.

        Unless somebody waits for this very worker: a commit that it confirms, or a Postgres that
        shuts down. They would wait for ever, and after a restart everything is visible.
        """
        oldest = engine.builder.recent.oldest_tx
        engine.flushed.hold_at(None if self._may_not_wait else oldest)

    def _send_status(self) -> None:
        if self._engine and self._stream:
            flushed = self._engine.flushed
            self._engine.pipeline.wants_status = False
            self._next_status = time.monotonic() + (
                0.1 if self._until is not None else STATUS_INTERVAL
            )
            self._stream.confirm(
                flushed.received, flushed.confirmed, wants_reply=self._until is not None
            )

    # -- ending ----------------------------------------------------------------------------------

    def _request_stop(self) -> None:
        self._stopping = True
        self.inbox.wake()

    def _while_waiting(self) -> None:
        if self._stopping:
            raise Stopped
        for key, mask in self._selector.select(0):
            if key.fileobj is not self.inbox:
                key.data(mask)

    def _pause(self, seconds: float) -> None:
        """Sleep, unless asked to stop; web processes may come and go meanwhile."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            select.select([self.inbox], [], [], min(left, 0.1))
            for key, mask in self._selector.select(0):
                key.data(mask)

    def _drain(self, stream: ReplicationConnection) -> None:
        """Publish what has arrived, make it durable and confirm it."""
        engine = self._engine
        if engine is None:
            return
        engine.pipeline.pump(stream, lambda now: None)
        engine.syncer.stop()
        self._hold(engine)
        goal = engine.flushed.goal()
        engine.syncing += engine.filled
        handles = {*engine.storage.take_unsynced(), *(filled[0] for filled in engine.syncing)}
        engine.syncer.sync_now(handles, goal)
        engine.flushed.synced(goal)
        self._activate(engine)
        stream.confirm(engine.flushed.received, goal)
        logger.info("stopped; confirmed up to %X/%X", goal >> 32, goal & 0xFFFFFFFF)

    def _end_session(self, locks: WriterLocks) -> None:
        if self._engine is not None:
            self._engine.pipeline.flush()
            self._engine.builder.abandon()
        self.announcer.close()
        locks.release()

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    def _close(self) -> None:
        self.announcer.close()
        self._drop_engine()

    # -- the stream and the web ask ----------------------------------------------------------------

    def find_roots(self, oid: int) -> Sequence[int]:
        """The partitioned tables above *oid*, if any shape is on a partitioned table."""
        if self._engine is None or not self._engine.has_partitions:
            return ()
        with self._sql_connection() as connection:
            return publication.roots_of(connection, oid)

    def act(self, outcome: Outcome) -> None:
        """Do what the stream asked for."""
        for token in outcome.markers:
            self.snapshotter.markers.passed(token)
        for shape, reason in outcome.rotations:
            if shape.handle in self._shapes():
                self._rotate(shape.handle, reason)

    def _from_web(self, verb: str, rest: str) -> None:
        if self._engine is not None and verb in ("registered", "deleted"):
            self._engine.keeper.look_at(rest)

    def _shapes(self) -> dict[str, RoutedShape]:
        return self._engine.shapes if self._engine else {}

    def _take_events(self) -> None:
        for event in self.inbox.take():
            self._on[type(event)](event)
        if self._engine is not None:
            self._engine.pipeline.flush()

    # -- events ------------------------------------------------------------------------------------

    def _rows_appeared(self, event: events.RowsAppeared) -> None:
        for row in event.rows:
            if row.handle not in self._shapes():
                self._start_shape(row)

    def _start_shape(self, row: events.ShapeRow) -> None:
        """Hold back what comes for the shape from now on, give it what just passed, fetch its rows."""
        engine = self._engine
        if engine is None:
            return
        engine.storage.delete(row.handle)
        writer = engine.storage.writer(row.handle)
        shape = RoutedShape(row.handle, row.definition, writer)
        must_see = engine.builder.catch_up(shape, row.leaves)
        self._route(engine, shape, row.leaves)
        engine.starting.add(row.handle)
        self.snapshotter.submit(
            SnapshotJob(row.handle, row.definition, writer.snapshot(), must_see)
        )

    def _rows_vanished(self, event: events.RowsVanished) -> None:
        for handle in event.handles:
            self._forget(handle)
        self.announcer.gone(event.handles)

    def _visibility_known(self, event: events.VisibilityKnown) -> None:
        shape = self._shapes().get(event.handle)
        if shape is None:
            return
        if shape.held_bytes > HELD_BYTES:
            self._rotate(event.handle, "too much was written before its first rows could be read")
            return
        reason = shape.join(event.snapshot)
        if reason:
            self._rotate(event.handle, reason)

    def _chunk_written(self, event: events.ChunkWritten) -> None:
        self.announcer.moved([event.handle])

    def _snapshot_complete(self, event: events.SnapshotComplete) -> None:
        engine = self._engine
        if engine and event.handle in engine.shapes:
            engine.starting.discard(event.handle)
            engine.filled.append((event.handle, event.snapshot, event.rows))
            self.announcer.moved([event.handle])

    def _snapshot_ended(self, event: events.SnapshotEnded) -> None:
        if self._engine and event.handle in self._engine.shapes:
            self._forget(event.handle)
            self._engine.failures[event.handle] = event.error
            self._engine.keeper.remove(event.handle)

    def _rotate(self, handle: str, reason: str) -> None:
        """Its log goes at once; readers hear of it when the catalogue has let it go too."""
        if self._engine is not None:
            logger.info("shape %s is rotated: %s", handle, reason)
            self._forget(handle)
            self._engine.failures[handle] = None
            self._engine.keeper.remove(handle)

    def _forget(self, handle: str) -> None:
        engine = self._engine
        shape = engine.shapes.pop(handle, None) if engine else None
        if engine and shape:
            engine.router.remove(shape)
            engine.starting.discard(handle)
            engine.storage.delete(handle)

    def _row_removed(self, event: events.RowRemoved) -> None:
        error = self._engine.failures.pop(event.handle, None) if self._engine else None
        if error is None or error.status == 409:
            self.announcer.gone([event.handle])
        else:
            self.announcer.failed(
                event.handle, json.dumps({"status": error.status, "message": error.message})
            )

    def _now_visible(self, event: events.NowVisible) -> None:
        if self._engine is not None:
            self._engine.builder.recent.forget_seen(event.snapshot)
            self._may_not_wait = event.is_synchronous

    def _database_stops(self, event: events.DatabaseStops) -> None:
        self._may_not_wait = True

    def _synced(self, event: events.Synced) -> None:
        if self._engine is not None:
            self._engine.syncer.is_busy = False
            self._activate(self._engine)
            if self._engine.flushed.synced(event.lsn, time.monotonic()):
                self._send_status()

    def _activate(self, engine: Engine) -> None:
        """What is on disk goes on after a restart: the catalogue may say so."""
        filled, engine.syncing = [f for f in engine.syncing if f[0] in engine.shapes], []
        if filled:
            engine.keeper.activate(filled)

    def _thread_failed(self, event: events.ThreadFailed) -> None:
        raise StorageError(f"the logs cannot be made durable: {event.error}") from event.error


def _why_all_rotate(slot: publication.SlotState, state: EngineState | None) -> str:
    """Why no log fits to the slot, or an empty string (PROTOCOL section 10.2)."""
    if slot.is_new:
        return "the replication slot is new"
    if state is None:
        return "the storage directory is new"
    if state.system != slot.system:
        return "the logs belong to another database, or to another timeline of it"
    if state.synced < slot.confirmed:
        return "the replication slot is ahead of the logs"
    return ""


def _has_served(storage: FileStorage, handle: str) -> bool:
    """Whether a reader may have seen rows of the shape."""
    try:
        return storage.reader(handle).state().snapshot_chunks > 0
    except ShapeGone:
        return False


def _current_lsn(connection: publication.Connection) -> int:
    row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8").fetchone()
    return int(str(row[0])) if row else 0


def _open_files_limit() -> int:
    """Raise the limit as far as it goes; how many logs may be kept open (two files each)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(64, (min(wanted, 65_536) - 512) // 2)


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

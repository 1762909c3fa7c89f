"""Engine: the shapes that a worker keeps, and what happens to each of them.

Everything here is memory: it is lost with the process, and built again from disk and catalogue. One
thread calls it. Snapshots, the catalogue and the disk have threads of their own, which answer
through the engine's inbox; an engine that is dropped hears no more of them.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import cast

import psycopg
from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.errors import (
    ElectricError,
    ReplicationLost,
    ShapeGone,
    SlotLost,
    SnapshotFailed,
    StorageError,
)
from django_electric.models import Shape
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import events, partitions, publication, tables
from django_electric.replication.announcer import Announcer
from django_electric.replication.cost_report import CostReport
from django_electric.replication.delegate import Delegate
from django_electric.replication.heartbeat import Vitals
from django_electric.replication.keeper import CatalogueKeeper
from django_electric.replication.known_layouts import KnownLayouts
from django_electric.replication.markers import Markers
from django_electric.replication.mover import MoveJob, Mover
from django_electric.replication.partitions import KnownLinks
from django_electric.replication.pipeline import Pipeline
from django_electric.replication.row_filters import RowFilters
from django_electric.replication.snapshotter import (
    SnapshotJob,
    Snapshotter,
    snapshot_end,
)
from django_electric.replication.syncer import EngineState, Syncer, boot_id
from django_electric.replication.watch import TableWatch
from django_electric.shapes.costs import Costs
from django_electric.shapes.flush import FlushTracker
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.moving import PartWithParts
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.shapes.transactions import Answers, Outcome, Question, TransactionBuilder
from django_electric.storage import FileStorage

logger = logging.getLogger("django_electric.worker")

VISIBILITY_INTERVAL = 1.0
"""Seconds between two questions what is visible by now."""

FRESH_SECONDS = 60.0
"""How long a look at the tables may take."""

BUSY_CHANGES = 50_000
"""Changes after which it is worth while to tidy up."""

Filled = tuple[str, PgSnapshot, int]
"""Handle, snapshot and number of rows of a shape that has its first rows."""


class Engine:
    """Shapes, their routes and their logs; the state of one stream."""

    def __init__(
        self,
        settings: ElectricSettings,
        conninfo: str,
        announcer: Announcer,
        slot: publication.SlotState,
    ) -> None:
        self.inbox = events.Inbox()
        self._settings = settings
        self._conninfo = conninfo
        self._announcer = announcer
        self._slot = slot
        self._state_path = settings.root / "engine.json"
        self._storage = FileStorage(
            settings.root,
            chunk_bytes=settings.shape_chunk_bytes_threshold,
            open_files=_open_files_limit(),
        )
        self._costs = Costs(time.perf_counter_ns)
        self._cost_report = CostReport(self._costs, settings.root)
        self._router = Router(costs=self._costs)
        self._delegate = Delegate(conninfo)
        self.builder = TransactionBuilder(self._router, find_roots=self._find_roots, ask=self._ask)
        self.flushed = FlushTracker(slot.confirmed)
        self.pipeline = Pipeline(self.builder, self._storage, announcer, self.flushed, self._act)
        self.keeper = CatalogueKeeper(settings, self.inbox)
        self._syncer = Syncer(self._storage, self._state_path, slot.system, self.inbox)
        self._markers = Markers()
        filters = RowFilters(settings)
        self._snapshotter = Snapshotter(
            conninfo, settings, self.inbox, self._markers, filters.admits
        )
        self._mover = Mover(conninfo, max(1, settings.snapshot_connections // 2), self.inbox)
        self._watch = TableWatch(conninfo, settings, self.inbox, self._markers, filters)
        self._links = KnownLinks(settings.root / "partitions.json")
        self._layouts = KnownLayouts()
        self._shapes: dict[str, RoutedShape] = {}
        self._starting: set[str] = set()
        self._failures: dict[str, SnapshotFailed] = {}
        """Shapes whose first rows could not be read, while their rows leave the catalogue."""
        self._fresh: dict[str, float] = {}
        """When shapes got the last of their first rows, of those that did a short time ago."""
        self._filled: list[Filled] = []
        """Shapes whose first rows are complete: the catalogue is to be told."""
        self._complete_later: list[events.SnapshotComplete] = []
        """Shapes that have all first rows, but a move is under way."""
        self._reads: dict[bytes, events.MovesRead] = {}
        """Rows that come into their logs once the stream has passed a marker."""
        self._unsynced: set[str] = set()
        """Shapes whose first rows are not known to be on disk."""
        self._tables: Counter[int] = Counter()
        """How many shapes each table has."""
        self._may_not_wait = False
        self._next_visibility = 0.0
        self._changes_at_rest = 0
        self._on = self._handlers()

    def _handlers(self) -> dict[type, Callable[..., None]]:
        """What is done at each event of the inbox."""
        return {
            events.RowsAppeared: self._rows_appeared,
            events.RowsVanished: self._rows_vanished,
            events.VisibilityKnown: self._visibility_known,
            events.MovesRead: self._moves_read,
            events.MoveFailed: self._move_failed,
            events.ChunkWritten: self._chunk_written,
            events.SnapshotComplete: self._snapshot_complete,
            events.SnapshotEnded: self._snapshot_ended,
            events.RowRemoved: self._row_removed,
            events.LeavesSeen: self._leaves_seen,
            events.LeafCounted: self._leaf_counted,
            events.TableFault: self._table_fault,
            events.PublicationGone: self._publication_gone,
            events.LayoutsSeen: self._layouts_seen,
            events.NowVisible: self._now_visible,
            events.DatabaseStops: self._database_stops,
            events.Synced: self._synced,
            events.ThreadFailed: self._thread_failed,
        }

    @property
    def is_starting_shapes(self) -> bool:
        """Whether first rows are being read."""
        return bool(self._starting)

    def vitals(self) -> Vitals:
        """How far it has come, for people to look at."""
        flushed = self.flushed
        return Vitals(
            published=flushed.published,
            confirmed=flushed.confirmed,
            wal_end=self.keeper.wal_end,
            changes=self.builder.changes,
            shapes=len(self._shapes),
        )

    # -- from beginning to end ---------------------------------------------------------------------

    def load(self) -> None:
        """Resume every shape whose log fits to the slot, rotate the others, start the threads.

        Raises psycopg's and Django's errors if the catalogue cannot be read: then the engine is of no use.
        """
        # Thousands of objects are made and none is garbage: looking for some would take its time.
        gc.disable()
        try:
            self._load()
            gc.freeze()
        finally:
            gc.enable()
        _trim_memory()
        self._links.keep(self._tables)
        self.keeper.start()
        self._syncer.start()
        self._watch.start(self._tables)

    def _load(self) -> None:
        began = time.monotonic()
        self._storage.prepare()
        state = EngineState.load(self._state_path)
        reason = _why_all_rotate(self._slot, state)
        was_down = state is None or not state.boot or state.boot != boot_id()
        gone = [
            row.handle
            for row in self.keeper.load()
            if not self._resume(row, reason, was_down=was_down)
        ]
        for start in range(0, len(gone), 1000):
            batch = gone[start : start + 1000]
            Shape.objects.using(self._settings.alias).filter(handle__in=batch).delete()
        connections[self._settings.alias].close()
        for handle in self._storage.handles() - set(self._shapes):
            self._storage.delete(handle)
        EngineState(self._slot.system, self._slot.confirmed, boot_id()).save(self._state_path)
        if gone:
            logger.warning("%d shapes rotated%s", len(gone), f": {reason}" if reason else "")
        logger.info("%d shapes resumed in %.2f s", len(self._shapes), time.monotonic() - began)

    def rest(self) -> None:
        """The stream is quiet: give back the memory of a busy time."""
        if self.builder.changes - self._changes_at_rest > BUSY_CHANGES:
            self._changes_at_rest = self.builder.changes
            for shape in self._shapes.values():
                shape.pass_snapshot(self.builder.processed_tx)
            gc.collect()
            _trim_memory()

    def begin_session(self) -> None:
        """The stream begins, or begins again."""
        self._may_not_wait = False

    def end_session(self) -> None:
        """The stream broke: what is whole is published, what is not will come again."""
        self.pipeline.flush()
        self.builder.abandon()
        self._syncer.wait()

    def stop(self) -> None:
        """Stop the threads and close the files; the engine is of no use any more."""
        self._snapshotter.stop()
        self._mover.stop()
        self._delegate.close()
        self._watch.stop()
        self.keeper.stop()
        self._syncer.stop()
        self._storage.close()
        self.inbox.close()

    def _resume(self, row: events.ShapeRow, reason: str, *, was_down: bool) -> bool:
        """Whether the shape goes on. One that nobody has read anything of may begin anew instead.

        *was_down*: the machine may have lost what had not been synced.
        """
        if row.is_active and row.definition.dependencies:
            # What its log was told of its subqueries is not on disk (PROTOCOL section 12.4).
            return False
        if not row.is_active:
            if self._has_served(row.handle):
                return False
            self.inbox.put(events.RowsAppeared((row,)))
            return True
        if reason or row.snapshot is None:
            return False
        try:
            writer = self._storage.writer(
                row.handle, durable_tx=self._slot.confirmed, check_snapshot=was_down
            )
            shape = RoutedShape(row.handle, row.definition, writer, snapshot=row.snapshot)
            shape.pass_snapshot(self._slot.confirmed)
        except (ElectricError, OSError) as error:
            logger.warning("shape %s cannot go on: %s", row.handle, error)
            return False
        if row.definition.is_partitioned and not self._knows_links(row):
            return False
        self._route(shape, row)
        return True

    def _knows_links(self, row: events.ShapeRow) -> bool:
        """Whether it is known which partitions the shape has the rows of; others are verified."""
        root = row.definition.relation_oid
        for link in row.links - self._links.of(root):
            self.builder.tallies.begin(root, link.leaf)
        return root in self._links

    def _has_served(self, handle: str) -> bool:
        """Whether a reader may have seen rows of the shape."""
        try:
            return self._storage.reader(handle).state().snapshot_chunks > 0
        except ShapeGone:
            return False

    # -- now and then ------------------------------------------------------------------------------

    def breathe(self, now: float, backend_pid: int) -> None:
        """Sync what is due and ask what is visible; *backend_pid* is the worker's walsender."""
        self._hold()
        if not self._syncer.is_busy:
            lsn = self.flushed.next_sync(now, has_more=bool(self._unsynced))
            if lsn is not None:
                self._syncer.request(self._take_unsynced(), lsn)
        if len(self.builder.recent) and now >= self._next_visibility:
            self._next_visibility = now + VISIBILITY_INTERVAL
            self.keeper.watch_visibility(backend_pid)
        self._cost_report.tell_if_due(now)

    def make_durable(self) -> int:
        """Sync everything now; the LSN that may be confirmed. For the end: the syncer stops."""
        self.take_events()
        self._syncer.stop()
        self._hold()
        goal = self.flushed.goal()
        self._syncer.sync_now(self._take_unsynced(), goal)
        self.flushed.synced(goal)
        return goal

    def _take_unsynced(self) -> set[str]:
        """Logs that the next sync has to cover, those with new first rows among them."""
        unsynced, self._unsynced = self._unsynced & self._shapes.keys(), set()
        return unsynced.union(self._storage.take_unsynced())

    def _hold(self) -> None:
        """Nothing is confirmed that is not known to be visible: a worker that starts gets it again.

        Unless somebody waits for this very worker: a commit that it confirms, or a Postgres that
        shuts down. They would wait for ever, and after a restart everything is visible.
        """
        oldest = self.builder.recent.oldest_tx
        self.flushed.hold_at(None if self._may_not_wait else oldest)

    def take_events(self) -> None:
        """Do what the threads have answered."""
        for event in self.inbox.take():
            self._on[type(event)](event)
        self._activate()
        self.pipeline.flush()

    # -- the stream asks ---------------------------------------------------------------------------

    def _find_roots(self, oid: int) -> Sequence[int]:
        """The partitioned tables above *oid*, if any shape is on a partitioned table."""
        if not self._links:
            return ()
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                roots = partitions.roots_of(connection, oid)
                if roots:
                    self._meet_leaf(connection, oid)
        except psycopg.OperationalError as error:
            raise ReplicationLost(str(error).strip()) from error
        return roots

    def _ask(self, columns: tuple[str, ...], questions: Sequence[Question]) -> Answers:
        """Ask Postgres, and note how long it took, an equal part for each row of each shape."""
        began = time.perf_counter_ns()
        answers = self._delegate.ask(columns, questions)
        rows = Counter(chain.from_iterable(question.shapes for question in questions))
        share = (time.perf_counter_ns() - began) // max(1, rows.total())
        for shape, count in rows.items():
            self._costs.add(shape.log_handle, share * count, count, is_delegated=True)
        return answers

    def _meet_leaf(self, connection: publication.Connection, oid: int) -> None:
        """Before its first rows are published: whoever changes a row that he has seen has its old values."""
        if not self._settings.manual_table_publishing:
            for leaf in partitions.without_full_identity(connection, [oid]):
                tables.restore_full_identity(connection, leaf)
        self._watch.look_soon()

    def _act(self, outcome: Outcome) -> None:
        for token in outcome.markers:
            self._markers.passed(token)
            if (read := self._reads.pop(token, None)) is not None:
                self._move(read)
        for shape, reason in outcome.rotations:
            if shape.handle in self._shapes:
                self._rotate(shape.handle, reason)
        must_see = self.builder.recent.xids() if outcome.moves else frozenset()
        for request in outcome.moves:
            if request.shape.log_handle in self._shapes:
                self._mover.submit(MoveJob(request, must_see))

    # -- the threads answer ------------------------------------------------------------------------

    def _rows_appeared(self, event: events.RowsAppeared) -> None:
        for row in event.rows:
            if row.handle not in self._shapes:
                self._start(row)

    def _start(self, row: events.ShapeRow) -> None:
        """Hold back what comes for the shape from now on, give it what just passed, fetch its rows."""
        self._storage.delete(row.handle)
        writer = self._storage.writer(row.handle)
        has_subqueries = bool(row.definition.dependencies)
        kind = MovingShape if has_subqueries else RoutedShape
        shape = kind(row.handle, row.definition, writer)
        must_see = self.builder.catch_up(shape, row.leaves)
        self._route(shape, row)
        self._starting.add(row.handle)
        members = shape.members_statements() if isinstance(shape, MovingShape) else {}
        job = SnapshotJob(row.handle, row.definition, writer.snapshot(), must_see, members)
        self._snapshotter.submit(job)

    def _route(self, shape: RoutedShape, row: events.ShapeRow) -> None:
        self._shapes[shape.handle] = shape
        self._router.add(shape, row.leaves)
        for definition in row.definition.walk():
            oid = definition.relation_oid
            self._tables[oid] += 1
            if self._tables[oid] == 1:
                self._watch.begin(definition)
        oid = row.definition.relation_oid
        if row.definition.is_partitioned and oid not in self._links:
            # Before its log can be read: a worker that starts must know.
            self._links.put(oid, row.links)

    def _rows_vanished(self, event: events.RowsVanished) -> None:
        for handle in event.handles:
            self._forget(handle)
        self._announcer.gone(event.handles)

    def _visibility_known(self, event: events.VisibilityKnown) -> None:
        shape = self._shapes.get(event.handle)
        if isinstance(shape, MovingShape):
            reason = self.builder.begin(shape, event.snapshot, event.members)
        else:
            reason = shape.join(event.snapshot) if shape else ""
        if reason:
            self._rotate(event.handle, reason)

    def _moves_read(self, event: events.MovesRead) -> None:
        if self._markers.expect(event.token).is_set():
            self._move(event)
        else:
            self._reads[event.token] = event

    def _move(self, event: events.MovesRead) -> None:
        """The stream has passed what was seen: the rows come into the logs, between two transactions."""
        self._markers.forget(event.token)
        for read in event.reads:
            self.builder.between(partial(self._take_moved, event.snapshot, read))

    def _take_moved(self, snapshot: PgSnapshot, read: events.MoveRead) -> None:
        handle = read.shape.log_handle
        shape = self._shapes.get(handle)
        if isinstance(shape, MovingShape) and shape.is_moved_by(read.shape):
            if isinstance(read.shape, MovingShape):
                end = snapshot_end(snapshot)
                self.builder.take_moves(
                    shape, *shape.moved(snapshot, read.answer, end, self.builder.position)
                )
            else:
                reason = cast(PartWithParts, read.shape).moved(snapshot, read.answer)
                if reason:
                    self.builder.give_up(shape, reason)
                else:
                    self.builder.settle_moves(shape)
        later, self._complete_later = self._complete_later, []
        for event in later:
            self.inbox.put(event)

    def _move_failed(self, event: events.MoveFailed) -> None:
        if event.shape.log_handle in self._shapes:
            self._rotate(event.shape.log_handle, event.reason)

    def _chunk_written(self, event: events.ChunkWritten) -> None:
        self._announcer.moved([event.handle])

    def _snapshot_complete(self, event: events.SnapshotComplete) -> None:
        # Readers have been told how far the logs go: what was held back for this one has to be in it first.
        self.pipeline.flush()
        shape = self._shapes.get(event.handle)
        if shape is None:
            return
        if isinstance(shape, MovingShape) and shape.is_behind:
            self._complete_later.append(event)
            return
        try:
            event.writer.finish()
        except OSError as error:
            text = f"Unexpected error while creating snapshot: {error}"
            failed = SnapshotFailed(text, status=500)
            self._snapshot_ended(events.SnapshotEnded(event.handle, failed))
            return
        self._starting.discard(event.handle)
        self._fresh[event.handle] = time.monotonic()
        self._filled.append((event.handle, event.snapshot, event.rows))
        self._unsynced.add(event.handle)
        self._layouts.filled(event.handle)
        self._announcer.moved([event.handle])

    def _snapshot_ended(self, event: events.SnapshotEnded) -> None:
        if event.handle in self._shapes:
            self._forget(event.handle)
            self._failures[event.handle] = event.error
            self.keeper.remove(event.handle)
            self._watch.check_soon()

    def _rotate(self, handle: str, reason: str) -> None:
        """Its log goes at once; readers hear of it when the catalogue has let it go too."""
        logger.info("shape %s is rotated: %s", handle, reason)
        self._forget(handle)
        self.keeper.remove(handle)

    def _forget(self, handle: str) -> None:
        shape = self._shapes.pop(handle, None)
        if shape is not None:
            self._router.remove(shape)
            self._cost_report.forget(handle)
            self._starting.discard(handle)
            self._storage.delete(handle)
            for definition in shape.definition.walk():
                self._leave(definition.relation_oid)

    def _leave(self, oid: int) -> None:
        """One shape less on this table."""
        self._tables[oid] -= 1
        if not self._tables[oid]:
            del self._tables[oid]
            self._watch.end(oid)
            self._links.forget(oid)
            self._layouts.forget_table(oid)
            self.builder.tallies.forget(oid)

    def _row_removed(self, event: events.RowRemoved) -> None:
        error = self._failures.pop(event.handle, None)
        if error is None or error.status == 409:
            self._announcer.gone([event.handle])
        else:
            details = json.dumps({"status": error.status, "message": error.message})
            self._announcer.failed(event.handle, details)

    def _leaves_seen(self, event: events.LeavesSeen) -> None:
        """Rotate if a leaf is gone, with its rows; verify those that are new (PROTOCOL section 10.7)."""
        root, tallies = event.root, self.builder.tallies
        if root not in self._links:
            return
        known = self._links.of(root)
        leaves = {link.leaf for link in event.links}
        if known - event.links or set(tallies.leaves_of(root)) - leaves:
            self._rotate_all(root, "a partition was detached or dropped")
            return
        for link in event.links - known:
            self.builder.add_leaf(root, link.leaf)
            if link.leaf in tallies.leaves_of(root):
                self._watch.count(root, link)
            else:
                self._links.add(root, link)

    def _leaf_counted(self, event: events.LeafCounted) -> None:
        """Whether the stream has brought every row that a new leaf has."""
        root, count = event.root, event.count
        tally = self.builder.tallies.take(root, event.link.leaf)
        if tally is None:
            return
        if count is None or count.rows != tally.seen_by(count.snapshot):
            self._rotate_all(root, "a partition was attached that had rows")
        else:
            self._links.add(root, event.link)

    def _table_fault(self, event: events.TableFault) -> None:
        for handle in self._shapes_on(event.oid):
            # Those whose first rows are being read find out for themselves.
            filled_at = math.inf if handle in self._starting else self._fresh.get(handle, 0.0)
            if filled_at < event.looked_at:
                self._rotate(handle, event.reason)

    def _publication_gone(self, event: events.PublicationGone) -> None:
        raise SlotLost(f'publication "{self._settings.publication_name}" was dropped')

    def _layouts_seen(self, event: events.LayoutsSeen) -> None:
        old = time.monotonic() - FRESH_SECONDS
        self._fresh = {handle: at for handle, at in self._fresh.items() if at > old}
        for handle, reason in self._layouts.see(event.layouts, self._complete_shapes_on):
            if handle in self._shapes:
                self._rotate(handle, reason)

    def _complete_shapes_on(self, oid: int) -> list[RoutedShape]:
        """Shapes and subqueries on this very table."""
        return [
            shape
            for _, shape in self._router.shapes_of(oid)
            if shape.definition.relation_oid == oid and shape.log_handle not in self._starting
        ]

    def _rotate_all(self, oid: int, reason: str) -> None:
        for handle in self._shapes_on(oid):
            self._rotate(handle, reason)

    def _shapes_on(self, oid: int) -> list[str]:
        """Handles of the shapes that are on this very table, or have subqueries that are."""
        shapes = self._router.shapes_of(oid)
        on = (shape.log_handle for _, shape in shapes if shape.definition.relation_oid == oid)
        return list(dict.fromkeys(on))

    def _now_visible(self, event: events.NowVisible) -> None:
        self.builder.recent.forget_seen(event.snapshot)
        self._may_not_wait = event.is_synchronous

    def _database_stops(self, event: events.DatabaseStops) -> None:
        self._may_not_wait = True

    def _synced(self, event: events.Synced) -> None:
        self._syncer.is_busy = False
        if self.flushed.synced(event.lsn, time.monotonic()):
            self.pipeline.wants_status = True

    def _activate(self) -> None:
        """What is complete goes on after a restart: the catalogue may say so."""
        filled, self._filled = self._filled, []
        if filled:
            self.keeper.activate(filled)

    def _thread_failed(self, event: events.ThreadFailed) -> None:
        raise StorageError(f"a thread of the worker failed: {event.error}") from event.error


def _trim_memory() -> None:
    """Return freed memory to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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


def _open_files_limit() -> int:
    """Raise the limit as far as it goes; how many logs may be kept open (two files each)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(64, (min(wanted, 65_536) - 512) // 2)

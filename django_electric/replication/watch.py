"""TableWatch: looks at what the stream does not tell of the tables that have shapes.

Three things (PROTOCOL sections 10.3 and 10.7), in a thread with a connection of its own:

* every poll interval, the leaves of partitioned tables; a new one gets ``REPLICA IDENTITY FULL``;
* now and then, whether the publication is still there, and each table, under its name, and streamed with
  whole old rows (from Postgres 18 on the stream goes on without a word when its publication is dropped), and
  how it is laid out: the net under what migrations and event triggers tell;
* if rows may be filtered, which rows its shapes want.

It reports, and the main thread decides; but the filters it sets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue
from typing import NamedTuple

import psycopg

from django_electric.conf import ElectricSettings
from django_electric.drift import TableState
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.replication.events import (
    Inbox,
    LayoutsSeen,
    LeafCounted,
    LeavesSeen,
    PublicationGone,
    TableFault,
    ThreadFailed,
)
from django_electric.replication.markers import Markers, send_marker
from django_electric.replication.memberships import Memberships
from django_electric.replication.partitions import (
    Link,
    count_rows,
    links_of,
    without_full_identity,
)
from django_electric.replication.publication import Connection, message_of
from django_electric.replication.row_filters import RowFilters
from django_electric.replication.tables import (
    publication_state,
    restore_full_identity,
    table_layouts,
    table_states,
    unfilter,
)
from django_electric.shapes.definition import ShapeDefinition

logger = logging.getLogger("django_electric.tables")

TABLES_SECONDS = 10.0
"""Between two looks at all tables."""
FILTER_INTERVALS = 10
"""Poll intervals between two looks at what shapes want of their tables."""


class _Watched(NamedTuple):
    """A table as its shapes know it."""

    schema: str
    name: str
    is_partitioned: bool


class TableWatch:
    """A thread with a queue of things to do, in order."""

    def __init__(
        self,
        conninfo: str,
        settings: ElectricSettings,
        inbox: Inbox,
        markers: Markers,
        filters: RowFilters,
    ) -> None:
        self._conninfo = conninfo
        self._settings = settings
        self._inbox = inbox
        self._markers = markers
        self._filters = filters
        self._interval = settings.poll_interval / 1000
        self._todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._tables: dict[int, _Watched] = {}
        self._seen: dict[int, frozenset[Link]] = {}
        """The leaves that were reported last, by root."""
        self._counted: list[tuple[bytes, LeafCounted]] = []
        """What is to be reported when the stream has passed a marker."""
        self._memberships = Memberships(settings.root / "published.json")
        self._refused: set[int] = set()
        """Tables that the database role may not alter."""
        self._connection: Connection | None = None
        self._next_look = self._next_check = self._next_filters = 0.0
        self._is_asked = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="electric-tables", daemon=True)

    def start(self, tables: Collection[int]) -> None:
        """*tables*: those that have shapes."""
        self._memberships.keep(tables)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Harmless before `start`. Finish what is under way, and nothing more."""
        self._is_stopping = True
        self._todo.put(lambda: None)
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def begin(self, definition: ShapeDefinition) -> None:
        """A table has a shape now."""
        oid = definition.relation_oid
        watched = _Watched(definition.schema, definition.table, definition.is_partitioned)
        self._todo.put(lambda: self._begin(oid, watched))

    def end(self, oid: int) -> None:
        """A table has no shape any more."""
        self._todo.put(lambda: self._end(oid))

    def look_soon(self) -> None:
        """A partition has become known: look at once, and report all."""
        self._is_asked.set()
        self._todo.put(lambda: None)

    def check_soon(self) -> None:
        """Something is wrong, perhaps with the publication: look at once."""
        self._todo.put(self._check)

    def count(self, root: int, link: Link) -> None:
        """Count the rows of a leaf; once the stream has passed what was counted, say `LeafCounted`."""
        self._todo.put(lambda: self._count(root, link))

    # -- in the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        todo: Callable[[], None] | None = None
        while not self._is_stopping:
            try:
                todo = todo or self._next()
                if todo is not None:
                    todo()
                    todo = None
                self._do_what_is_due()
            except psycopg.Error as error:
                logger.warning("the tables cannot be looked at: %s", message_of(error))
                self._disconnect()
                time.sleep(self._interval)
            except Exception as error:  # a worker without this thread would miss rows
                self._inbox.put(ThreadFailed(error))
                break
        self._disconnect()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._todo.get(timeout=self._interval)
        except Empty:
            return None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._is_asked.is_set():
            self._is_asked.clear()
            self._seen, self._next_look = {}, now
        if now >= self._next_look:
            self._look()
            self._next_look = now + self._interval
        if now >= self._next_check and self._tables:
            self._check()
            self._next_check = now + TABLES_SECONDS
        if now >= self._next_filters and self._settings.filters_rows:
            self._filter()
            self._next_filters = now + FILTER_INTERVALS * self._interval
        for token, counted in list(self._counted):
            if self._markers.expect(token).is_set():
                self._markers.forget(token)
                self._counted.remove((token, counted))
                self._inbox.put(counted)

    def _begin(self, oid: int, watched: _Watched) -> None:
        self._tables[oid] = watched
        # Soon: what happens to it before the first look is not noticed.
        self._next_check = min(self._next_check, time.monotonic() + self._interval)
        # Whoever begins now has not heard of what was reported before.
        self._seen.pop(oid, None)

    def _end(self, oid: int) -> None:
        self._tables.pop(oid, None)
        self._seen.pop(oid, None)
        self._filters.forget(oid)
        self._memberships.forget(oid)

    # -- leaves ------------------------------------------------------------------------------------

    def _look(self) -> None:
        roots = [oid for oid, watched in self._tables.items() if watched.is_partitioned]
        if not roots:
            return
        found = links_of(self._connect(), roots)
        for root, links in found.items():
            if links != self._seen.get(root):
                self._inbox.put(LeavesSeen(root, links))
        self._seen = found
        if not self._settings.manual_table_publishing:
            leaves = {link.leaf for links in found.values() for link in links}
            for leaf in without_full_identity(self._connect(), leaves - self._refused):
                self._repair(leaf)

    def _count(self, root: int, link: Link) -> None:
        try:
            # One that had a row filter has rows that never came.
            was_filtered = unfilter(self._connect(), self._settings, link.leaf)
            count = None if was_filtered else count_rows(self._connect(), link.leaf)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:
            logger.warning("a partition cannot be counted: %s", message_of(error))
            count = None
        # After the count: when it arrives, all that was counted has arrived.
        token = send_marker(self._connect())
        self._counted.append((token, LeafCounted(root, link, count)))

    # -- tables ------------------------------------------------------------------------------------

    def _check(self) -> None:
        began = time.monotonic()
        publication = publication_state(self._connect(), self._settings)
        if publication is None:
            self._inbox.put(PublicationGone())
            return
        states = table_states(self._connect(), self._settings, self._tables)
        for oid, watched in self._tables.items():
            reason = self._fault(oid, watched, states.get(oid))
            if not publication.publishes_all:
                reason = "its publication leaves out some operations"
            if reason:
                self._inbox.put(TableFault(oid, reason, began))
        self._inbox.put(LayoutsSeen(table_layouts(self._connect(), self._tables)))

    def _fault(self, oid: int, watched: _Watched, state: TableState | None) -> str:
        """Why the shapes of a table cannot go on, or an empty string."""
        if state is None:
            return "its table was dropped"
        if (state.schema, state.name) != (watched.schema, watched.name):
            return "its table was renamed"
        if not state.is_published:
            return "its table is not in the publication any more"
        if self._has_been_out(oid, state):
            return "its table was taken out of the publication and put in again"
        if not state.has_full_identity and not self._repair(oid):
            return "its table has lost REPLICA IDENTITY FULL"
        return ""

    def _has_been_out(self, oid: int, state: TableState) -> bool:
        """Whether the table has been out of the publication since the last look."""
        if self._settings.filters_rows or state.row_filter:
            # It gets another entry with each filter that comes or goes.
            self._memberships.forget(oid)
            return False
        return self._memberships.has_been_out(oid, state.memberships)

    def _filter(self) -> None:
        connection = self._connect()
        if self._tables and connection.info.server_version >= 150000:
            for oid, state in table_states(connection, self._settings, self._tables).items():
                self._filters.look(connection, oid, state.row_filter)

    def _repair(self, oid: int) -> bool:
        """Give a table whole old rows; False if that cannot be. If it is locked, the next look tries again."""
        if self._settings.manual_table_publishing or oid in self._refused:
            return False
        may = restore_full_identity(self._connect(), oid)
        if not may:
            self._refused.add(oid)
        return may

    # -- the connection ----------------------------------------------------------------------------

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
            # Filters are compared as Postgres prints them.
            self._connection.execute(DISPLAY_SETTINGS)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

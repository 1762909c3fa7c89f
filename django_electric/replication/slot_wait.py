"""SlotWait: why Postgres takes its time to make a replication slot, and what can be done about it.

A slot begins where no transaction is open, so making one waits for all that are. Then Postgres has to
write down once more which transactions run, which on an idle server it may do late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import psycopg
from psycopg.rows import class_row

from django_electric.replication.publication import Connection, message_of
from django_electric.shapes.transactions import MESSAGE_PREFIX

logger = logging.getLogger("django_electric.worker")

LOOK_SECONDS: Final = 10.0
"""Until the first look, and between two."""
CONNECT_SECONDS: Final = 5
SHOWN: Final = 200
"""Characters of a query."""

# A transaction that was prepared has no process: its locks belong to process 0.
_HOLDERS = """
SELECT DISTINCT h.pid, a.application_name AS application, a.state, left(a.query, %(shown)s) AS query,
       extract(epoch FROM clock_timestamp() - a.xact_start)::int8 AS seconds
  FROM unnest(pg_blocking_pids(%(pid)s)) AS h(pid) LEFT JOIN pg_stat_activity a ON a.pid = h.pid
 ORDER BY h.pid
"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 1"


class _Holder(NamedTuple):
    """Whose transaction is waited for."""

    pid: int
    application: str | None
    state: str | None
    query: str | None
    seconds: int | None

    def __str__(self) -> str:
        name = f"{self.application}, " if self.application else ""
        return f"process {self.pid} ({name}{self.state}, for {self.seconds} s): {self.query}"


class SlotWait:
    """`look` as often as you like, while the slot is being made."""

    def __init__(
        self,
        conninfo: str,
        backend_pid: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*backend_pid*: the walsender that makes the slot."""
        self._conninfo = conninfo
        self._backend_pid = backend_pid
        self._clock = clock
        self._next_look = clock() + LOOK_SECONDS
        self._known: list[int] = []
        """Processes that have been named."""

    def look(self) -> None:
        """Say who is waited for, when that is news; if nobody is, ask for what Postgres may be slow to do."""
        if self._clock() < self._next_look:
            return
        try:
            with psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS
            ) as connection:
                self._look(connection)
        except psycopg.Error as error:
            logger.warning(
                "the replication slot is not made yet; why, cannot be seen: %s", message_of(error)
            )
        self._next_look = self._clock() + LOOK_SECONDS

    def _look(self, connection: Connection) -> None:
        with connection.cursor(row_factory=class_row(_Holder)) as cursor:
            cursor.execute(_HOLDERS, {"pid": self._backend_pid, "shown": SHOWN})
            holders = cursor.fetchall()
        if not holders:
            log_running_transactions(connection)
        pids = [holder.pid for holder in holders]
        if pids and pids != self._known:
            logger.warning(
                "the replication slot cannot be made before this transaction ends: %s",
                "; ".join(str(h) if h.pid else _prepared(connection) for h in holders),
            )
        self._known = pids


def _prepared(connection: Connection) -> str:
    found = connection.execute(_PREPARED).fetchone()
    gid = cast(str, found[0]) if found else "?"
    return f"the prepared transaction '{gid}' (COMMIT PREPARED or ROLLBACK PREPARED ends it)"


def log_running_transactions(connection: Connection) -> None:
    """Have Postgres write down which transactions run. A role that may not ask for it writes something, at
    which Postgres does it by itself within 15 s."""
    try:
        connection.execute("SELECT pg_log_standby_snapshot()")  # from Postgres 16 on
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT pg_logical_emit_message(false, %s, '')", [MESSAGE_PREFIX])

"""Database work in threads of the app's own, so that no waiting request holds a connection.

Each thread keeps its Django connection between uses, whatever CONN_MAX_AGE says, and opens it anew
when it broke.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Final, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_electric.errors import ElectricError

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
PATIENCE: Final = 10.0
"""Seconds after which a database that does not answer counts as unreachable."""
_SPARE: Final = 1.0
"""Seconds after a failure during which the database is not asked again."""


class DatabaseUnreachable(ElectricError):
    """Cannot connect to the database."""


class DatabaseThreads:
    """Runs functions in a few threads, each with a connection to *alias*."""

    def __init__(self, alias: str, patience: float = PATIENCE) -> None:
        """*patience*: seconds after which a call is given up, the wait for a thread included."""
        self.alias = alias
        self._patience = patience
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="electric-database")
        self._unreachable_until = 0.0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *work* returns. Raises `DatabaseUnreachable`."""
        if time.monotonic() < self._unreachable_until:
            raise DatabaseUnreachable
        try:
            call = asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: self._call(work, *args, **kwargs)
            )
            return await asyncio.wait_for(call, self._patience)
        except (DatabaseUnreachable, TimeoutError) as error:
            self._unreachable_until = time.monotonic() + _SPARE
            raise DatabaseUnreachable from error

    def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection = connections[self.alias]
        was_open = connection.connection is not None
        try:
            return work(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            _close(connection)
            if not was_open:
                raise DatabaseUnreachable from error
        # The connection was an old one: the server may merely have been restarted since.
        try:
            return work(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            _close(connection)
            raise DatabaseUnreachable from error

    def close(self) -> None:
        """Close the connections; the threads end."""
        # Each thread has to close its own: none may take two of the jobs.
        everybody = Barrier(THREADS)
        for _ in range(THREADS):
            self._executor.submit(self._close_mine, everybody)
        self._executor.shutdown(wait=True)

    def _close_mine(self, everybody: Barrier) -> None:
        everybody.wait(PATIENCE)
        connections[self.alias].close()


def _close(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close()
    except (OperationalError, InterfaceError):
        connection.connection = None


@cache
def database_threads(alias: str) -> DatabaseThreads:
    """The threads of this process."""
    return DatabaseThreads(alias)


# Threads do not survive a fork: a server that loads the project before it forks gets new ones.
os.register_at_fork(after_in_child=database_threads.cache_clear)

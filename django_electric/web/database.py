"""Database work in threads of the app's own, so that no waiting request holds a connection.

Each thread keeps its Django connection between uses, whatever CONN_MAX_AGE says, opens it anew when it
broke, and closes it when nobody has asked for anything for a while.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_electric.errors import ElectricError

P = ParamSpec("P")
T = TypeVar("T")
_Call = Callable[[], Callable[[], None]]
"""Does something, and gives what tells whoever waits for it."""

THREADS: Final = 4
PATIENCE: Final = 10.0
"""Seconds after which a database that does not answer counts as unreachable."""
IDLE_SECONDS: Final = 60.0
"""How long a connection is kept that nobody uses."""
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
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._idle = 0
        """How many threads wait for a call that will be put before their door."""
        self._lock = Lock()
        """Guards threads and `_idle`: event loops in several threads may ask."""
        self._unreachable_until = 0.0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *work* returns. Raises `DatabaseUnreachable`."""
        if time.monotonic() < self._unreachable_until:
            raise DatabaseUnreachable
        try:
            call = self._submit(lambda: self._call(work, *args, **kwargs))
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(call)
        except (DatabaseUnreachable, TimeoutError) as error:
            self._unreachable_until = time.monotonic() + _SPARE
            raise DatabaseUnreachable from error

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        """What *call* will return, once a thread has done it."""
        future: Future[T] = Future()
        with self._lock:
            self._calls.put(partial(_settle, future, call))
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < THREADS:
                name = f"electric-database-{len(self._threads) + 1}"
                self._threads.append(Thread(target=self._serve, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def _serve(self) -> None:
        """In each thread: do what is asked for."""
        connection = connections[self.alias]
        while (call := self._next(connection)) is not None:
            tell = call()
            with self._lock:
                # Before anybody hears of the result: who asks again then needs no other thread.
                self._idle += self._calls.empty()
            tell()
        _close(connection)

    def _next(self, connection: BaseDatabaseWrapper) -> _Call | None:
        """What is to be done next, None at the end; if it does not come soon, without a connection."""
        try:
            return self._calls.get(timeout=IDLE_SECONDS)
        except Empty:
            _close(connection)
            return self._calls.get()

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
        """Close the connections; the threads end. What is asked for later starts others."""
        with self._lock:
            threads, self._threads, self._idle = self._threads, [], 0
            for _ in threads:
                self._calls.put(None)
        for thread in threads:
            thread.join()


def _settle(future: Future[T], call: Callable[[], T]) -> Callable[[], None]:
    """Do what a future stands for, unless nobody waits for it any more; what tells him."""
    if not future.set_running_or_notify_cancel():
        return _nothing
    try:
        return partial(future.set_result, call())
    except BaseException as error:  # whoever waits hears of it
        return partial(future.set_exception, error)


def _nothing() -> None:
    """Nobody has to be told."""


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

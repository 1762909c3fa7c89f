"""Lends a test's connection to other threads: what is not committed only that connection sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import current_thread, main_thread

from asgiref.sync import SyncToAsync
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def lent(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Inside, *connection* is this thread's own. The thread that it comes from must not use it meanwhile."""
    own = connections[connection.alias]
    if own is connection:
        yield
        return
    connection.inc_thread_sharing()
    connections[connection.alias] = connection
    try:
        yield
    finally:
        connections[connection.alias] = own
        connection.dec_thread_sharing()


@contextmanager
def lent_to_coroutines(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Inside, what a coroutine asks of the database is asked on *connection*.

    asgiref does such work in a thread of its own, if the test runner started the event loop itself, as
    pytest-asyncio does. There it would see nothing of the test's, and wait for its locks for ever.
    """
    if current_thread() is not main_thread():
        # Perhaps it is that very thread, which must not wait for itself.
        yield
        return
    thread = SyncToAsync.single_thread_executor
    loan = ExitStack()
    thread.submit(loan.enter_context, lent(connection)).result()
    try:
        yield
    finally:
        thread.submit(loan.close).result()

"""Fleet: a stack with many ``tenant = <n>`` shapes, shared by the scenarios that need one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local

from benchmarks.client import Response, ShapeClient
from benchmarks.figures import check
from benchmarks.processes import memory_mib
from benchmarks.stack import Stack
from example_project.embedded_postgres import Cluster

AT_ONCE = 16
ASKED_FOR = 1_000
"""So many shapes are made by requests, and timed; the others are put into the catalogue."""
LEAST_TIMED = 100
FILL_SECONDS = 400


def where_of(tenant: int) -> str:
    return f"tenant = {tenant}"


def at_once(work: Callable[[int], object], items: Sequence[int]) -> float:
    """Do *work* for every item, 16 at a time; items a second."""
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(work, items):
            pass
    return len(items) / (time.perf_counter() - began)


class Marked(Stack):
    """One shape follows the table `marks`: when it has the last row of a backlog, all shapes have theirs."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.mark = ""

    def make_mark(self) -> None:
        """Make the shape."""
        with self.client() as client:
            self.mark = client.get(table="marks", offset="-1").handle


class Fleet(Marked):
    """Shape *n* of the fleet has the condition ``tenant = n``; one more shape follows `marks`."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.handles: list[str] = []
        self.creation_rate: float | None = None
        """Shapes a second, of the last time that the fleet grew by many."""
        self.creation_floor: float | None = None
        self.empty_mib = 0.0
        """Memory of the worker before it had any shape."""

    def grow(self, size: int) -> None:
        """Have at least *size* shapes."""
        if not self.mark:
            self.empty_mib = memory_mib(self.worker_pid)
            self.make_mark()
        asked_for = range(len(self.handles), min(size, ASKED_FOR))
        if asked_for:
            rate = self._create(asked_for)
            if len(asked_for) >= LEAST_TIMED:
                self.creation_rate = rate
                self.creation_floor = self._creation_floor(asked_for)
        if len(self.handles) < size:
            self._register(len(self.handles), size)

    def _register(self, first: int, stop: int) -> None:
        """Make shapes without asking for each."""
        self.handles += self.module(
            "benchmarks.register", self.database, str(first), str(stop)
        ).split()
        self._wait_until_filled()
        with self.client() as client:
            answer = client.get(table="items", where=where_of(stop - 1), offset="-1")
        check(answer.handle == self.handles[-1], "a request does not find a shape of the catalogue")

    def _create(self, tenants: range) -> float:
        responses: dict[int, Response] = {}
        threads = local()

        def create(tenant: int) -> None:
            if not hasattr(threads, "client"):
                threads.client = self.client()
            client: ShapeClient = threads.client
            responses[tenant] = client.get(table="items", where=where_of(tenant), offset="-1")

        rate = at_once(create, tenants)
        self.handles += [responses[tenant].handle for tenant in tenants]
        self._wait_until_filled()
        return rate

    def _wait_until_filled(self) -> None:
        """Until the catalogue says that every shape is active."""
        end = time.monotonic() + FILL_SECONDS
        while self.query("SELECT count(*) FROM django_electric_shape WHERE status <> 'active'") != [
            (0,)
        ]:
            self.check_alive()
            if time.monotonic() > end:
                raise RuntimeError("shapes are not active\n" + self.logs())
            time.sleep(0.05)

    def _creation_floor(self, tenants: Sequence[int]) -> float:
        """The least that a new shape needs of Postgres: its rows, in a snapshot that can be named."""
        threads = local()

        def take_snapshot(tenant: int) -> None:
            if not hasattr(threads, "connection"):
                threads.connection = self.connect()
            with threads.connection.cursor() as cursor:
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute("SELECT pg_current_snapshot()::text")
                with cursor.copy(
                    f"COPY (SELECT * FROM items WHERE {where_of(tenant)}) TO STDOUT"
                ) as copy:
                    for _ in copy:
                        pass
                cursor.execute("COMMIT")

        return at_once(take_snapshot, tenants)

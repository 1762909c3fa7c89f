"""Run: how large a run of the benchmarks is, and what its scenarios share."""

from __future__ import annotations

import platform
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import psycopg

from benchmarks.figures import Figure, Target
from benchmarks.fleet import Fleet
from benchmarks.processes import cpu_model, usable_cores
from benchmarks.report import Machine, line
from benchmarks.stack import Stack, throw_away_postgres
from example_project.embedded_postgres import Cluster


class Run:
    """One cluster for all, and one fleet of shapes, made when a scenario asks for it."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.runs = 1 if quick else 3
        self.sizes = (1, 300) if quick else (1, 1_000, 10_000)
        self.changes = 20_000 if quick else 200_000
        """Changes in a backlog of 100-row transactions; those of one row have a quarter of it."""
        self.few = 10 if quick else 100
        """Shapes whose conditions no index helps."""
        self.many = 300 if quick else 10_000
        """Shapes of one kind."""
        self.very_many = 1_000 if quick else 100_000
        self.rows = 50_000 if quick else 1_000_000
        self.crowd = 500 if quick else 5_000
        """Clients that wait at once."""
        self.samples = 50 if quick else 300
        self.seconds = 2.0 if quick else 5.0
        """Of the load on a web server, for each server and run."""
        self._exits = ExitStack()
        self._fleet: Fleet | None = None
        self.cluster: Cluster

    def __enter__(self) -> Self:
        self.cluster = self._exits.enter_context(throw_away_postgres())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def stack(self) -> Stack:
        """A stack of a scenario's own."""
        return Stack(self.cluster)

    def fleet(self) -> Fleet:
        """The stack with many shapes."""
        if self._fleet is None:
            self._fleet = self._exits.enter_context(Fleet(self.cluster))
        return self._fleet

    def targets(self, *targets: Target) -> tuple[Target, ...]:
        """They are meant for the full sizes: a quick run neither meets nor misses them."""
        return () if self.quick else targets

    def machine(self) -> Machine:
        """What the figures were measured on."""
        with psycopg.connect(self.cluster.dsn()) as connection:
            version = connection.info.parameter_status("server_version") or "?"
        return Machine(usable_cores(), cpu_model(), version.split()[0], platform.python_version())

    def say(self, text: str) -> None:
        """Progress, for whoever waits."""
        print(f"… {text}", file=sys.stderr, flush=True)

    def show(self, figure: Figure) -> None:
        """A figure that is known already."""
        self.say(line(figure))

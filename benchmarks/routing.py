"""routing: changes a second with many shapes of one kind, for each kind of condition.

Every change belongs to exactly one shape. All rows of a transaction belong to the same one, and the transactions go
round all shapes: it is the search for the shape that is measured, not the writing to many files (which is
*replication*'s). Backlogs are drained as there, beside the same floor. The shapes are put into the
catalogue and on the disk as a worker that stopped would have left them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks import kinds
from benchmarks.figures import Figure, Target, check, median, notes
from benchmarks.fleet import Marked
from benchmarks.kinds import Kind
from benchmarks.processes import memory_mib
from benchmarks.replication import Drain, Drainer, log_parts
from benchmarks.run import Run
from django_electric.where import WhereError, parse_where

SCENARIO = "routing"
ROWS = 100
"""In a transaction."""
STEP = 7919
"""From one transaction to the next, in numbers of shapes: a prime, so that all of them have their turn."""
SOME = 200
"""Shapes that got nothing and are checked for it."""


class Things(Marked):
    """A stack whose shapes on `things` are replaced as a whole."""

    def prepare(self) -> None:
        """The table, its publication, and a shape to make others after."""
        self.sql(kinds.TABLE)
        self.make_mark()
        with self.client() as client:
            client.get(table="things", offset="-1")

    def replace(self, kind: Kind, size: int) -> list[str]:
        """*size* shapes of *kind* and no other; their handles."""
        self.stop()
        handles = self.module("benchmarks.put", self.database, kind.name, str(size)).split()
        self.start()
        return handles


class Rows:
    """Backlogs for shapes of one kind, and what they have to lead to."""

    def __init__(self, drainer: Drainer, handles: list[str], first: int) -> None:
        self.handles, self.inserted = handles, first
        self._drainer = drainer
        self._transactions: Counter[int] = Counter()

    def drain(self, count: int) -> Drain:
        """*count* new rows."""
        size, first = len(self.handles), self.inserted + 1
        numbers = [(first // ROWS + t) * STEP % size for t in range(count // ROWS)]
        self._transactions.update(numbers)
        self.inserted += count
        start = f"{first}::bigint + t * {ROWS}"
        number = f"(({first // ROWS} + t) * {STEP}) % {size}"
        source = kinds.source(start, f"{start} + {ROWS - 1}", number)
        statement = (
            f"DO $$ BEGIN FOR t IN 0..{count // ROWS - 1} LOOP"
            f" INSERT INTO things {source}; COMMIT; END LOOP; END $$"
        )
        return self._drainer.drain(statement, count)

    def check(self) -> None:
        """Each shape has its rows, and no other rows."""
        untouched = set(range(len(self.handles))) - self._transactions.keys()
        for number in [*self._transactions, *sorted(untouched)[:SOME]]:
            handle = self.handles[number]
            found = sum(part.count(b"\n") for part in log_parts(self._drainer.stack, handle))
            wanted = self._transactions[number] * ROWS
            check(found == wanted, f"shape {number} has {found} entries instead of {wanted}")


def measure(run: Run) -> list[Figure]:
    """Every kind with one shape and with many."""
    with Things(run.cluster) as stack:
        stack.prepare()
        return list(_Measurement(run, stack).figures())


class _Measurement:
    def __init__(self, run: Run, stack: Things) -> None:
        self.run, self.stack = run, stack
        self.drainer = Drainer(stack)
        self.inserted = 0

    def figures(self) -> Iterator[Figure]:
        run = self.run
        for kind in kinds.INDEXED:
            yield from self._kind(kind, run.many, 0.7)
        yield from self._very_many()
        for size, least in ((run.few, 15_000), (run.few * 10, 1_500)):
            yield self._figure(kinds.SCANNED, size, run.changes // 20, least=least)
        yield self._figure(kinds.DELEGATED, run.few, run.changes // 20, least=3_000)
        yield self._figure(kinds.LOOKED_UP_AND_DELEGATED, run.many, run.changes // 20, least=3_000)

    def _kind(self, kind: Kind, size: int, share: float) -> Iterator[Figure]:
        if missing := not_native(kind):
            yield Figure(SCENARIO, kind.name, 0, "changes/s", note=f"not native yet: {missing}")
            return
        alone = self._figure(kind, 1, self.run.changes // 2)
        yield alone
        yield self._figure(kind, size, self.run.changes // 2, alone=alone.value, share=share)

    def _very_many(self) -> Iterator[Figure]:
        kind, size = kinds.EQUALITY, self.run.very_many
        handles = self.stack.replace(kind, 1)
        few = memory_mib(self.stack.worker_pid)
        alone = self._drained(kind, handles, self.run.changes // 2)
        self.run.say(f"routing: {kind.name}, {size:,}")
        handles = self.stack.replace(kind, size)
        # Once more, as a worker is that has run for a while: their first rows are a thing of the past.
        self.stack.stop()
        self.stack.start()
        grown = (memory_mib(self.stack.worker_pid) - few) * (1 << 20) / size
        yield self._drained(kind, handles, self.run.changes // 2, alone=alone.value, share=0.6)
        small = Target("< 1.5 KB", grown < 1536)
        yield Figure(
            SCENARIO, f"{kind.name}, {size:,} shapes, memory of the worker", grown, "bytes a shape",
            more_is_better=False, targets=self.run.targets(small), note="after a restart",
        )  # fmt: skip

    def _figure(self, kind: Kind, size: int, changes: int, **wanted: float) -> Figure:
        self.run.say(f"routing: {kind.name}, {size:,}")
        return self._drained(kind, self.stack.replace(kind, size), changes, **wanted)

    def _drained(
        self,
        kind: Kind,
        handles: list[str],
        changes: int,
        *,
        alone: float = 0,
        share: float = 0,
        least: float = 0,
    ) -> Figure:
        rows = Rows(self.drainer, handles, self.inserted)
        rows.drain(changes // 4)
        drains = [rows.drain(changes) for _ in range(self.run.runs)]
        self.inserted = rows.inserted
        rows.check()
        ours = median([d.ours for d in drains])
        targets = []
        if alone:
            targets.append(Target(f"≥ {share:.0%} of 1 shape", ours >= alone * share))
        if least:
            targets.append(Target(f"≥ {least:,}/s", ours >= least))
        more = [f"{ours / alone:.0%} of 1 shape"] if alone else []
        return Figure(
            SCENARIO,
            f"{kind.name}, {len(handles):,} {'shape' if len(handles) == 1 else 'shapes'}",
            ours,
            "changes/s",
            median([d.floor for d in drains]),
            "pg_recvlogical",
            targets=self.run.targets(*targets),
            note=notes(
                *more,
                f"worker {median([d.cpu_us for d in drains]):.1f} us CPU a change",
                runs=[d.ours for d in drains],
            ),
        )


def not_native(kind: Kind) -> str:
    """Why the language refuses the kind, or an empty string."""
    try:
        parse_where(kind.where(0), kinds.COLUMNS)
    except WhereError as error:
        return str(error)
    return ""

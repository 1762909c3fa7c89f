"""moves: shapes with subqueries, as a project has them whose users see what they are members of.

Shape *n* holds the things of the owners that person *n* is a member of. First, how many changes a second are
routed to one such shape and to many, as in *routing*. Then people become members of more: how long it takes
until the log of one shape has the rows that come with that, and how many shapes a second get theirs if all
become members at once. The floor is to read the same rows with as many plain queries, one after another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks import kinds
from benchmarks.figures import Figure, Target, check, median, notes, percentile
from benchmarks.fleet import Marked, at_once
from benchmarks.replication import Drainer, log_parts
from benchmarks.routing import Rows
from benchmarks.run import Run

SCENARIO = "moves"
NEWS = 5_000_000
"""Owners from here on have things that nobody is a member of at first."""
COMING = 100
"""Things that come with one move."""
MOVED_SECONDS = 120


class Members(Marked):
    """A stack with a shape for each person."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.handles: list[str] = []

    def prepare(self, people: int) -> None:
        """The tables; person *n* is a member of owner *n*."""
        self.sql(
            kinds.TABLE,
            "CREATE TABLE members (person int, owner int NOT NULL, PRIMARY KEY (person, owner))",
            "CREATE INDEX ON things (owner)",
            f"INSERT INTO members SELECT n, n FROM generate_series(0, {people - 1}) n",
        )
        self.make_mark()

    def grow(self, size: int) -> None:
        """Have *size* shapes."""
        handles: dict[int, str] = {}

        def create(person: int) -> None:
            with self.client() as client:
                where = f"owner IN (SELECT owner FROM members WHERE person = {person})"
                handles[person] = client.get(table="things", where=where, offset="-1").handle

        people = range(len(self.handles), size)
        at_once(create, people)
        self.handles += [handles[person] for person in people]

    def sizes(self, handles: Sequence[str]) -> list[int]:
        """How many bytes each log has."""
        readers = [self.storage.reader(handle) for handle in handles]
        try:
            return [reader.state().size for reader in readers]
        finally:
            for reader in readers:
                reader.close()


def measure(run: Run) -> list[Figure]:
    """One shape and many."""
    many = run.sizes[1]
    with Members(run.cluster) as stack:
        stack.prepare(many)
        return list(_Measurement(run, stack, many).figures())


class _Measurement:
    def __init__(self, run: Run, stack: Members, many: int) -> None:
        self.run, self.stack, self.many = run, stack, many
        self.drainer = Drainer(stack)
        self.inserted = 0

    def figures(self) -> Iterator[Figure]:
        alone = self._routed(1, 0)
        yield alone
        yield self._routed(self.many, alone.value)
        yield from self._one_by_one()
        yield self._all_at_once()

    def _routed(self, size: int, alone: float) -> Figure:
        run = self.run
        run.say(f"moves: {size:,} shapes")
        self.stack.grow(size)
        rows = Rows(self.drainer, self.stack.handles, self.inserted)
        changes = run.changes // 4
        rows.drain(changes // 4)
        drains = [rows.drain(changes) for _ in range(run.runs)]
        first, self.inserted = self.inserted, rows.inserted
        if size > 1:
            self._check(first)
        ours = median([d.ours for d in drains])
        target = Target("≥ 70 % of 1 shape", ours >= alone * 0.7)
        return Figure(
            SCENARIO,
            f"owner IN (SELECT … WHERE person = n), {size:,} {'shape' if size == 1 else 'shapes'}",
            ours,
            "changes/s",
            median([d.floor for d in drains]),
            "pg_recvlogical",
            targets=run.targets(target) if alone else (),
            note=notes(
                *([f"{ours / alone:.0%} of 1 shape"] if alone else []),
                f"worker {median([d.cpu_us for d in drains]):.1f} us CPU a change",
                runs=[d.ours for d in drains],
            ),
        )

    def _check(self, first: int) -> None:
        """Some shapes hold what their owners have."""
        for number in {1, self.many // 2, self.many - 1}:
            found = sum(p.count(b"\n") for p in log_parts(self.stack, self.stack.handles[number]))
            ((wanted,),) = self.stack.query(
                f"SELECT count(*) FROM things WHERE owner = {number} AND id > {first}"
            )
            check(found == wanted, f"shape {number} has {found} entries instead of {wanted}")

    def _one_by_one(self) -> Iterator[Figure]:
        """One person becomes a member; until the log has the rows."""
        run, stack = self.run, self.stack
        run.say("moves: one by one")
        took, floor = [], []
        with stack.connect() as connection:
            for n in range(run.samples // 3):
                owner, handle = NEWS + n, stack.handles[n % self.many]
                self._add_things(owner)
                ((before,), began) = stack.sizes([handle]), time.perf_counter()
                connection.execute("INSERT INTO members VALUES (%s, %s)", [n % self.many, owner])
                self._await([handle], [before])
                took.append((time.perf_counter() - began) * 1e3)
                began = time.perf_counter()
                rows = connection.execute("SELECT * FROM things WHERE owner = %s", [owner])
                check(len(rows.fetchall()) == COMING, "the floor reads other rows")
                floor.append((time.perf_counter() - began) * 1e3)
        for percent in (50, 99):
            yield Figure(
                SCENARIO,
                f"{COMING} rows come to one of {self.many:,} shapes, p{percent}",
                percentile(took, percent),
                "ms",
                percentile(floor, percent),
                "SELECT of the rows",
                more_is_better=False,
            )

    def _all_at_once(self) -> Figure:
        """Everybody becomes a member of one owner in one transaction."""
        run, stack = self.run, self.stack
        run.say("moves: all at once")
        rates, floors = [], []
        for n in range(run.runs):
            owner = NEWS + 100_000 + n
            self._add_things(owner)
            before, began = stack.sizes(stack.handles), time.perf_counter()
            stack.sql(
                f"INSERT INTO members SELECT p, {owner} FROM generate_series(0, {self.many - 1}) p"
            )
            self._await(stack.handles, before)
            rates.append(self.many / (time.perf_counter() - began))
            began = time.perf_counter()
            with stack.connect() as connection:
                for _ in range(self.many):
                    connection.execute("SELECT * FROM things WHERE owner = %s", [owner]).fetchall()
            floors.append(self.many / (time.perf_counter() - began))
        return Figure(
            SCENARIO,
            f"{COMING} rows come to each of {self.many:,} shapes at once",
            median(rates),
            "shapes/s",
            median(floors),
            "SELECT of the rows, one after another",
            note=notes(runs=rates),
        )

    def _add_things(self, owner: int) -> None:
        first = self.inserted + 1
        self.inserted += COMING
        source = kinds.source(str(first), str(first + COMING - 1), str(owner))
        self.stack.sql(f"INSERT INTO things {source}")

    def _await(self, handles: Sequence[str], before: Sequence[int]) -> None:
        """Until each log has the rows of its move, all of them."""
        end = time.monotonic() + MOVED_SECONDS
        waiting = dict(zip(handles, before, strict=True))
        while waiting:
            sizes = self.stack.sizes(list(waiting))
            grown = [h for h, size in zip(list(waiting), sizes, strict=True) if size > waiting[h]]
            for handle in grown:
                found = b"".join(log_parts(self.stack, handle)[-1:])
                check(found.count(b'"is_move_in":true') >= COMING, "a move is not whole")
                del waiting[handle]
            if waiting:
                time.sleep(0.001)
            check(time.monotonic() < end, f"{len(waiting)} logs have not got their rows")

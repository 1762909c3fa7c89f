"""The oracle is Postgres: never wrong, and no 409 without cause.

Hypothesis chooses shapes, and seeds for what random sessions write. Strict followers keep every
shape; after each batch each of them has to hold exactly what ``SELECT … WHERE clause`` says.

A failure names the seed; ``ORACLE_SEED=n`` runs that one alone (the soak tests take it).
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import Phase, find, given, note, settings
from hypothesis import strategies as st

from tests.oracle.clauses import Shape, shapes
from tests.oracle.conftest import ORACLE
from tests.oracle.tables import TABLES
from tests.oracle.writers import Writers
from tests.support.followers import Follower, Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

_RUNS = itertools.count(1)


class Run:
    """Tables of its own, filled, and followers of shapes of them."""

    def __init__(self, followers: Followers, seed: int) -> None:
        self.followers = followers
        self.server = followers.server
        number = next(_RUNS)
        self.names = {table.name: f"{table.name}_{os.getpid()}_{number}" for table in TABLES}
        self.server.sql(*(table.create(self.names[table.name]) for table in TABLES))
        self.writers = Writers(self.server, self.names, seed)
        self.followers.make_marks()

    def follow(self, chosen: Sequence[Shape]) -> list[Follower]:
        return [
            self.followers.follow(**shape.query(self.names[shape.table.name])) for shape in chosen
        ]

    def settle(self) -> None:
        self.followers.settle()

    def check_afresh(self) -> None:
        """Who comes later and reads the whole log has to end with the same rows."""
        before = list(self.followers.all)
        self.followers.stop(*before)
        fresh = [self.followers.follow(**follower.params) for follower in before]
        self.followers.settle(fresh)
        assert [follower.handle for follower in fresh] == [follower.handle for follower in before]

    def drop(self) -> None:
        self.server.sql(f"DROP TABLE {', '.join(self.names.values())}")


@contextmanager
def running(server: ElectricServer, seed: int) -> Iterator[Run]:
    """A run; what went wrong with any follower is raised at the end, or with the first error."""
    with Followers(server) as followers:
        run = Run(followers, seed)
        try:
            yield run
            followers.check()
        except BaseException:
            print(f"oracle seed {seed}\n{server.logs()}")
            raise
        finally:
            followers.stop(*followers.all)
            run.drop()


def restart(run: Run, how: str) -> None:
    """Take a process away while sessions write. Only who cannot be reached may not answer."""
    server, followers = run.server, run.followers
    if how == "web":
        with followers.outage(of_web=True):
            server.stop_web()
            server.start_web()
            server.wait_until_active()
            _all_answer(followers)
        return
    with followers.outage(of_worker=True):
        if how == "kill":
            server.kill_worker()
        else:
            assert server.stop_worker() == 0
        server.start_worker()
        server.wait_until_active()
        _all_answer(followers)


def _all_answer(followers: Followers) -> None:
    """Until each follower has had an answer after the outage."""
    before = {follower: follower.answers[200] for follower in followers.all}
    for follower, count in before.items():
        eventually(
            lambda f=follower, n=count: f.fault or f.answers[200] > n,  # type: ignore[misc]
            f"{follower!r} goes on",
        )


def check_programme(
    server: ElectricServer,
    chosen: Sequence[Shape],
    seed: int,
    batches: Sequence[str],
    transactions: int,
) -> None:
    """Each batch is what happens while sessions write: nothing, more shapes, or a restart."""
    with running(server, seed) as run:
        run.writers.write(transactions)  # snapshots have something to read
        later = len(chosen) // 3
        run.follow(chosen[later:])
        for batch in batches:
            threads = run.writers.start(transactions)
            if batch == "join":
                run.follow(chosen[:later])
                later = 0
            elif batch != "write":
                restart(run, batch)
            run.writers.finish(threads)
            run.settle()
        run.check_afresh()


@pytest.mark.timeout(900)
@settings(ORACLE, max_examples=3)
@given(
    chosen=st.lists(shapes(), min_size=30, max_size=60, unique=True),
    seed=st.integers(0, 2**31),
    batches=st.permutations(["join", "write", "write", "write"]),
)
def test_every_shape_equals_its_select(
    oracle_server: ElectricServer, chosen: list[Shape], seed: int, batches: list[str]
) -> None:
    note(f"seed {seed}")
    check_programme(oracle_server, chosen, seed, batches, transactions=25)


@pytest.mark.timeout(900)
@settings(ORACLE, max_examples=1)
@given(
    chosen=st.lists(shapes(), min_size=30, max_size=40, unique=True),
    seed=st.integers(0, 2**31),
    batches=st.permutations(["kill", "stop", "kill", "join", "web"]),
)
def test_restarts_lose_nothing(
    oracle_server: ElectricServer, chosen: list[Shape], seed: int, batches: list[str]
) -> None:
    """Worker or web process go and come while sessions write; no follower may notice more than a pause."""
    note(f"seed {seed}")
    check_programme(oracle_server, chosen, seed, batches, transactions=40)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("number", range(40))
def test_soak(oracle_server: ElectricServer, number: int) -> None:
    """Many seeds, larger; a new set every time."""
    given_seed = os.environ.get("ORACLE_SEED")
    if given_seed and number:
        pytest.skip("ORACLE_SEED names one run")
    seed = int(given_seed) if given_seed else random.SystemRandom().randrange(2**31)
    print(f"ORACLE_SEED={seed}")
    chosen = find(
        st.lists(shapes(), min_size=60, max_size=60, unique=True),
        lambda _: True,
        settings=settings(ORACLE, derandomize=False, max_examples=1, phases=[Phase.generate]),
        random=random.Random(seed),
    )
    batches = random.Random(seed).choices(["write", "join", "kill", "stop", "web"], k=12)
    check_programme(oracle_server, chosen, seed, batches, transactions=60)

"""CatalogueKeeper: the thread that reads and writes the table of shapes."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from django.db import OperationalError, connection, transaction

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.postgres.xid import PgSnapshot
from django_electric.replication import events
from django_electric.replication import keeper as module
from django_electric.replication.events import Event, Inbox, RowsAppeared, RowsVanished
from django_electric.replication.keeper import CatalogueKeeper
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import SHAPES, Reads
from tests.shapes.world import define, table

pytestmark = pytest.mark.usefixtures("postgres_cluster", "transactional_db")

SOME = define(where="id = 1")
OTHER = define(where="id = 2")


class World:
    """A keeper, what it tells, and the rows that it looks at."""

    def __init__(self, settings: ElectricSettings) -> None:
        self.stream_id = settings.replication_stream_id
        self.inbox = Inbox()
        self.keeper = CatalogueKeeper(settings, self.inbox)
        self.is_started = False
        self.heard: list[Event] = []

    def register(self, definition: ShapeDefinition, stream_id: str | None = None) -> str:
        return Shape.objects.register(definition, stream_id or self.stream_id).handle

    def start(self) -> None:
        list(self.keeper.load())
        self.keeper.start()
        self.is_started = True

    def next(self, kind: type[Event]) -> Any:
        """The next event, which is of this *kind*."""
        if not self.heard:
            assert select.select([self.inbox], [], [], 10)[0], f"no {kind.__name__}"
            self.heard += self.inbox.take()
        event = self.heard.pop(0)
        assert isinstance(event, kind), event
        return event

    def rest(self) -> list[Event]:
        """What else has been told by now."""
        heard, self.heard = [*self.heard, *self.inbox.take()], []
        return heard

    def close(self) -> None:
        if self.is_started:
            self.keeper.stop()
        self.inbox.close()


@pytest.fixture
def world(settings_of: Callable[..., ElectricSettings]) -> Iterator[World]:
    world = World(settings_of(poll_interval=50))
    yield world
    world.close()


@pytest.fixture
def patient(settings_of: Callable[..., ElectricSettings]) -> Iterator[World]:
    """A keeper that looks of its own accord but once an hour."""
    world = World(settings_of(poll_interval=3_600_000))
    yield world
    world.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- reading -------------------------------------------------------------------------------------------


def test_loading_brings_every_row_of_the_stream_and_of_no_other(world: World) -> None:
    handles = [world.register(ITEMS_DEFINITION), world.register(SOME)]
    world.register(SOME, "other")
    snapshot = PgSnapshot(10, 20, frozenset([14]), 500)
    Shape.objects.activate([(handles[1], snapshot, 3)])
    waiting, active = world.keeper.load()
    assert (waiting.handle, waiting.definition) == (handles[0], ITEMS_DEFINITION)
    assert (waiting.is_active, waiting.snapshot, waiting.leaves) == (False, None, ())
    assert (active.handle, active.is_active, active.snapshot) == (handles[1], True, snapshot)


ITEMS_DEFINITION = define()


def test_the_partitions_of_a_table_come_with_its_row(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE kept (id int) PARTITION BY RANGE (id); CREATE TABLE kept_1 PARTITION OF kept DEFAULT"
        )
        cursor.execute("SELECT 'kept'::regclass::oid::int8, 'kept_1'::regclass::oid::int8")
        root, leaf = cursor.fetchone()
    try:
        world.register(define(table({"id": "int4"}, oid=root, name="kept", is_partitioned=True)))
        (row,) = world.keeper.load()
        assert row.leaves == (leaf,)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE kept")


# -- hearing of rows ---------------------------------------------------------------------------------------


def test_rows_that_are_known_are_not_news(world: World) -> None:
    world.register(SOME)
    world.start()
    handle = world.register(ITEMS_DEFINITION)
    event = world.next(RowsAppeared)
    assert [row.handle for row in event.rows] == [handle]


def test_a_row_that_came_is_told_within_the_poll_interval(world: World) -> None:
    world.start()
    handle = world.register(SOME)
    (row,) = world.next(RowsAppeared).rows
    assert (row.handle, row.definition) == (handle, SOME)


def test_a_row_that_went_is_told_within_the_poll_interval(world: World) -> None:
    handle = world.register(SOME)
    world.start()
    Shape.objects.filter(handle=handle).delete()
    assert world.next(RowsVanished).handles == (handle,)


def test_a_row_that_went_while_another_came_is_told_too(world: World) -> None:
    """The number of rows is the same."""
    gone = world.register(SOME)
    world.start()
    wait_until(lambda: world.keeper._fingerprint is not None)
    Shape.objects.filter(handle=gone).delete()
    came = world.register(ITEMS_DEFINITION)
    told: list[Event] = []
    wait_until(lambda: bool(told.extend(world.rest()) or len(told) >= 2))
    assert RowsVanished((gone,)) in told
    assert [row.handle for e in told if isinstance(e, RowsAppeared) for row in e.rows] == [came]


def test_rows_of_another_stream_are_nobodys_news(world: World) -> None:
    world.start()
    world.register(SOME, "other")
    handle = world.register(ITEMS_DEFINITION)
    assert [row.handle for row in world.next(RowsAppeared).rows] == [handle]


def test_a_row_that_is_named_is_looked_at_at_once(patient: World) -> None:
    patient.start()
    wait_until(lambda: patient.keeper._fingerprint is not None)
    handle = patient.register(SOME)
    patient.keeper.look_at(handle)
    assert [row.handle for row in patient.next(RowsAppeared).rows] == [handle]
    Shape.objects.filter(handle=handle).delete()
    patient.keeper.look_at(handle)
    assert patient.next(RowsVanished).handles == (handle,)


def test_rows_named_together_are_told_together_and_each_once(patient: World) -> None:
    handles = [patient.register(define(where=f"id = {n}")) for n in range(3)]
    patient.keeper._known = {handles[0]}
    patient.keeper._next_poll = time.monotonic() + 3600
    Shape.objects.filter(handle=handles[0]).delete()
    for handle in [*handles, "nobody-1", handles[1]]:
        patient.keeper.look_at(handle)
    patient.keeper.start()
    patient.keeper.stop()
    vanished, appeared = patient.rest()
    assert vanished == RowsVanished((handles[0],))
    assert isinstance(appeared, RowsAppeared)
    assert [row.handle for row in appeared.rows] == handles[1:]


def test_a_row_that_is_known_and_named_is_no_news(patient: World) -> None:
    handle = patient.register(SOME)
    patient.start()
    patient.keeper.look_at(handle)
    patient.keeper.stop()
    patient.is_started = False
    assert patient.rest() == []


# -- writing -----------------------------------------------------------------------------------------------


def test_shapes_become_active(world: World) -> None:
    handle = world.register(SOME)
    world.start()
    world.keeper.activate([(handle, PgSnapshot(10, 20), 7)])
    wait_until(lambda: Shape.objects.get().status == Shape.Status.ACTIVE)
    shape = Shape.objects.get()
    assert (shape.snapshot, shape.snapshot_rows) == ("10:20:", 7)


def test_a_row_is_removed_and_then_that_is_told(world: World) -> None:
    handle = world.register(SOME)
    world.start()
    world.keeper.remove(handle)
    assert world.next(events.RowRemoved).handle == handle
    assert not Shape.objects.exists()
    time.sleep(0.12)  # two looks at the table
    assert world.rest() == [], "its going is no news"


def test_what_was_asked_for_is_finished_before_the_thread_ends(patient: World) -> None:
    handles = [patient.register(define(where=f"id = {n}")) for n in range(5)]
    patient.start()
    for handle in handles:
        patient.keeper.remove(handle)
    patient.keeper.stop()
    patient.is_started = False
    assert not Shape.objects.exists()
    assert len(patient.rest()) == 5


# -- visibility ----------------------------------------------------------------------------------------------


def test_what_a_snapshot_sees_is_told_once_for_each_question(world: World) -> None:
    world.start()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::int8")
        (xid,) = cursor.fetchone()
    world.keeper.watch_visibility(12345)
    event = world.next(events.NowVisible)
    assert event.snapshot.sees(xid % (1 << 32))
    assert not event.is_synchronous
    time.sleep(0.12)
    assert world.rest() == []


# -- what can go wrong ---------------------------------------------------------------------------------------


def test_while_the_database_is_away_nothing_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = world.register(SOME)
    failures = [OperationalError("the database is away"), OperationalError("still away")]
    remove = CatalogueKeeper._remove

    def sometimes(keeper: CatalogueKeeper, handle: str) -> None:
        if failures:
            raise failures.pop()
        remove(keeper, handle)

    monkeypatch.setattr(CatalogueKeeper, "_remove", sometimes)
    world.start()
    world.keeper.remove(handle)
    assert world.next(events.RowRemoved).handle == handle
    assert failures == []


def test_a_database_that_stays_away_does_not_keep_the_worker_from_stopping(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OperationalError("away")

    monkeypatch.setattr(CatalogueKeeper, "_remove", fail)
    world.start()
    world.keeper.remove("h")
    world.keeper.stop()
    assert not world.keeper._thread.is_alive()


def test_a_row_that_cannot_be_read_is_rotated_and_stops_nobody(world: World) -> None:
    """Another version of the package wrote it."""
    world.start()
    with transaction.atomic():
        handle = world.register(SOME)
        Shape.objects.filter(handle=handle).update(definition={"of": "another version"})
        readable = world.register(OTHER)
    assert [row.handle for row in world.next(RowsAppeared).rows] == [readable]
    assert not Shape.objects.filter(handle=handle).exists()


def test_a_database_that_shuts_down_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OperationalError("FATAL: the database system is shutting down")]
    read = CatalogueKeeper._read_fingerprint

    def sometimes(keeper: CatalogueKeeper) -> tuple[int, int]:
        if failures:
            raise failures.pop()
        return read(keeper)

    monkeypatch.setattr(CatalogueKeeper, "_read_fingerprint", sometimes)
    world.start()
    world.next(events.DatabaseStops)
    handle = world.register(SOME)
    assert [row.handle for row in world.next(RowsAppeared).rows] == [handle]


def test_shapes_that_are_too_many_go_and_those_read_longest_ago_first(
    settings_of: Callable[..., ElectricSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVICTION_SECONDS", 0.0)
    settings = settings_of(poll_interval=50, max_shapes=2)
    world = World(settings)
    handles = [world.register(define(where=f"id = {n}")) for n in range(4)]
    world.register(SOME, "other")
    for at, handle in enumerate(handles):
        (settings.root / SHAPES / handle).mkdir(parents=True)
        os.utime(settings.root / SHAPES / handle, (1000 + at, 1000 + at))
    Reads(settings.root / SHAPES).note(handles[0])
    try:
        world.start()
        assert set(world.next(RowsVanished).handles) == set(handles[1:3])
        left = Shape.objects.filter(stream_id=world.stream_id).values_list("handle", flat=True)
        assert set(left) == {handles[0], handles[3]}
        another = world.register(OTHER)
        assert [row.handle for row in world.next(RowsAppeared).rows] == [another]
        assert world.next(RowsVanished).handles == (handles[3],), "the new one has no log yet"
    finally:
        world.close()


def test_without_a_limit_all_shapes_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVICTION_SECONDS", 0.0)
    for n in range(4):
        world.register(define(where=f"id = {n}"))
    world.start()
    handle = world.register(define(where="id = 9"))
    assert [row.handle for row in world.next(RowsAppeared).rows] == [handle]
    assert not world.rest()


def test_a_row_that_is_named_and_gone_before_the_next_poll_is_missed(patient: World) -> None:
    patient.start()
    wait_until(lambda: patient.keeper._fingerprint is not None)
    handle = patient.register(SOME)
    patient.keeper.look_at(handle)
    assert [row.handle for row in patient.next(RowsAppeared).rows] == [handle]
    Shape.objects.filter(handle=handle).delete()
    patient.keeper._next_poll = 0.0
    patient.keeper.look_at("nobody")
    assert patient.next(RowsVanished).handles == (handle,)

"""Tallies: rows that a partition got through the stream."""

from __future__ import annotations

from dataclasses import replace

from django_electric.postgres.pgoutput import Begin, Delete, Insert, Truncate, Update
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.router import Router
from django_electric.shapes.tallies import Tallies
from django_electric.shapes.transactions import TransactionBuilder
from tests.shapes.world import ITEMS, define, described, send, shape

ROOT, OTHER_ROOT, LEAF, OTHER_LEAF = 1, 2, 11, 12


def seen(tallies: Tallies, snapshot: str, root: int = ROOT, leaf: int = LEAF) -> int | None:
    tally = tallies.take(root, leaf)
    return None if tally is None else tally.seen_by(PgSnapshot.parse(snapshot))


def test_rows_that_come_and_go_are_counted_by_those_who_see_their_transactions() -> None:
    for snapshot, rows in (("9:9:", 0), ("10:12:10", 5), ("12:12:", 7), ("13:13:", 4)):
        tallies = Tallies()
        tallies.begin(ROOT, LEAF)
        for xid, changes in ((10, [1, 1]), (11, [7, -2]), (12, [-3])):
            for change in changes:
                tallies.add(LEAF, change)
            tallies.end(xid)
        assert seen(tallies, snapshot) == rows


def test_only_what_was_begun_is_counted_and_only_from_then_on() -> None:
    tallies = Tallies()
    assert not tallies
    tallies.add(LEAF, 5)
    tallies.begin(ROOT, LEAF)
    tallies.add(LEAF, 1)
    tallies.add(OTHER_LEAF, 7)
    tallies.begin(ROOT, LEAF)
    tallies.end(10)
    assert tallies.leaves_of(ROOT) == {LEAF}
    assert tallies.leaves_of(OTHER_ROOT) == set()
    assert seen(tallies, "20:20:", ROOT, OTHER_LEAF) is None
    assert seen(tallies, "20:20:", OTHER_ROOT) is None
    assert seen(tallies, "20:20:") == 1
    assert seen(tallies, "20:20:") is None
    assert not tallies


def test_each_root_has_a_count_of_its_own() -> None:
    tallies = Tallies()
    tallies.begin(ROOT, LEAF)
    tallies.add(LEAF, 1)
    tallies.begin(OTHER_ROOT, LEAF)
    tallies.add(LEAF, 1)
    tallies.end(10)
    assert (seen(tallies, "20:20:"), seen(tallies, "20:20:", OTHER_ROOT)) == (2, 1)


def test_a_transaction_that_comes_again_counts_once() -> None:
    tallies = Tallies()
    tallies.begin(ROOT, LEAF)
    tallies.add(LEAF, 3)
    tallies.abandon()
    tallies.add(LEAF, 3)
    tallies.end(10)
    assert seen(tallies, "20:20:") == 3


def test_a_root_without_shapes_is_forgotten_with_all_its_leaves() -> None:
    tallies = Tallies()
    tallies.begin(ROOT, LEAF)
    tallies.begin(ROOT, OTHER_LEAF)
    tallies.forget(ROOT)
    tallies.forget(OTHER_ROOT)
    assert not tallies


# -- in the stream -----------------------------------------------------------------------------------------

PARTITIONED = replace(ITEMS, is_partitioned=True)
LEAF_TABLE = replace(ITEMS, oid=501, name="items_1")
A, B = ("1", "a", "t"), ("2", "b", "f")


def test_a_partition_that_is_new_to_a_shape_is_counted_from_its_first_description() -> None:
    builder = TransactionBuilder(Router(), find_roots=lambda oid: (ITEMS.oid,))
    builder.router.add(shape(define(PARTITIONED, where="id = 1")))
    changes = [
        Insert(501, A), Insert(501, B), Update(501, B, ("3", "b", "f")), Delete(501, A),
        Insert(501, A), Truncate((999,)), Insert(999, A),
    ]  # fmt: skip
    send(builder, 10, described(LEAF_TABLE), *changes)
    send(builder, 20, Delete(501, A))
    tally = builder.tallies.take(ITEMS.oid, 501)
    assert tally is not None
    assert tally.seen_by(PgSnapshot(11, 11)) == 2, "whether they are in the shape or not"
    assert tally.seen_by(PgSnapshot(30, 30)) == 1


def test_a_partition_that_all_shapes_know_is_not_counted() -> None:
    builder = TransactionBuilder(Router(), find_roots=lambda oid: (ITEMS.oid,))
    builder.router.add(shape(define(PARTITIONED)), [501])
    send(builder, 10, described(LEAF_TABLE), Insert(501, A))
    assert not builder.tallies


def test_what_the_stream_repeats_is_counted_once() -> None:
    builder = TransactionBuilder(Router(), find_roots=lambda oid: (ITEMS.oid,))
    builder.router.add(shape(define(PARTITIONED)))
    send(builder, 10, described(LEAF_TABLE), Insert(501, A))
    builder.handle(Begin(20, 20))
    builder.handle(Insert(501, B))
    builder.abandon()
    send(builder, 10, described(LEAF_TABLE), Insert(501, A))
    send(builder, 20, Insert(501, B))
    tally = builder.tallies.take(ITEMS.oid, 501)
    assert tally is not None
    assert tally.seen_by(PgSnapshot(30, 30)) == 2

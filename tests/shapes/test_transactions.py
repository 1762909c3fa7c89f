"""TransactionBuilder: messages of the stream in, whole transactions for every shape out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.errors import DecodeError
from django_electric.postgres.pgoutput import (
    Begin,
    Commit,
    Delete,
    Ignored,
    Insert,
    LogicalMessage,
    Message,
    Row,
    Truncate,
    Update,
)
from django_electric.postgres.relation import Relation
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.layouts import SCHEMA_PREFIX
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.router import Router
from django_electric.shapes.transactions import (
    MESSAGE_PREFIX,
    Answers,
    RecentTransactions,
    TransactionBuilder,
)
from django_electric.where import DelegatedWhere, Undecided
from tests.shapes.world import (
    ITEMS,
    Failing,
    ListSink,
    Oracle,
    accepted,
    belongs,
    clauses,
    define,
    described,
    item_rows,
    naive_messages,
    send,
    shape,
    sink_of,
    table,
    with_column,
    without,
)

LAYOUT = ("id", "text", "done")
OTHER = table({"id": "int4", "text": "text", "done": "bool"}, oid=600, name="other")
A, B = ("1", "a", "t"), ("2", "b", "f")


def builder_of(*shapes: RoutedShape, **options: Any) -> TransactionBuilder:
    builder = TransactionBuilder(Router(), **options)
    for one in shapes:
        builder.router.add(one)
    return builder


def rotations(builder: TransactionBuilder) -> dict[str, str]:
    """Handle → reason, of what was asked for since the last time."""
    outcome = builder.take_outcome()
    return {r.shape.handle: r.reason for r in outcome.rotations} if outcome else {}


# -- against the model -----------------------------------------------------------------------------


def expected_messages(
    definition: ShapeDefinition, transactions: Sequence[tuple[int, int, Sequence[Message]]]
) -> list[dict[str, Any]]:
    """What a shape is told of *transactions*, (tx, xid, changes): sections 3.3, 4.2 and 4.4."""
    told: list[dict[str, Any]] = []
    for tx, xid, changes in transactions:
        of_this: list[dict[str, Any]] = []
        for n, change in enumerate(changes):
            assert isinstance(change, Insert | Update | Delete)
            if change.oid != definition.relation_oid:
                continue
            old: Row | None = getattr(change, "old", None)
            new: Row | None = getattr(change, "new", None)
            before = old if belongs(definition, LAYOUT, old) else None
            after = new if belongs(definition, LAYOUT, new) else None
            if before is not None or after is not None:
                of_this += naive_messages(
                    definition, LAYOUT, before, after, xid=xid, tx=tx, op=2 * n
                )
        if of_this:
            of_this[-1]["headers"]["last"] = True
        told += of_this
    return told


oids = st.sampled_from([ITEMS.oid, ITEMS.oid, OTHER.oid])
changes = st.one_of(
    st.builds(Insert, oids, item_rows),
    st.builds(Update, oids, item_rows, item_rows),
    st.builds(Delete, oids, item_rows),
)
streams = st.lists(st.lists(changes, max_size=5), min_size=1, max_size=5)
definitions = st.builds(
    lambda where, columns, replica, relation: define(
        relation, where, columns=columns, replica=replica
    ),
    st.none() | clauses.filter(accepted),
    st.none() | st.just(("id", "done")),
    st.sampled_from(["default", "full"]),
    st.sampled_from([ITEMS, OTHER]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(definitions, min_size=1, max_size=4), streams, st.data())
def test_every_shape_is_told_what_the_specification_says(
    wanted: list[ShapeDefinition], stream: list[list[Message]], data: st.DataObject
) -> None:
    """Whatever is spilled, wherever the connection breaks, whatever is sent again, whomever is asked."""
    spill_bytes = data.draw(st.sampled_from([1, 300, 1 << 20]), "spill_bytes")
    oracle = Oracle()
    delegated = data.draw(st.sets(st.integers(0, len(wanted) - 1)), "delegated")
    shapes = [shape(d, f"h{n}") for n, d in enumerate(wanted)]
    for number in delegated:
        oracle.delegate(shapes[number])
    asked = data.draw(st.sampled_from([1, 2, 1000]), "changes asked about at once")
    builder = builder_of(*shapes, spill_bytes=spill_bytes, ask=oracle.ask, asked_changes=asked)
    transactions = [(10 * n, 700 + n, list(c)) for n, c in enumerate(stream, start=1)]
    position = 0
    while position < len(transactions):
        tx, xid, sent = transactions[position]
        breaks_after = data.draw(st.none() | st.integers(0, len(sent)), "breaks after")
        if breaks_after is not None:
            builder.handle(Begin(tx, xid))
            for change in sent[:breaks_after]:
                builder.handle(change)
            builder.abandon()
            position = data.draw(st.integers(0, position), "begins again at")
            for again in transactions[position:]:
                send(builder, again[0], *again[2], xid=again[1])
            break
        send(builder, tx, *sent, xid=xid)
        position += 1
    for one, definition in zip(shapes, wanted, strict=True):
        assert sink_of(one).messages == expected_messages(definition, transactions)
    assert rotations(builder) == {}


@settings(max_examples=50, deadline=None)
@given(definitions, streams, st.data())
def test_a_shape_that_registers_late_gets_what_its_snapshot_does_not_see(
    definition: ShapeDefinition, stream: list[list[Message]], data: st.DataObject
) -> None:
    """Transactions that passed before, the one under way and those to come (section 16.3, point 15)."""
    transactions = [(10 * n, 700 + n, list(c)) for n, c in enumerate(stream, start=1)]
    messages: list[tuple[int, Message]] = []
    for n, (tx, xid, sent) in enumerate(transactions):
        messages += [(n, m) for m in (Begin(tx, xid), *sent, Commit(tx, tx + 8))]
    registers = data.draw(st.integers(0, len(messages)), "registers before message")
    joins = data.draw(st.integers(registers, len(messages)), "joins before message")
    begun = messages[joins][0] if joins < len(messages) else len(transactions)
    # Any of the transactions that were streamed by then may be visible, or not yet.
    seen = data.draw(st.sets(st.sampled_from(range(begun))) if begun else st.just(set()), "sees")
    unseen = frozenset(701 + n for n in range(begun) if n not in seen)
    snapshot = PgSnapshot(min(unseen, default=701 + begun), 701 + begun, unseen)
    one = shape(definition, snapshot=None)
    oracle = Oracle()
    if data.draw(st.booleans(), "delegated"):
        oracle.delegate(one)
    builder = TransactionBuilder(
        Router(), spill_bytes=data.draw(st.sampled_from([1, 1 << 20])), ask=oracle.ask
    )
    for at, (_, message) in enumerate([*messages, (0, None)]):
        if at == registers:
            assert builder.catch_up(one) == frozenset()
            builder.router.add(one)
        if at == joins:
            assert one.join(snapshot) == ""
        if message is not None:
            builder.handle(message)
    missed = [t for n, t in enumerate(transactions) if n not in seen]
    assert sink_of(one).messages == expected_messages(definition, missed)


# -- what only Postgres can tell -------------------------------------------------------------------------


def test_a_shape_that_was_asked_about_once_is_told_in_order() -> None:
    """One that mostly can be evaluated here: what comes after a question waits for the answer, too."""
    sometimes = shape(define(ITEMS, "text = 'x'"), "sometimes")
    sometimes.where = Sometimes(sometimes.where)
    other = shape(define(ITEMS, "done"), "other")
    builder = builder_of(
        sometimes, other, ask=lambda columns, asked: Answers([one.shapes for one in asked])
    )
    send(builder, 10, Insert(ITEMS.oid, ("1", "x", "t")), Insert(ITEMS.oid, ("2", "?", "t")),
         Insert(ITEMS.oid, ("3", "x", "t")), Delete(ITEMS.oid, ("2", "?", "t")))  # fmt: skip
    told = [(m["headers"]["operation"], m["value"]["id"]) for m in sink_of(sometimes).messages]
    assert told == [("insert", "1"), ("insert", "2"), ("insert", "3"), ("delete", "2")]
    assert [m["value"]["id"] for m in sink_of(other).messages] == ["1", "2", "3", "2"]


class Sometimes:
    """A condition that cannot be told here for rows with a question mark."""

    is_delegated = True

    def __init__(self, where: Any) -> None:
        self.where = where
        self.tree = where.tree
        self.columns = where.columns

    def lookups(self) -> None:
        """None: evaluate it always."""

    def compile(self, positions: Any) -> Any:
        evaluate, at = self.where.compile(positions), positions["text"]

        def ask(row: Row) -> bool | None:
            if row[at] == "?":
                raise Undecided("?")
            return evaluate(row)

        return ask


def test_a_condition_that_postgres_cannot_evaluate_any_more_rotates_its_shape() -> None:
    oracle = Oracle()
    lost, kept = (oracle.delegate(shape(define(ITEMS, w), w)) for w in ("done", "NOT done"))
    builder = builder_of(
        lost, kept,
        ask=lambda columns, asked: Answers([()] * len(asked), {lost}),
    )  # fmt: skip
    send(builder, 10, Insert(ITEMS.oid, A))
    assert rotations(builder) == {"done": "Postgres could not evaluate its condition"}


def test_nobody_is_asked_about_rows_that_fail_what_can_be_told_here() -> None:
    one = shape(define(ITEMS, "done"), "one")
    where = one.where
    assert where is not None
    one.where = DelegatedWhere(where.tree, "lower(text) = 'a' AND done", where.columns | {"text"})
    oracle = Oracle()
    builder = builder_of(one, ask=oracle.ask)
    send(builder, 10, Insert(ITEMS.oid, ("1", "a", "f")), Insert(ITEMS.oid, ("2", "a", None)))
    assert oracle.asked == 0
    send(builder, 20, Insert(ITEMS.oid, ("3", "a", "t")))
    assert oracle.asked == 1


# -- the stream's grammar ------------------------------------------------------------------------------


def test_a_transaction_inside_another_makes_no_sense() -> None:
    builder = builder_of()
    builder.handle(Begin(10, 1))
    with pytest.raises(DecodeError, match="inside another"):
        builder.handle(Begin(20, 2))


def test_a_commit_without_a_begin_makes_no_sense() -> None:
    with pytest.raises(DecodeError, match="without a begin"):
        builder_of().handle(Commit(10, 18))


def test_the_builder_knows_whether_a_transaction_is_under_way() -> None:
    builder = builder_of()
    assert not builder.is_in_transaction
    builder.handle(Begin(10, 1))
    assert builder.is_in_transaction
    builder.handle(Commit(10, 18))
    assert not builder.is_in_transaction


def test_messages_of_no_use_are_passed_over() -> None:
    one = shape()
    builder = builder_of(one)
    send(builder, 10, Ignored("Origin"), Ignored("Type"), Insert(ITEMS.oid, A))
    assert sink_of(one).ops == [0]


def test_our_own_markers_are_handed_on_and_those_of_others_are_not() -> None:
    builder = builder_of()
    assert builder.take_outcome() is None
    send(
        builder,
        10,
        LogicalMessage(True, MESSAGE_PREFIX, b"one"),
        LogicalMessage(True, "theirs", b"two"),
    )
    builder.handle(LogicalMessage(False, MESSAGE_PREFIX, b"three"))
    outcome = builder.take_outcome()
    assert outcome is not None
    assert outcome.markers == [b"one", b"three"]
    assert builder.take_outcome() is None


# -- offsets -------------------------------------------------------------------------------------------


def test_the_position_counts_every_change_whoever_it_concerns() -> None:
    one, other = shape(), shape(define(OTHER), "other")
    builder = builder_of(one, other)
    send(
        builder,
        10,
        Insert(999, ("?",)),
        Insert(ITEMS.oid, A),
        Truncate((998, 999)),
        Insert(OTHER.oid, A),
        Update(ITEMS.oid, A, ("9", "a", "t")),
        Delete(ITEMS.oid, A),
    )
    assert sink_of(one).ops == [2, 10, 11, 12]
    assert sink_of(other).ops == [8]
    assert builder.changes == 7
    assert builder.processed_tx == 10


def test_a_transaction_that_comes_again_gets_the_offsets_it_had() -> None:
    """The late shape must not disturb the count, nor must the log that holds the transaction."""
    one = shape()
    builder = builder_of(one)
    sent = (Insert(999, ("?",)), Insert(ITEMS.oid, A))
    send(builder, 10, *sent)
    again = shape(handle="again")
    started_anew = builder_of(again)
    send(started_anew, 10, *sent)
    assert sink_of(again).transactions == sink_of(one).transactions


def test_a_transaction_that_is_complete_is_passed_over_when_it_comes_again() -> None:
    one = shape()
    builder = builder_of(one)
    send(builder, 10, Insert(ITEMS.oid, A))
    send(builder, 20, Insert(ITEMS.oid, B))
    builder.abandon()
    for tx in (10, 20):
        send(builder, tx, Insert(ITEMS.oid, A), Truncate((ITEMS.oid,)))
    assert sink_of(one).txs == [10, 20]
    assert rotations(builder) == {}
    assert len(builder.recent) == 2


# -- rotation ------------------------------------------------------------------------------------------


def test_truncating_rotates_the_shapes_of_the_tables_named_and_no_others() -> None:
    shapes = [shape(define(), "a"), shape(define(where="id = 7"), "b"), shape(define(OTHER), "c")]
    builder = builder_of(*shapes)
    send(builder, 10, Insert(OTHER.oid, A), Truncate((ITEMS.oid, 999)), Insert(OTHER.oid, B))
    assert rotations(builder) == dict.fromkeys("ab", "its table was truncated")
    assert sink_of(shapes[2]).ops == [0, 6]
    assert sink_of(shapes[0]).transactions == []


def test_nothing_rotates_that_the_snapshot_already_sees() -> None:
    seen = PgSnapshot(100, 110)
    shapes = [shape(define(replica=r), r, snapshot=seen) for r in ("default", "full")]
    builder = builder_of(*shapes)
    send(builder, 10, Truncate((ITEMS.oid,)), xid=105)
    send(builder, 20, Update(ITEMS.oid, None, A), xid=106)
    send(builder, 30, Delete(ITEMS.oid, None), xid=107)
    assert rotations(builder) == {}
    send(builder, 40, Truncate((ITEMS.oid,)), xid=110)
    assert set(rotations(builder)) == {"default", "full"}


@pytest.mark.parametrize(
    "change", [Update(ITEMS.oid, None, A), Delete(ITEMS.oid, None)], ids=["update", "delete"]
)
def test_a_change_without_its_old_row_rotates_the_shapes_of_its_table_alone(
    change: Message,
) -> None:
    shapes = [shape(define(where="id = 7"), "a"), shape(define(OTHER), "b")]
    builder = builder_of(*shapes)
    send(builder, 10, change, Insert(OTHER.oid, A))
    found = rotations(builder)
    assert set(found) == {"a"}
    assert "REPLICA IDENTITY FULL" in found["a"]
    assert sink_of(shapes[1]).txs == [10]


@pytest.mark.parametrize(
    "change",
    [Update(999, None, A), Delete(999, None), Insert(999, A), Truncate((999,)), Delete(999, A)],
)
def test_changes_of_tables_without_shapes_concern_nobody(change: Message) -> None:
    one = shape()
    builder = builder_of(one)
    send(builder, 10, change)
    assert rotations(builder) == {}
    assert sink_of(one).transactions == []


def test_a_rotated_shape_is_told_nothing_of_the_transactions_that_follow() -> None:
    """They may be published together with the one that rotated it; it would be right in part only."""
    one = shape()
    builder = builder_of(one)
    send(builder, 10, Insert(ITEMS.oid, A))
    send(builder, 20, Truncate((ITEMS.oid,)))
    send(builder, 30, Insert(ITEMS.oid, B))
    assert rotations(builder) == {"h": "its table was truncated"}
    assert sink_of(one).txs == [10]


def test_a_table_that_was_altered_rotates_its_shapes_with_the_next_change() -> None:
    shapes = [shape(define(), "all"), shape(define(columns=("id", "done")), "some")]
    builder = builder_of(*shapes)
    wider = with_column(ITEMS, "added")
    builder.handle(Begin(10, 10))
    builder.handle(described(wider))
    builder.handle(Commit(10, 18))
    assert rotations(builder) == {}
    send(builder, 20, Insert(ITEMS.oid, (*A, "new")))
    found = rotations(builder)
    assert set(found) == {"all"}
    assert "added" in found["all"]
    assert [m["value"] for m in sink_of(shapes[1]).messages] == [{"id": "1", "done": "true"}]


def test_a_table_that_was_renamed_rotates_its_shapes() -> None:
    one = shape(define(columns=("id",)))
    builder = builder_of(one)
    send(builder, 10, described(replace(ITEMS, name="things")), Delete(ITEMS.oid, A))
    assert rotations(builder) == {"h": "its table was renamed"}


def test_a_table_that_was_dropped_and_made_anew_rotates_its_shapes() -> None:
    """The stream describes another table of that name (section 10.5)."""
    shapes = [shape(define(), "old"), shape(define(OTHER), "other")]
    builder = builder_of(*shapes)
    again = replace(ITEMS, oid=777)
    send(builder, 10, described(again), Insert(again.oid, A))
    assert set(rotations(builder)) == {"old"}
    builder.router.remove(shapes[0])
    fresh = shape(define(again), "fresh")
    builder.router.add(fresh)
    send(builder, 20, described(again), Insert(again.oid, A))
    assert rotations(builder) == {}
    assert sink_of(fresh).txs == [20]


def test_a_table_made_anew_in_a_transaction_that_is_passed_over_rotates_nothing() -> None:
    one = shape()
    builder = builder_of(one)
    send(builder, 10, Insert(ITEMS.oid, A))
    builder.abandon()
    send(builder, 10, described(replace(ITEMS, oid=777)))
    assert rotations(builder) == {}


def test_an_alteration_that_the_snapshot_sees_rotates_nothing() -> None:
    """The shape was made before the ALTER, and its snapshot after it: the next change tells."""
    one = shape(define(), snapshot=PgSnapshot(100, 110))
    builder = builder_of(one)
    send(builder, 10, described(without(ITEMS, "text")), Insert(ITEMS.oid, ("1", "t")), xid=105)
    assert rotations(builder) == {}
    send(builder, 20, Insert(ITEMS.oid, ("1", "t")), xid=111)
    assert set(rotations(builder)) == {"h"}


def test_a_suspended_shape_rotates_on_a_truncate_too() -> None:
    one = shape(define())
    builder = builder_of(one)
    send(builder, 10, described(with_column(ITEMS, "added")), Truncate((ITEMS.oid,)))
    assert set(rotations(builder)) == {"h"}


# -- what is told of changed tables ----------------------------------------------------------------


def told(
    *relations: Relation, dropped: Sequence[int] = (), unpublished: Sequence[int] = ()
) -> LogicalMessage:
    """The message of a migration after which these tables are so."""
    tables = [
        [
            r.oid, r.schema, r.name,
            [[c.name, c.type_oid, c.type_modifier, c.sql_type] for c in r.columns], r.primary_key,
        ]
        for r in relations
    ]  # fmt: skip
    value = {"tables": tables, "dropped": dropped, "unpublished": unpublished}
    return LogicalMessage(True, SCHEMA_PREFIX, json.dumps(value).encode())


def test_a_migration_that_says_so_rotates_at_its_end_who_does_not_fit_any_more() -> None:
    every, chosen, other = (
        shape(define(), "every"),
        shape(define(columns=("id", "done")), "chosen"),
        shape(define(OTHER), "other"),
    )
    builder = builder_of(every, chosen, other)
    send(builder, 10, told(with_column(ITEMS, "added"), OTHER))
    assert rotations(builder) == {"every": "columns were added to its table or dropped from it"}
    send(builder, 20, Insert(ITEMS.oid, A))
    assert (len(sink_of(every).messages), len(sink_of(chosen).messages)) == (0, 1)


def test_rows_of_the_transaction_that_alters_their_table_reach_nobody_who_is_rotated() -> None:
    every = shape(define(), "every")
    builder = builder_of(every)
    narrower = without(ITEMS, "text")
    send(builder, 10, Insert(ITEMS.oid, A), described(narrower), Insert(ITEMS.oid, ("2", "f")), told(narrower))  # fmt: skip
    assert set(rotations(builder)) == {"every"}
    assert sink_of(every).messages == []


def test_the_shapes_of_a_table_that_is_dropped_unpublished_or_made_anew_end() -> None:
    for message, reason in [
        (told(dropped=[ITEMS.oid]), "its table was dropped"),
        (told(unpublished=[ITEMS.oid]), "its table was taken out of the publication"),
        (told(replace(ITEMS, oid=501)), "its table was dropped and made anew"),
    ]:
        builder = builder_of(shape(define(), "h"), shape(define(OTHER), "other"))
        send(builder, 10, message)
        assert rotations(builder) == {"h": reason}


def test_a_change_of_a_table_that_the_snapshot_sees_rotates_nothing() -> None:
    seeing = shape(define(), "h", PgSnapshot(20, 20, frozenset()))
    builder = builder_of(seeing)
    send(builder, 10, told(with_column(ITEMS, "added")), xid=10)
    assert rotations(builder) == {}


@pytest.mark.parametrize(
    "message",
    [
        LogicalMessage(True, SCHEMA_PREFIX, b"nonsense"),
        LogicalMessage(True, SCHEMA_PREFIX, b""),
        told(dropped=[4711]),
        told(ITEMS, OTHER),
    ],
)
def test_a_message_that_says_nothing_new_or_nothing_at_all_is_passed_over(
    message: LogicalMessage,
) -> None:
    builder = builder_of(shape(define(), "h"))
    send(builder, 10, message)
    assert rotations(builder) == {}


def test_what_is_told_outside_a_transaction_or_again_is_passed_over() -> None:
    builder = builder_of(shape(define(), "h"))
    builder.handle(told(dropped=[ITEMS.oid]))
    send(builder, 10, Insert(ITEMS.oid, A))
    send(builder, 10, told(dropped=[ITEMS.oid]))
    assert rotations(builder) == {}


@pytest.mark.parametrize(
    "change", [Insert(ITEMS.oid, A), Delete(ITEMS.oid, A), Update(ITEMS.oid, A, A)]
)
def test_a_condition_that_cannot_be_evaluated_rotates_its_shape(change: Message) -> None:
    broken, fine = shape(define(where="id > 0"), "broken"), shape(define(where="id < 9"), "fine")
    broken.where = Failing(KeyError("a mistake"))
    builder = builder_of(broken, fine)
    send(builder, 10, change)
    assert rotations(builder) == {"broken": "its condition could not be evaluated"}
    assert sink_of(broken).transactions == []


def test_a_held_shape_rotates_when_it_joins() -> None:
    one = shape(snapshot=None)
    builder = builder_of(one)
    send(builder, 10, Truncate((ITEMS.oid,)))
    assert rotations(builder) == {}
    assert one.join(PgSnapshot(5, 5)) == "its table was truncated"


# -- partitions ------------------------------------------------------------------------------------------

ROOT = replace(ITEMS, is_partitioned=True)
LEAF = replace(ITEMS, oid=501, name="items_1")
TURNED = replace(LEAF, oid=502, name="items_2", columns=tuple(reversed(LEAF.columns)))


def test_changes_of_a_partition_are_told_under_the_name_of_the_root() -> None:
    of_root, of_leaf = shape(define(ROOT), "root"), shape(define(LEAF), "leaf")
    builder = TransactionBuilder(Router())
    builder.router.add(of_root, [LEAF.oid])
    builder.router.add(of_leaf)
    send(builder, 10, described(LEAF), Insert(LEAF.oid, A))
    (message,) = sink_of(of_root).messages
    assert message["key"] == '"public"."items"/"1"'
    assert message["headers"]["relation"] == ["public", "items"]
    (message,) = sink_of(of_leaf).messages
    assert message["key"] == '"public"."items_1"/"1"'


def test_partitions_that_order_their_columns_differently_are_told_alike() -> None:
    one = shape(define(ROOT))
    builder = TransactionBuilder(Router())
    builder.router.add(one, [LEAF.oid, TURNED.oid])
    send(
        builder,
        10,
        described(LEAF),
        described(TURNED),
        Insert(LEAF.oid, A),
        Insert(TURNED.oid, ("f", "b", "2")),
        Insert(LEAF.oid, ("3", "c", None)),
    )
    assert [m["value"] for m in sink_of(one).messages] == [
        {"id": "1", "text": "a", "done": "true"},
        {"id": "2", "text": "b", "done": "false"},
        {"id": "3", "text": "c", "done": None},
    ]


def test_a_partition_is_found_by_its_first_description() -> None:
    one = shape(define(ROOT))
    builder = builder_of(one, find_roots=lambda oid: [ROOT.oid] if oid == LEAF.oid else [])
    send(builder, 10, described(OTHER), described(LEAF), Insert(LEAF.oid, A))
    assert sink_of(one).txs == [10]


def test_a_table_that_becomes_a_partition_after_the_stream_has_named_it_is_found() -> None:
    """ALTER TABLE … ATTACH PARTITION makes the stream describe it again."""
    roots: dict[int, list[int]] = {}
    one = shape(define(ROOT))
    builder = builder_of(one, find_roots=lambda oid: roots.get(oid, []))
    send(builder, 10, described(LEAF), Insert(LEAF.oid, A))
    assert sink_of(one).txs == []
    roots[LEAF.oid] = [ROOT.oid]
    send(builder, 20, described(LEAF), Insert(LEAF.oid, B))
    assert sink_of(one).txs == [20]


def test_truncating_a_partition_rotates_its_own_shapes_and_those_of_the_root() -> None:
    shapes = [
        shape(define(ROOT), "root"),
        shape(define(LEAF), "leaf"),
        shape(define(TURNED), "turned"),
    ]
    builder = TransactionBuilder(Router())
    builder.router.add(shapes[0], [LEAF.oid, TURNED.oid])
    for one in shapes[1:]:
        builder.router.add(one)
    send(builder, 10, Truncate((LEAF.oid,)))
    assert set(rotations(builder)) == {"root", "leaf"}


# -- memory --------------------------------------------------------------------------------------------


@dataclass
class CountingSink(ListSink):
    """Keeps nothing but numbers."""

    entries: int = 0

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        self.entries += len(entries)

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        self.entries += len(entries)
        self.last_tx = tx


def test_a_large_transaction_takes_no_more_memory_than_it_may() -> None:
    limit = 10_000
    shapes = [shape(define(replica=r), r) for r in ("default", "full")]
    for one in shapes:
        one.sink = CountingSink()
    builder = builder_of(*shapes, spill_bytes=limit, recent_limit=100)
    builder.handle(Begin(10, 10))
    most = 0
    for n in range(5_000):
        builder.handle(Insert(ITEMS.oid, (str(n), "x" * 50, "t")))
        most = max(most, sum(len(text) for one in shapes for text in one.texts))
    assert most < limit + 2_000
    assert builder._kept is None
    builder.handle(Commit(10, 18))
    for one in shapes:
        assert isinstance(one.sink, CountingSink)
        assert one.sink.entries == 5_000
    assert builder.recent.not_kept() == {10}


def test_what_is_kept_for_late_shapes_is_bounded_in_bytes_and_not_only_in_number() -> None:
    """20,000 rows of a megabyte would be 20 gigabytes."""
    builder = builder_of()
    row = Insert(ITEMS.oid, A)
    for tx in range(1, 101):
        send(builder, tx, row, size=1 << 20)
    assert 0 < len(list(builder.recent)) <= 64
    assert builder.recent.not_kept() == set(range(1, 101 - len(list(builder.recent))))
    late = shape(snapshot=None)
    assert builder.catch_up(late) == builder.recent.not_kept()


def test_one_transaction_that_is_too_large_in_bytes_is_not_kept_at_all() -> None:
    builder = builder_of()
    builder.handle(Begin(10, 10))
    for _ in range(100):
        builder.handle(Insert(ITEMS.oid, A), 1 << 20)
    assert builder.catch_up(shape(snapshot=None)) == {10}
    builder.handle(Commit(10, 18))
    assert builder.recent.not_kept() == {10}
    send(builder, 20, Insert(ITEMS.oid, A), size=100)
    assert [t.tx for t in builder.recent] == [20]


# -- a broken connection ---------------------------------------------------------------------------------


def test_a_transaction_that_broke_off_leaves_nothing_and_comes_again() -> None:
    one = shape()
    builder = builder_of(one, spill_bytes=1)
    builder.handle(Begin(10, 10))
    builder.handle(described(ITEMS))
    for row in (A, B, A):
        builder.handle(Insert(ITEMS.oid, row))
    assert sink_of(one).spills
    builder.abandon()
    assert sink_of(one).spilled == []
    assert not builder.is_in_transaction
    assert builder.router.layouts == {}
    send(builder, 10, described(ITEMS), Insert(ITEMS.oid, A))
    assert sink_of(one).ops == [0]


def test_a_reason_to_rotate_is_forgotten_with_the_transaction_that_broke_off() -> None:
    one = shape()
    builder = builder_of(one)
    builder.handle(Begin(10, 10))
    builder.handle(Truncate((ITEMS.oid,)))
    builder.abandon()
    send(builder, 20, Insert(ITEMS.oid, A))
    assert rotations(builder) == {}
    assert sink_of(one).txs == [20]


# -- late shapes -------------------------------------------------------------------------------------------


def test_a_late_shape_on_a_table_that_was_altered_meanwhile_rotates_unless_it_sees_that() -> None:
    wider = with_column(ITEMS, "added")
    builder = builder_of(shape(handle="early"))
    send(builder, 10, described(ITEMS), Insert(ITEMS.oid, A), xid=10)
    send(builder, 20, described(wider), Insert(ITEMS.oid, (*A, "?")), xid=20)
    for definition, snapshot, told in [
        (define(wider), PgSnapshot(20, 20), [20]),
        (define(wider), PgSnapshot(21, 21), []),
        (define(wider), PgSnapshot(5, 5), None),
    ]:
        late = shape(definition, "late", snapshot=None)
        assert builder.catch_up(late) == frozenset()
        builder.router.add(late)
        reason = late.join(snapshot)
        assert bool(reason) == (told is None)
        if told is not None:
            assert sink_of(late).txs == told
        builder.router.remove(late)


def test_a_late_shape_of_a_partitioned_table_gets_what_its_partitions_had() -> None:
    builder = TransactionBuilder(Router())
    send(builder, 10, described(LEAF), Insert(LEAF.oid, A))
    late = shape(define(ROOT), snapshot=None)
    builder.catch_up(late, [LEAF.oid])
    builder.router.add(late, [LEAF.oid])
    late.join(PgSnapshot(5, 5))
    (message,) = sink_of(late).messages
    assert message["key"] == '"public"."items"/"1"'


def test_a_late_shape_hears_of_a_truncate_that_its_snapshot_does_not_see() -> None:
    builder = builder_of()
    send(builder, 10, Insert(OTHER.oid, A), Truncate((OTHER.oid, ITEMS.oid)))
    late = shape(snapshot=None)
    builder.catch_up(late)
    builder.router.add(late)
    assert late.join(PgSnapshot(5, 5)) == "its table was truncated"


def test_a_late_shape_has_to_see_the_transactions_that_were_too_large_to_keep() -> None:
    builder = builder_of(recent_limit=3)
    send(builder, 10, *[Insert(ITEMS.oid, A)] * 2)
    send(builder, 20, *[Insert(ITEMS.oid, A)] * 4)
    late = shape(snapshot=None)
    assert builder.catch_up(late) == {20}
    builder.handle(Begin(30, 30))
    for _ in range(4):
        builder.handle(Insert(ITEMS.oid, B))
    assert builder.catch_up(shape(handle="later", snapshot=None)) == {20, 30}


def test_a_late_shape_gets_the_part_of_the_transaction_under_way_that_has_passed() -> None:
    builder = builder_of(shape(handle="early"))
    builder.handle(Begin(10, 10))
    builder.handle(Insert(OTHER.oid, A))
    builder.handle(Insert(ITEMS.oid, A))
    late = shape(snapshot=None)
    builder.catch_up(late)
    builder.router.add(late)
    late.join(PgSnapshot(5, 5))
    builder.handle(Insert(ITEMS.oid, B))
    builder.handle(Commit(10, 18))
    assert sink_of(late).ops == [2, 4]
    assert [m["headers"].get("last") for m in sink_of(late).messages] == [None, True]


def test_a_late_shape_gets_nothing_of_a_transaction_that_is_passed_over() -> None:
    """It is complete already: it lies among the recent ones."""
    builder = builder_of(shape(handle="early"))
    send(builder, 10, Insert(ITEMS.oid, A))
    builder.abandon()
    builder.handle(Begin(10, 10))
    builder.handle(Insert(ITEMS.oid, A))
    late = shape(snapshot=None)
    builder.catch_up(late)
    builder.router.add(late)
    builder.handle(Insert(ITEMS.oid, B))
    builder.handle(Commit(10, 18))
    late.join(PgSnapshot(5, 5))
    assert sink_of(late).ops == [0]


def test_catching_up_gives_the_other_shapes_nothing() -> None:
    early = shape(handle="early")
    builder = builder_of(early)
    send(builder, 10, Insert(ITEMS.oid, A))
    before = json.dumps(sink_of(early).messages)
    builder.catch_up(shape(handle="late", snapshot=None))
    builder.handle(Begin(20, 20))
    builder.handle(Commit(20, 28))
    assert json.dumps(sink_of(early).messages) == before
    assert builder.changes == 1


# -- recent transactions -------------------------------------------------------------------------------


def test_recent_transactions_are_forgotten_when_a_snapshot_sees_them() -> None:
    recent = RecentTransactions()
    for n in range(1, 4):
        recent.add(100 + n, 10 * n, [])
    assert recent.oldest_tx == 10
    recent.forget_seen(PgSnapshot(102, 104, frozenset([102])))
    assert [t.xid for t in recent] == [102]
    assert (len(recent), recent.oldest_tx) == (1, 20)
    recent.forget_seen(PgSnapshot(110, 110))
    assert (len(recent), recent.oldest_tx) == (0, None)


def test_the_changes_of_the_oldest_are_dropped_first_when_there_are_too_many() -> None:
    builder = builder_of(recent_limit=5)
    for n in range(1, 5):
        send(builder, 10 * n, *[Insert(ITEMS.oid, A)] * 2)
    assert [t.tx for t in builder.recent] == [30, 40]
    assert builder.recent.not_kept() == {10, 20}
    assert builder.recent.oldest_tx == 10


def test_an_empty_transaction_is_not_remembered() -> None:
    builder = builder_of()
    send(builder, 10, LogicalMessage(True, "theirs", b""))
    assert len(builder.recent) == 0
    assert builder.processed_tx == 10

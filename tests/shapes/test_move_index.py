"""MovingIndex: a change finds the shapes that it may concern, and asks no others."""

from __future__ import annotations

from collections.abc import Mapping

from django_electric.postgres.pgoutput import Delete, Insert, Row, Update
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.move_index import MovingIndex
from django_electric.shapes.moves import MovingShape
from django_electric.shapes.router import Router
from django_electric.shapes.transactions import TransactionBuilder
from tests.shapes.test_moves import CHILD, PARENT, define
from tests.shapes.world import ListSink, described, send

ONE = ("1", "5", None, None)
OTHER = ("1", "6", None, None)


def started(builder: TransactionBuilder, handle: str, where: str, *values: str) -> MovingShape:
    """A shape whose subqueries give *values*."""
    shape = MovingShape(handle, define(where), ListSink())
    builder.router.add(shape)
    rows = [((value,), 1) for value in values]
    builder.begin(shape, PgSnapshot(1, 1), {part.handle: rows for part in shape.all_parts()})
    return shape


def index_of(builder: TransactionBuilder) -> MovingIndex:
    index = builder.router.tables[CHILD.oid].moving
    assert index is not None
    return index


def found(builder: TransactionBuilder, old: Row | None, new: Row | None) -> set[str]:
    shapes: Mapping[object, object] = index_of(builder).find(old, new)
    return {shape.handle for shape in shapes if isinstance(shape, MovingShape)}


def test_a_row_finds_the_shapes_that_were_told_of_its_value() -> None:
    builder = TransactionBuilder(Router())
    started(builder, "five", "p IN (SELECT id FROM parent)", "5")
    started(builder, "six", "p IN (SELECT id FROM parent) AND n > 1", "6")
    started(builder, "both", "p IN (SELECT id FROM parent)", "5", "6")
    assert found(builder, None, ONE) == {"five", "both"}
    assert found(builder, ONE, OTHER) == {"five", "six", "both"}
    assert found(builder, ("1", None, None, None), None) == set()


def test_a_shape_with_an_alternative_that_asks_for_no_value_gets_every_row() -> None:
    builder = TransactionBuilder(Router())
    started(builder, "five", "p IN (SELECT id FROM parent)", "5")
    started(builder, "or", "p IN (SELECT id FROM parent) OR n > 1", "5")
    started(builder, "not", "p NOT IN (SELECT id FROM parent)", "5")
    assert found(builder, None, OTHER) == {"or", "not"}


def test_a_value_stays_while_one_of_two_subqueries_gives_it() -> None:
    builder = TransactionBuilder(Router())
    where = "p IN (SELECT id FROM parent WHERE yes) OR p IN (SELECT v FROM parent)"
    shape = started(builder, "two", where, "5")
    assert found(builder, None, ONE) == {"two"}
    send(builder, 100, described(PARENT), Update(2, ("5", "5", "t"), ("5", "5", "f")))
    assert found(builder, None, ONE) == {"two"}
    send(builder, 200, Delete(2, ("5", "5", "f")))
    assert found(builder, None, ONE) == set()
    assert [told.contains(("5",)) for told in shape.told] == [False, False]


def test_who_keeps_its_changes_gets_every_row() -> None:
    builder = TransactionBuilder(Router())
    started(builder, "five", "p IN (SELECT id FROM parent WHERE yes)", "5")
    send(builder, 100, described(PARENT), Insert(2, ("8", None, "t")))
    assert found(builder, None, OTHER) == {"five"}


def test_a_shape_that_is_gone_is_found_no_more() -> None:
    builder = TransactionBuilder(Router())
    shape = started(builder, "five", "p IN (SELECT id FROM parent)", "5")
    builder.router.remove(shape)
    assert CHILD.oid not in builder.router.tables
    assert not shape.indexes


def test_another_layout_makes_another_index() -> None:
    builder = TransactionBuilder(Router())
    shape = started(builder, "five", "p IN (SELECT id FROM parent)", "5")
    reordered = described(CHILD)
    columns = (reordered.columns[1], reordered.columns[0], *reordered.columns[2:])
    send(builder, 100, reordered._replace(columns=columns))
    assert shape.indexes == [index_of(builder)]
    assert found(builder, None, ("5", "1", None, None)) == {"five"}


def test_an_update_that_changes_the_value_is_told_to_both() -> None:
    builder = TransactionBuilder(Router())
    five = started(builder, "five", "p IN (SELECT id FROM parent)", "5")
    six = started(builder, "six", "p IN (SELECT id FROM parent)", "6")
    send(builder, 100, described(CHILD), Update(1, ONE, OTHER))
    sinks = [shape.sink for shape in (five, six)]
    operations = [
        [m["headers"]["operation"] for m in sink.messages]
        for sink in sinks
        if isinstance(sink, ListSink)
    ]
    assert operations == [["delete"], ["insert"]]

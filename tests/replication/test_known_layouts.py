"""KnownLayouts: looks into the catalogue, the net under what migrations and event triggers tell."""

from __future__ import annotations

from django_electric.postgres.relation import Relation
from django_electric.replication.known_layouts import KnownLayouts
from django_electric.shapes.layouts import ColumnLayout, TableLayout
from django_electric.shapes.routed import RoutedShape
from tests.shapes.world import ITEMS, define, shape, with_column

Reasons = dict[str, str]


def layout_of(relation: Relation) -> TableLayout:
    columns = tuple(ColumnLayout(c.name, c.type_oid, c.type_modifier, c.sql_type) for c in relation.columns)  # fmt: skip
    return TableLayout(relation.oid, relation.schema, relation.name, columns, relation.primary_key)


def look(known: KnownLayouts, relation: Relation, *shapes: RoutedShape) -> Reasons:
    return dict(known.see([layout_of(relation)], lambda oid: shapes if oid == ITEMS.oid else ()))


WIDER = with_column(ITEMS, "added")


def test_a_look_finds_the_shapes_that_do_not_fit_any_more() -> None:
    known, every, chosen = KnownLayouts(), shape(define(), "every"), shape(define(columns=("id",)), "chosen")  # fmt: skip
    assert look(known, ITEMS, every, chosen) == {}
    assert set(look(known, WIDER, every, chosen)) == {"every"}


def test_what_has_not_changed_since_is_not_asked_about_again() -> None:
    known, every = KnownLayouts(), shape(define(), "every")
    assert set(look(known, WIDER, every)) == {"every"}
    assert look(known, WIDER, every) == {}
    known.forget_table(ITEMS.oid)
    assert set(look(known, WIDER, every)) == {"every"}


def test_a_shape_that_became_complete_after_the_last_look_is_asked_about_with_the_next() -> None:
    """Its definition may be older than the change that the last look saw."""
    known, late = KnownLayouts(), shape(define(), "late")
    look(known, WIDER)
    known.filled("late")
    assert set(look(known, WIDER, late, shape(define(), "other"))) == {"late"}
    assert look(known, WIDER, late) == {}

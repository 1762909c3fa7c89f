"""Relation, Column and the quoting of names."""

from __future__ import annotations

import doctest

import pytest

from django_electric.postgres import relation
from django_electric.postgres.relation import Column, Relation, quote_identifier, quote_literal


def test_the_examples_in_its_docstrings_hold() -> None:
    assert doctest.testmod(relation).failed == 0


def table(*columns: Column) -> Relation:
    return Relation(oid=7, schema="pub.lic", name='we"ird', columns=columns)


def test_the_primary_key_is_in_the_order_of_its_index() -> None:
    relation = table(
        Column("second", 25, "text", pk_position=1),
        Column("other", 25, "text"),
        Column("first", 25, "text", pk_position=0),
        Column("third", 25, "text", pk_position=2),
    )
    assert relation.primary_key == ("first", "second", "third")


def test_a_table_without_a_primary_key_has_none() -> None:
    assert table(Column("a", 25, "text")).primary_key == ()


def test_columns_are_found_by_name() -> None:
    a, b = Column("a", 25, "text"), Column("b", 23, "int4")
    assert table(a, b).by_name == {"a": a, "b": b}


def test_the_name_is_shown_quoted() -> None:
    assert table().display_name == '"pub.lic"."we""ird"'


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a", '"a"'), ('a"b', '"a""b"'), ('"', '""""'), ("", '""'), ("é b", '"é b"')],
)
def test_an_identifier_is_quoted(name: str, quoted: str) -> None:
    assert quote_identifier(name) == quoted


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a", "'a'"), ("it's", "'it''s'"), ("a\\b", "E'a\\\\b'"), ("\\'", "E'\\\\'''"), ("", "''")],
)
def test_a_literal_is_quoted_whatever_the_server_makes_of_backslashes(
    text: str, quoted: str
) -> None:
    assert quote_literal(text) == quoted

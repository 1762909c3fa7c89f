"""PROTOCOL section 2.3: names of tables and columns."""

from __future__ import annotations

import pytest

from django_electric.protocol.identifiers import TableName, parse_columns, parse_table


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("items", ("public", "items")),
        ("Items", ("public", "items")),
        ('"Items"', ("public", "Items")),
        ("other.items", ("other", "items")),
        ('"a.b"."c""d"', ("a.b", 'c"d')),
        ("_x$1", ("public", "_x$1")),
        ("übung", ("public", "übung")),
        ("ÜBUNG", ("public", "Übung")),
        ("e\u0301te", ("public", "e\u0301te")),
    ],
)
def test_a_table_is_read_as_postgres_would(text: str, table: tuple[str, str]) -> None:
    assert parse_table(text) == TableName(*table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid zero-length delimited identifier"),
        ('""', "Invalid zero-length delimited identifier"),
        (".foo", "Invalid zero-length delimited identifier"),
        ("foob@r", "Invalid unquoted identifier contains special characters: foob@r"),
        ("1a", "Invalid unquoted identifier contains special characters: 1a"),
        ("$a", "Invalid unquoted identifier contains special characters: $a"),
        ('a"b', 'Invalid unquoted identifier contains special characters: a"b'),
        ('"', 'Invalid unquoted identifier contains special characters: "'),
        ('"Foo"Bar"', 'Invalid identifier with unescaped quote: Foo"Bar'),
        ("a" * 64, "Identifier is too long (max length is 63)"),
        ("foo.bar.baz", "Invalid relation identifier, too many delimiters: foo.bar.baz"),
    ],
)
def test_a_bad_table_is_refused_with_the_text_of_the_original(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_table(text)
    assert str(refused.value) == message


def test_a_name_of_63_characters_is_accepted() -> None:
    assert parse_table("a" * 63).name == "a" * 63


def test_a_list_of_columns_is_cut_outside_quotes_and_not_trimmed() -> None:
    assert parse_columns('id,"a,b",Name') == ("id", "a,b", "name")
    with pytest.raises(ValueError, match="special characters:  name"):
        parse_columns("id, name")


def test_a_trailing_comma_leaves_an_empty_identifier() -> None:
    with pytest.raises(ValueError, match="zero-length"):
        parse_columns("id,")


def test_a_table_is_shown_in_quotes() -> None:
    assert parse_table("Public.Items").display_name == '"public"."items"'

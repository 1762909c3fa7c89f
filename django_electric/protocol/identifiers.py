"""Names of tables and columns as clients write them (PROTOCOL section 2.3)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

_LONGEST = 63
_TO_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class TableName(NamedTuple):
    """A table, its schema resolved."""

    schema: str
    name: str

    @property
    def display_name(self) -> str:
        """As error messages show it: ``"public"."items"``."""
        return f'"{self.schema}"."{self.name}"'


def parse_table(text: str) -> TableName:
    """Read ``name`` or ``schema.name``. Raises ValueError with the client's message.

    >>> parse_table('Items')
    TableName(schema='public', name='items')
    >>> parse_table('"My"."a.b"')
    TableName(schema='My', name='a.b')
    """
    parts = split_outside_quotes(text, ".")
    if len(parts) > 2:
        raise ValueError(f"Invalid relation identifier, too many delimiters: {text}")
    names = [parse_identifier(part) for part in parts]
    return TableName("public", names[0]) if len(names) == 1 else TableName(names[0], names[1])


def parse_columns(text: str) -> tuple[str, ...]:
    """Read a comma list of column names; blanks are not trimmed. Raises ValueError.

    >>> parse_columns('id,"Name"')
    ('id', 'Name')
    """
    return tuple(parse_identifier(part) for part in split_outside_quotes(text, ","))


def table_text(table: TableName) -> str:
    """As `parse_table` reads it, with quotes where they are needed.

    >>> table_text(TableName("public", "items")), table_text(TableName("My", 'a"b'))
    ('public.items', '"My"."a""b"')
    """
    return f"{identifier_text(table.schema)}.{identifier_text(table.name)}"


def columns_text(names: Iterable[str]) -> str:
    """As `parse_columns` reads it, with quotes where they are needed.

    >>> columns_text(["id", "Full name", "a,b"])
    'id,"Full name","a,b"'
    """
    return ",".join(map(identifier_text, names))


def identifier_text(name: str) -> str:
    """As `parse_identifier` reads it, with quotes if they are needed."""
    if name and _is_plain(name) and name == name.translate(_TO_LOWER):
        return name
    return '"' + name.replace('"', '""') + '"'


def parse_identifier(text: str) -> str:
    """One identifier, quoted or not. Raises ValueError with the client's message."""
    if text in ("", '""'):
        raise ValueError("Invalid zero-length delimited identifier")
    if len(text) > 1 and text[0] == text[-1] == '"':
        name = _unquote(text[1:-1])
    elif _is_plain(text):
        name = text.translate(_TO_LOWER)
    else:
        raise ValueError(f"Invalid unquoted identifier contains special characters: {text}")
    if len(name) > _LONGEST:
        raise ValueError(f"Identifier is too long (max length is {_LONGEST})")
    return name


def _unquote(inner: str) -> str:
    name = inner.replace('""', "\0")
    if '"' in name:
        raise ValueError(f"Invalid identifier with unescaped quote: {inner}")
    return name.replace("\0", '"')


def _is_plain(text: str) -> bool:
    """A letter or ``_``, then letters, marks, ASCII digits, ``_`` and ``$``."""
    first, rest = text[0], text[1:]
    return (first == "_" or unicodedata.category(first)[0] == "L") and all(
        c in "_$0123456789" or unicodedata.category(c)[0] in "LM" for c in rest
    )


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """*text* cut at each *separator* that stands outside double quotes.

    >>> split_outside_quotes('a,"b,c"', ",")
    ['a', '"b,c"']
    """
    parts = [""]
    for i, piece in enumerate(text.split('"')):
        if i % 2:
            parts[-1] += f'"{piece}"'
            continue
        first, *rest = piece.split(separator)
        parts[-1] += first
        parts.extend(rest)
    return _without_added_quote(parts, text)


def _without_added_quote(parts: list[str], text: str) -> list[str]:
    """An odd number of quotes leaves the last one open: take back the one that was added."""
    if text.count('"') % 2:
        parts[-1] = parts[-1][:-1]
    return parts

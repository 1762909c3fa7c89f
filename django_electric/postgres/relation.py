"""Relation and Column: a table as the catalogue and the replication stream describe it."""

from __future__ import annotations

from dataclasses import dataclass, field


def quote_identifier(name: str) -> str:
    """*name* as a quoted SQL identifier.

    >>> print(quote_identifier('we"ird'))
    "we""ird"
    """
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """*text* as an SQL string literal, whatever ``standard_conforming_strings`` says.

    >>> print(quote_literal("it's"), quote_literal("a\\\\b"))
    'it''s' E'a\\\\b'
    """
    doubled = text.replace("'", "''")
    return f"E'{doubled.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{doubled}'"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as ``pg_attribute`` and ``pg_type`` have it."""

    name: str
    type_oid: int
    type_name: str
    """``pg_type.typname``; for an array the name of the element type."""
    type_modifier: int = -1
    dimensions: int = 0
    """Declared array dimensions; 0 for a scalar."""
    not_null: bool = False
    pk_position: int | None = None
    """0-based position in the primary key's index."""
    is_generated: bool = False
    evaluator_type: str = ""
    """Name by which ``where`` knows the type: domains resolved, ``int4[]`` for arrays."""
    sql_type: str = ""
    """As a statement names it, whatever the search path, with its modifier and collation."""
    is_bytewise: bool = True
    """Whether text is ordered by byte: collation C or POSIX, or no collation at all."""
    lowers_ascii: bool = True
    """Whether the letters of ASCII have their lower case in ASCII: not in Turkish and Azeri, where I becomes ı."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that a shape may be built on: an ordinary or a partitioned one."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    is_partitioned: bool = False
    by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {c.name: c for c in self.columns})

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the key's columns in the order of its index; empty without a primary key."""
        keyed = [c for c in self.columns if c.pk_position is not None]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.pk_position or 0))

    @property
    def display_name(self) -> str:
        """As error messages show it, always quoted: ``"public"."items"``."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

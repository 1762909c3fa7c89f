"""The tables of the oracle: one of each kind of key, and values that are hard to carry.

Values come from small pools, so that clauses hit them and rows move in and out of shapes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Pick = Callable[[random.Random], str | None]


@dataclass(frozen=True)
class Column:
    """A column, its values, and what a clause may compare it with."""

    name: str
    sql_type: str
    pool: tuple[str | None, ...]
    constraint: str = ""

    @property
    def literals(self) -> tuple[str, ...]:
        return tuple(value for value in self.pool if value is not None)


@dataclass(frozen=True, repr=False)
class Table:
    """*key* are the columns by which a programme chooses rows; they stay unique even without a primary key."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    has_primary_key: bool = True

    def __repr__(self) -> str:
        return self.name

    def create(self, name: str) -> str:
        parts = [f"{c.name} {c.sql_type} {c.constraint}".strip() for c in self.columns]
        # Without a primary key equal rows would collapse to one on the client (PROTOCOL section 4.6).
        constraint = "PRIMARY KEY" if self.has_primary_key else "UNIQUE"
        parts.append(f"{constraint} ({', '.join(self.key)})")
        return f"CREATE TABLE {name} ({', '.join(parts)})"

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    @property
    def payload(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if c.name not in self.key)


_TEXTS = (
    "", "a", "A", "ab", "Ab", "abc", "a%b", "a_b", "a\\b", "it's", 'say "hi"', "tab\there", "two\nlines",
    "Ünïcode", "straße", "漢字", "😀 smile", "x" * 300, " padded ", "null", None,
)  # fmt: skip

ISSUES = Table(
    "issues",
    (
        Column("id", "int", tuple(str(i) for i in range(1, 61)), "NOT NULL"),
        Column("n", "int", ("-1", "0", "1", "2", "3", "7", "2147483647", None)),
        Column("big", "bigint", ("0", "5000000000", "-9223372036854775808", "9007199254740993", None)),
        Column("small", "smallint", ("0", "1", "-32768", "42"), "NOT NULL DEFAULT 0"),
        Column("flag", "boolean", ("true", "false", None)),
        Column("done", "boolean", ("true", "false"), "NOT NULL DEFAULT false"),
        Column("title", "text", _TEXTS),
        Column("label", "varchar(20)", ("red", "green", "Green", "blue", "", None)),
        Column("price", "numeric(12,2)", ("0", "0.10", "1.5", "100", "-3.33", "99999.99", None)),
        Column("exact", "numeric", ("0", "1.50", "1.5", "1e-10", "123456789012345678901234567890", "NaN", None)),
        Column("score", "float8", ("0", "-0", "0.1", "1e20", "-1e-7", "3", "NaN", "Infinity", "-Infinity", None)),
        Column("day", "date", ("2024-01-31", "2024-02-29", "1999-12-31", "infinity", "-infinity", None)),
        Column("seen", "timestamp", ("2024-01-31 13:45:00", "2024-01-31 13:45:00.5", "2024-02-01 00:00:00", None)),
        Column("made", "timestamptz", ("2024-01-31 12:45:00+00", "2024-01-31 13:45:00.25+01", "infinity", None)),
        Column("uid", "uuid", ("00000000-0000-0000-0000-000000000001", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", None)),
        Column("body", "text", (None, "short")),
        Column("blob", "bytea", ("\\x", "\\x00ff", None)),
        Column("data", "jsonb", ('{"a": [1, null, "x"]}', "{}", None)),
        Column("tags", "text[]", ("{}", '{a,"b c",NULL}', None)),
    ),
    key=("id",),
)  # fmt: skip

PAIRS = Table(
    "pairs",
    (
        Column("note", "text", ("x", "y", "a/b", None)),
        Column("a", "int", ("1", "2", "3", "4")),
        Column("b", "text", ("one", "t/wo", 'th"ree', "")),
        Column("flag", "boolean", ("true", "false"), "NOT NULL DEFAULT true"),
        Column("body", "text", (None, "short")),
    ),
    key=("b", "a"),
)

BARE = Table(
    "bare",
    (
        Column("k", "int", tuple(str(i) for i in range(1, 31)), "NOT NULL"),
        Column("flag", "boolean", ("true", "false", None)),
        Column("note", "text", ("x", "a/b", 'q"q', "", None)),
        Column("price", "numeric(6,2)", ("1", "2.50", None)),
    ),
    key=("k",),
    has_primary_key=False,
)

NAMES = Table(
    "names",
    (
        Column("name", "text", ("plain", "a/b", "a//b", 'q"uote', "ap'os", "", "ü/ü", "back\\slash", "new\nline"), "NOT NULL"),
        Column("value", "int", ("1", "2", "3", None)),
        Column("body", "text", (None, "short")),
    ),
    key=("name",),
)  # fmt: skip

TABLES = (ISSUES, PAIRS, BARE, NAMES)

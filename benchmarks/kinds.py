"""Kinds of conditions, and the rows that belong to them: row *number* belongs to shape *number* of every kind.

What belongs to two kinds at once is told apart by nothing: a scenario makes shapes of one kind at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TABLE = """
CREATE TABLE things (
    id bigint PRIMARY KEY,
    team int NOT NULL,
    owner int NOT NULL,
    place int NOT NULL,
    name text NOT NULL,
    body text NOT NULL,
    tags text[] NOT NULL,
    done boolean NOT NULL
)
"""
COLUMNS = {
    "id": "int8",
    "team": "int4",
    "owner": "int4",
    "place": "int4",
    "name": "text",
    "body": "text",
    "tags": "text[]",
    "done": "bool",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Conditions that differ in their constants only."""

    name: str
    where: Callable[[int], str]
    """The condition of the shape with this number."""
    delegated: tuple[str, ...] = ()
    """If only Postgres can evaluate it, the columns that it refers to."""


EQUALITY = Kind("owner = n", lambda n: f"owner = {n}")
INDEXED = (
    EQUALITY,
    Kind("owner IN (n, …)", lambda n: f"owner IN ({n}, {-2 * n - 1}, {-2 * n - 2})"),
    Kind("place BETWEEN", lambda n: f"place >= {n * 10} AND place < {n * 10 + 10}"),
    Kind("name LIKE 'n%'", lambda n: f"name LIKE '{n:07d}-%'"),
    Kind("body ILIKE '%n%'", lambda n: f"body ILIKE '%KEY-{n:07d}-%'"),
    Kind("tags @> '{n}'", lambda n: f"tags @> '{{t{n}}}'"),
    # All shapes have the same constant for the first column: that column is no help.
    Kind("team = c AND body ILIKE '%n%'", lambda n: f"team = 7 AND body ILIKE '%KEY-{n:07d}-%'"),
)
SCANNED = Kind("owner::text = 'n'", lambda n: f"owner::text = '{n}'")
DELEGATED = Kind(
    "int4range(…) @> n",
    lambda n: f"int4range(place, place + 10) @> {n * 10 + 9}",
    ("place",),
)
LOOKED_UP_AND_DELEGATED = Kind(
    "owner = n AND int4range(…) @> n",
    lambda n: f"((owner = {n}) AND (int4range(place, (place + 10)) @> {n * 10 + 9}))",
    ("owner", "place"),
)
KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*INDEXED, SCANNED, DELEGATED, LOOKED_UP_AND_DELEGATED)
}


def texts(row: int, number: int) -> tuple[str, ...]:
    """The row *row* of shape *number* as the stream brings it."""
    return (
        str(row),
        "7",
        str(number),
        str(number * 10 + 3),
        f"{number:07d}-thing",
        f"Something that somebody wrote down about key-{number:07d}-in a few words of text",
        f"{{common,t{number},u{number % 7}}}",
        "t" if row % 3 == 0 else "f",
    )


def source(first: str, last: str, number: str) -> str:
    """``SELECT`` of the rows with ids *first* to *last* of shape *number*, all in SQL."""
    padded = f"lpad(({number})::text, 7, '0')"
    return (
        f"SELECT g, 7, {number}, ({number}) * 10 + 3, {padded} || '-thing',"
        f" 'Something that somebody wrote down about key-' || {padded} || '-in a few words of text',"
        f" ARRAY['common', 't' || ({number}), 'u' || ({number}) % 7], g % 3 = 0"
        f" FROM generate_series({first}, {last}) g"
    )

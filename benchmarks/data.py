"""The tables that the benchmarks write to, and what they write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

TABLES = (
    # About 120 bytes a row, six columns, one of them nullable.
    """
    CREATE TABLE items (
        id bigint PRIMARY KEY,
        tenant int NOT NULL,
        title text NOT NULL,
        price numeric(12, 2),
        done boolean NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX items_tenant ON items (tenant)",
    # The last change of a backlog goes here, so that it is the last to be published.
    "CREATE TABLE marks (id bigint PRIMARY KEY)",
)


def row_source(first: str, last: str, tenants: int) -> str:
    """``SELECT`` of the rows of `items` from id *first* to id *last*, dealt out to the tenants in turn."""
    return (
        f"SELECT g, g % {tenants}, 'Item number ' || g || ' of a list that somebody keeps for later',"
        " nullif((g % 100000) / 100.0, 0), g % 3 = 0,"
        " timestamptz '2026-01-01 00:00:00+00' + g * interval '1 second'"
        f" FROM generate_series({first}, {last}) g"
    )


def insert_in_transactions(first: int, count: int, rows: int, tenants: int) -> str:
    """Insert *count* rows in transactions of *rows* each, as fast as the server can."""
    start = f"{first}::bigint + t * {rows}"
    source = row_source(start, f"{start} + {rows - 1}", tenants)
    return (
        f"DO $$ BEGIN FOR t IN 0..{count // rows - 1} LOOP"
        f" INSERT INTO items {source}; COMMIT; END LOOP; END $$"
    )


def update_in_transactions(first: int, count: int, rows: int) -> str:
    """Update one column of *count* rows in transactions of *rows* each."""
    return (
        f"DO $$ BEGIN FOR t IN 0..{count // rows - 1} LOOP"
        " UPDATE items SET price = coalesce(price, 0) + 1"
        f" WHERE id BETWEEN {first}::bigint + t * {rows} AND {first}::bigint + t * {rows} + {rows - 1};"
        " COMMIT; END LOOP; END $$"
    )


def materialise(bodies: Iterable[bytes]) -> dict[str, dict[str, str | None]]:
    """The rows that a client holds after the messages of *bodies*, by key."""
    rows: dict[str, dict[str, str | None]] = {}
    for body in bodies:
        for message in json.loads(body):
            operation = message["headers"].get("operation")
            if operation == "delete":
                del rows[message["key"]]
            elif operation == "insert":
                assert message["key"] not in rows, f"{message['key']} was inserted twice"
                rows[message["key"]] = message["value"]
            elif operation == "update":
                rows[message["key"]].update(message["value"])
    return rows


_ID = re.compile(rb'"value":\{"id":"(\d+)"')


def ids_in(body: bytes) -> list[int]:
    """The ids of the rows in a chunk, without reading the rest of it."""
    return [int(digits) for digits in _ID.findall(body)]

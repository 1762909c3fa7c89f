"""Partitioned tables as the catalogue has them: what lies below a table, and what above (PROTOCOL section 10.7).

The stream names the partition that a change was made in. Rows that come or go because a partition is
attached, detached or dropped are not in the stream at all: who keeps a copy of the root has to look.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, cast

from django_electric.postgres.xid import PgSnapshot
from django_electric.replication.publication import Connection, statement
from django_electric.replication.tables import qualified_name
from django_electric.storage import state_file

MOST_ROWS = 1_000_000
"""Rows of a partition that are counted."""


class Link(NamedTuple):
    """A leaf's place below a root."""

    leaf: int
    since: str
    """The transactions that made the place: a leaf that was taken out and put back has another one."""


# The links from the root down to the leaf, each with the transaction that made it. A leaf that is being
# detached concurrently is not seen by queries any more.
_BELOW = """
WITH RECURSIVE below AS (
  SELECT i.inhparent AS root, i.inhrelid AS leaf, i.xmin::text AS since
    FROM pg_inherits i WHERE i.inhparent = ANY(%s::oid[]) AND NOT i.inhdetachpending
  UNION ALL
  SELECT b.root, i.inhrelid, b.since || '/' || i.xmin::text
    FROM below b JOIN pg_inherits i ON i.inhparent = b.leaf AND NOT i.inhdetachpending
)
SELECT b.root::int8, b.leaf::int8, b.since
  FROM below b JOIN pg_class c ON c.oid = b.leaf WHERE c.relkind <> 'p'
"""


def links_of(connection: Connection, roots: Collection[int]) -> dict[int, frozenset[Link]]:
    """The leaves of partitioned tables, by root; none for an ordinary table, or one that is gone."""
    found: dict[int, set[Link]] = {root: set() for root in roots}
    for root, leaf, since in connection.execute(_BELOW, [list(roots)]):
        found[cast(int, root)].add(Link(cast(int, leaf), str(since)))
    return {root: frozenset(links) for root, links in found.items()}


def roots_of(connection: Connection, oid: int) -> tuple[int, ...]:
    """The partitioned tables above a table."""
    rows = connection.execute(
        "SELECT relid::oid::int8 FROM pg_partition_ancestors(%s) WHERE relid <> %s", [oid, oid]
    )
    return tuple(cast(int, row[0]) for row in rows)


def without_full_identity(connection: Connection, leaves: Collection[int]) -> list[int]:
    """Those of *leaves* whose changes do not carry whole old rows."""
    rows = connection.execute(
        "SELECT oid::int8 FROM pg_class"
        " WHERE oid = ANY(%s::oid[]) AND relkind = 'r' AND relreplident <> 'f'",
        [list(leaves)],
    )
    return [cast(int, row[0]) for row in rows]


class RowCount(NamedTuple):
    """How many rows a table has for whom."""

    rows: int
    snapshot: PgSnapshot


def count_rows(connection: Connection, leaf: int) -> RowCount | None:
    """The rows of a leaf; None if it is gone or has more than `MOST_ROWS`. Raises the errors of psycopg."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute(
            "SELECT n.nspname, c.relname, pg_current_snapshot()::text"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
            [leaf],
        ).fetchone()
        if found is None:
            return None
        schema, name, snapshot = map(str, found)
        table = qualified_name(schema, name)
        query = f"SELECT count(*) FROM (SELECT FROM ONLY {table} LIMIT {MOST_ROWS + 1}) r"  # noqa: S608  # quoted
        ((rows,),) = connection.execute(statement(query)).fetchall()
    count = RowCount(cast(int, rows), PgSnapshot.parse(snapshot))
    return count if count.rows <= MOST_ROWS else None


class KnownLinks:
    """The links whose rows the logs account for, on disk: what a worker finds otherwise when it starts,
    came or went while there was none.
    """

    def __init__(self, path: Path) -> None:
        """*path*: the file; what is in it is read."""
        self._path = path
        self._links = _read(path)

    def __contains__(self, root: int) -> bool:
        return root in self._links

    def __bool__(self) -> bool:
        return bool(self._links)

    def of(self, root: int) -> frozenset[Link]:
        """The links of *root*; none if no shape is on it."""
        return self._links.get(root, frozenset())

    def put(self, root: int, links: Collection[Link]) -> None:
        """From now on these are the links of *root*."""
        self._links[root] = frozenset(links)
        self._save()

    def add(self, root: int, link: Link) -> None:
        """One more."""
        self.put(root, self.of(root) | {link})

    def keep(self, roots: Collection[int]) -> None:
        """Forget all other roots."""
        if not self._links.keys() <= set(roots):
            self._links = {root: links for root, links in self._links.items() if root in roots}
            self._save()

    def forget(self, root: int) -> None:
        """No shape is on *root* any more."""
        if self._links.pop(root, None) is not None:
            self._save()

    def _save(self) -> None:
        state_file.replace(
            self._path,
            {root: [list(link) for link in sorted(links)] for root, links in self._links.items()},
        )


def _read(path: Path) -> dict[int, frozenset[Link]]:
    found = cast("dict[str, list[list[int | str]]]", state_file.read(path) or {})
    try:
        return {
            int(root): frozenset(Link(int(leaf), str(since)) for leaf, since in links)
            for root, links in found.items()
        }
    except (AttributeError, TypeError, ValueError):
        return {}

"""Row filter: a condition for Postgres to keep from the stream what belongs to no shape of a table.

Postgres evaluates it while it decodes the WAL, where an error would stop the stream for good, and compares
old and new row with it: an update whose old row fails it arrives as an insert, one whose new row fails it as
a delete. To a shape whose condition is part of the filter that is the same, since a row that fails the
filter is not one of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django_electric.where import Where
from django_electric.where.nodes import (
    And,
    Cast,
    Column,
    Compare,
    Const,
    Distinct,
    In,
    IsNull,
    IsTruth,
    Like,
    Node,
    Not,
    Or,
    children,
)
from django_electric.where.traits import can_fail

MOST_CLAUSES: Final = 20
MOST_BYTES: Final = 4096
_PLAIN: Final = (
    And,
    Cast,
    Column,
    Compare,
    Const,
    Distinct,
    In,
    IsNull,
    IsTruth,
    Like,
    Not,
    Or,
)


def row_filter(wheres: Collection[Where | None]) -> str | None:
    """SQL that is true of every row of every shape with one of these conditions.

    None if there is none: there are no shapes, one has no condition, one is not plain, or they are many.

    >>> from django_electric.where import parse_where
    >>> row_filter([parse_where("n > 1", {"n": "int4"}), parse_where("n IS NULL", {"n": "int4"})])
    '("n" > 1) OR ("n" IS NULL)'
    >>> row_filter([parse_where("n > 1", {"n": "int4"}), None]) is None
    True
    """
    texts = sorted({where.sql for where in wheres if where is not None and is_plain(where)})
    if not texts or not all(where is not None and is_plain(where) for where in wheres):
        return None
    whole = " OR ".join(f"({text})" for text in texts)
    is_small = len(texts) <= MOST_CLAUSES and len(whole.encode()) <= MOST_BYTES
    return whole if is_small else None


def is_plain(where: Where) -> bool:
    """Whether a condition compares columns with each other and with constants, and never fails."""
    # Of any other kind of condition the tree is not the whole.
    return type(where) is Where and _is_plain(where.tree) and not can_fail(where.tree)


def _is_plain(node: Node) -> bool:
    return isinstance(node, _PLAIN) and all(map(_is_plain, children(node)))

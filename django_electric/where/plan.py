"""Plan: a condition with subqueries as alternatives, each a list of literals (WHERE.md section 14.3).

NOT is pushed down to the literals and AND distributed over OR, so a row matches if of some alternative
every literal is true. Only that matters of a literal: what is false of a row and what is unknown of it
are the same from there on, which is why a negated literal is one of its own and never the opposite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf

from django_electric.where.clause import Where

Membership = OneOf["in", "not in", "not true", "not false"]
"""What is asked of ``columns IN (SELECT …)``: that it is true, false, not true, or not false."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A condition without subqueries: whether it is true of a row."""

    where: Where


@dataclass(frozen=True, slots=True)
class Contained:
    """Whether a row's columns are among the rows that a subquery gives."""

    columns: tuple[str, ...]
    """On the left side, in the order of the subquery's columns."""
    dependency: int
    """Which subquery: its place in ``ShapeDefinition.dependencies``."""
    membership: Membership

    @property
    def grows(self) -> bool:
        """Whether a row that the subquery gives can only make it true, never false (its polarity)."""
        return self.membership in ("in", "not false")


Literal = Plain | Contained


@dataclass(frozen=True, slots=True)
class Plan:
    """A condition that depends on other tables."""

    sql: str
    """Canonical, the subqueries with it."""
    columns: frozenset[str]
    """The columns of the shape's own table that it refers to."""
    alternatives: tuple[tuple[Literal, ...], ...]

    def literals(self) -> Iterator[tuple[int, Literal]]:
        """All of them with their positions, which count through all alternatives."""
        yield from enumerate(literal for literals in self.alternatives for literal in literals)

"""What can be wrong with a where clause, and what can go wrong when one is evaluated."""

from __future__ import annotations

from django_electric.errors import ElectricError


class WhereError(ElectricError):
    """The where clause cannot be evaluated exactly as Postgres would."""

    def __init__(self, message: str, *, at: int | None = None, field: str = "where") -> None:
        """*at* is where in the clause the fault lies (PROTOCOL section 2.5)."""
        super().__init__(message if at is None else f"At location {at}: {message}")
        self.field = field


class SubqueryError(WhereError):
    """The where clause holds a subquery where none is allowed."""


class EvaluationError(ElectricError):
    """A row on which Postgres would fail, or would answer by its locale: it does not match."""

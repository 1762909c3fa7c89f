"""What can be wrong with a where clause, and what can go wrong when one is evaluated."""

from __future__ import annotations

from django_electric.errors import ElectricError


class WhereError(ElectricError):
    """The where clause cannot be evaluated here exactly as Postgres would."""

    def __init__(
        self, message: str, *, at: int | None = None, field: str = "where", is_final: bool = False
    ) -> None:
        """*at* is where in the clause the fault lies (PROTOCOL section 2.5).

        *is_final* says that the clause is wrong whatever Postgres makes of it. An error that is not may
        also mean that only Postgres could evaluate the clause.
        """
        super().__init__(message if at is None else f"At location {at}: {message}")
        self.field = field
        self.is_final = is_final


class SubqueryError(WhereError):
    """The where clause holds a subquery where none is allowed."""


class EvaluationError(ElectricError):
    """A row on which Postgres would fail: it does not match."""


class Undecided(ElectricError):
    """A row on which the answer is Postgres's to give: it depends on the database's locale, say."""

"""Where: a where clause that has been parsed, checked and brought into normal form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from django_electric.where.checking.operands import Locale
from django_electric.where.errors import WhereError
from django_electric.where.evaluate import Evaluator, Scan, compile_node, compile_scan
from django_electric.where.lookups import Lookup, lookups_of
from django_electric.where.nodes import Node, column_names, subselects
from django_electric.where.parser import parse
from django_electric.where.sql import sql_of
from django_electric.where.subqueries import Subqueries
from django_electric.where.typecheck import parameter_values, typecheck

MAX_BYTES = 65_536
"""A longer clause is refused, unless it is its own canonical text."""


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the rows of one table."""

    tree: Node
    sql: str
    """Canonical: equal for equal trees, parsed back to the same, and good for Postgres."""
    columns: frozenset[str]
    """The columns that it refers to."""

    @property
    def subselects(self) -> tuple[str, ...]:
        """Its subqueries in canonical text, each once; if there are any, it can only be planned."""
        return subselects(self.tree)

    is_delegated: ClassVar[bool] = False
    """Whether only Postgres can tell which rows match."""

    def compile(self, positions: Mapping[str, int]) -> Evaluator:
        """A function from a row, a tuple of texts, to True, False or None.

        *positions* says where in the row each column stands. The function raises EvaluationError
        where Postgres would fail on the row, or where only the database's locale could tell.
        """
        return compile_node(self.tree, positions)

    def compile_scan(self, positions: Mapping[str, int]) -> tuple[Scan, tuple[object, ...]]:
        """A function for all conditions of this form, and what is particular to this one."""
        return compile_scan(self.tree, positions)

    def lookups(self) -> tuple[Lookup, ...] | None:
        """By what an index finds the rows that can match; None if every row must be evaluated."""
        return lookups_of(self.tree)

    def residual_evaluator(self, lookup: Lookup, positions: Mapping[str, int]) -> Evaluator | None:
        """What is to be evaluated on rows that *lookup* hits; None if each of them matches."""
        return None if lookup.residual is None else compile_node(lookup.residual, positions)


_PLAINEST = Locale()


def parse_where(
    text: str,
    columns: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    *,
    locale: Locale = _PLAINEST,
    by_postgres: bool = False,
    subqueries: Subqueries | None = None,
) -> Where:
    """The condition that *text* writes on a table with *columns* (name to type). Raises WhereError.

    Types are named as in ``pg_type``, domains resolved; those not known here can be tested for
    NULL, except that a column of composite type must be called ``record`` (its NULL test is of
    another kind, and refused). *params* are the values of ``$1``…, by their numbers as text.
    Where the *locale* does not order text by byte, ``<`` and its like on text are refused; where it is one
    in which the letter I is not i in lower case, as in Turkish, ILIKE with that letter is.

    *by_postgres* says that only Postgres will evaluate the condition, by its ``sql``: then neither
    matters, and columns of types not known here may be compared with what is written beside them.
    Whether there is such an operator and such a value, Postgres says.

    With *subqueries* it may have some. Then it cannot be evaluated as it is: `planning` makes a plan of it.

    >>> parse_where("A  = ( $1 )", {"a": "int4"}, {"1": "7"}).sql
    '"a" = 7'
    """
    values = parameter_values(params) if params else {}
    try:
        tree = typecheck(
            parse(text, subqueries and subqueries.scope),
            columns,
            values,
            locale=locale,
            by_postgres=by_postgres,
            read=subqueries and subqueries.read,
        )
    except RecursionError:
        raise WhereError("expression is nested too deeply", is_final=True) from None
    where = Where(tree, sql_of(tree), column_names(tree))
    if len(text) * 4 > MAX_BYTES and len(text.encode()) > MAX_BYTES and text != where.sql:
        message = f"clause is bigger than maximum size of {MAX_BYTES} bytes"
        raise WhereError(message, is_final=True)
    return where

"""Explanation: how the worker finds the rows of a shape, for people who wonder what a condition costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from django_electric.postgres.relation import quote_identifier
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import Lookup, Part, Prefix, Same, Span, Where
from django_electric.where.lookups import ABOVE, Holds, Present
from django_electric.where.sql import sql_of

Road = Literal["every row", "no row", "index", "evaluation", "subqueries"]


@dataclass(frozen=True, slots=True)
class Found:
    """A look-up in an index, and what is left of the condition for rows that it hits."""

    index: str
    """What the column's value has to be."""
    then: str
    """The rest of the condition, as SQL; empty if each hit is a match."""


@dataclass(frozen=True, slots=True)
class Read:
    """A subquery: what is kept of the rows that it gives, in the worker's memory."""

    table: str
    columns: tuple[str, ...]
    how: Explanation
    """How the worker finds those rows."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to a changed row before it is known whether it belongs to the shape."""

    where: str
    """The condition as SQL in its normal form; empty for a whole table."""
    road: Road
    """``every row`` and ``no row`` need no look at it; ``index`` finds the shape by the row's values;
    ``evaluation`` is done for every row, and so is the comparison with what ``subqueries`` give."""
    indexes: tuple[Found, ...] = ()
    is_delegated: bool = False
    """Whether Postgres is asked, about rows that are not ruled out before."""
    subqueries: tuple[Read, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A value that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"where: {self.where or 'the whole table'}", f"road:  {_ROADS[self.road]}"]
        for one in self.indexes:
            rest = f", then {one.then}" if one.then else ""
            lines.append(f"       {one.index}{rest}")
        if self.is_delegated:
            lines.append("       what is not ruled out is evaluated by Postgres (delegated)")
        elif self.road == "evaluation":
            lines.append("       together with all conditions of the same form (natively)")
        for read in self.subqueries:
            columns = ", ".join(map(quote_identifier, read.columns))
            lines.append(f"       kept in the worker's memory: {columns} of {read.table}")
            lines += [f"           {line}" for line in str(read.how).splitlines()]
        return "\n".join(lines)


_ROADS: dict[Road, str] = {
    "every row": "every row belongs to the shape",
    "no row": "no row ever belongs to the shape",
    "index": "found by an index",
    "evaluation": "no index helps: evaluated for every changed row",
    "subqueries": "compared with the rows of its subqueries, for every changed row",
}


def explain_definition(definition: ShapeDefinition) -> Explanation:
    """How the rows of a shape are found. Raises WhereError."""
    plan = definition.plan()
    if plan is None:
        return explain(definition.parsed_where())
    reads = tuple(
        Read(
            f"{quote_identifier(one.schema)}.{quote_identifier(one.table)}",
            one.columns,
            explain_definition(one),
        )
        for one in definition.dependencies
    )
    return Explanation(plan.sql, "subqueries", subqueries=reads)


def explain(where: Where | None) -> Explanation:
    """How rows that a condition is true of are found."""
    if where is None:
        return Explanation("", "every row")
    lookups = where.lookups()
    if lookups is None:
        return Explanation(where.sql, "evaluation", is_delegated=where.is_delegated)
    found = tuple(
        Found(_said(one), sql_of(one.residual) if one.residual is not None else "")
        for one in lookups
    )
    return Explanation(where.sql, "index" if found else "no row", found, where.is_delegated)


def _said(lookup: Lookup) -> str:
    column = quote_identifier(lookup.column)
    match lookup.key:
        case None:
            return f"{column} is NULL"
        case Present():
            return f"{column} is not NULL"
        case Same(_, value):
            return f"{column} equals {value}"
        case Span():
            return f"{column} lies in a range{_ends(lookup.key)}"
        case Prefix(text, ignores_case):
            return f"{column} begins with {text!r}{_case(ignores_case)}"
        case Part(text, ignores_case):
            return f"{column} contains {text!r}{_case(ignores_case)}"
        case Holds(_, items):
            return f"{column} holds {', '.join(sorted(map(repr, items))) or 'anything'}"
        case text:
            return f"{column} equals {text!r}"


def _case(ignores_case: bool) -> str:
    return ", in upper or lower case" if ignores_case else ""


def _ends(span: Span) -> str:
    low = "" if span.low is None else f" from {span.low[0]}{_left_out(span.low[1] == ABOVE)}"
    high = "" if span.high is None else f" to {span.high[0]}{_left_out(span.high[1] != ABOVE)}"
    return low + high


def _left_out(is_left_out: bool) -> str:
    return " (without it)" if is_left_out else ""

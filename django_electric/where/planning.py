"""From the typed tree of a condition with subqueries to its plan (WHERE.md section 14.3).

What is asked of a part of the condition is that it is true, false, not true or not false: in three-valued
logic these are four things, and NOT, AND, OR and IS hand them down to the literals without loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod
from typing import Final
from typing import Literal as OneOf

from django_electric.where import folding
from django_electric.where.clause import Where
from django_electric.where.errors import SubqueryError, WhereError
from django_electric.where.nodes import (
    And,
    IsNull,
    IsTruth,
    Node,
    Not,
    Or,
    Within,
    column_names,
    subselects,
    type_of,
)
from django_electric.where.plan import Contained, Literal, Membership, Plain, Plan
from django_electric.where.sql import sql_of

_MOST: Final = 100
"""Alternatives."""

_Asked = OneOf["true", "false", "not true", "not false"]
_Alternatives = list[tuple[Literal, ...]]

_OF_NOT: Final[Mapping[_Asked, _Asked]] = {
    "true": "false",
    "false": "true",
    "not true": "not false",
    "not false": "not true",
}
_MEMBERSHIP: Final[Mapping[_Asked, Membership]] = {
    "true": "in",
    "false": "not in",
    "not true": "not true",
    "not false": "not false",
}


def plan_of(tree: Node, dependencies: Sequence[str]) -> Plan:
    """The plan of a condition whose subqueries are, in canonical text, the *dependencies*. Raises WhereError."""
    count = _count(tree, "true")
    if count > _MOST:
        raise WhereError(
            "WHERE clause too complex for DNF decomposition"
            f" ({count} disjuncts exceeds limit of {_MOST})",
            is_final=True,
        )
    places = {text: place for place, text in enumerate(dependencies)}
    plan = Plan(sql_of(tree), column_names(tree), tuple(_alternatives(tree, "true", places)))
    _check_polarity(plan)
    return plan


def _check_polarity(plan: Plan) -> None:
    """A value that enters a subquery's rows must not let rows in here and out there."""
    contained = [one for _, one in plan.literals() if isinstance(one, Contained)]
    if len({(one.dependency, one.grows) for one in contained}) > len(
        {one.dependency for one in contained}
    ):
        raise WhereError(
            "a subquery dependency cannot be used with both positive and negative polarity in the same filter",
            is_final=True,
        )


def _parts(node: Node, asked: _Asked) -> tuple[bool, list[tuple[Node, _Asked]]] | None:
    """What *asked* of *node* asks of its parts, and whether it takes all of them; None for a literal."""
    match node:
        case And():
            return asked in ("true", "not false"), [(one, asked) for one in node.operands]
        case Or():
            return asked in ("false", "not true"), [(one, asked) for one in node.operands]
        case Not():
            return True, [(node.operand, _OF_NOT[asked])]
        case IsTruth() if subselects(node):
            is_asked = (asked in ("true", "not false")) != node.is_negated
            of_true: _Asked = "true" if is_asked else "not true"
            return True, [(node.operand, of_true if node.value else _OF_NOT[of_true])]
        case IsNull() if type_of(node.operand) == "bool" and subselects(node):
            if (asked in ("true", "not false")) != node.is_negated:
                return True, [(node.operand, "not true"), (node.operand, "not false")]
            return False, [(node.operand, "true"), (node.operand, "false")]
        case _:
            return None


def _count(node: Node, asked: _Asked) -> int:
    """How many alternatives there will be."""
    parts = _parts(node, asked)
    if parts is None:
        return 1
    takes_all, asks = parts
    return (prod if takes_all else sum)(_count(*one) for one in asks)


def _alternatives(node: Node, asked: _Asked, places: Mapping[str, int]) -> _Alternatives:
    parts = _parts(node, asked)
    if parts is None:
        return [(_literal(node, asked, places),)]
    takes_all, asks = parts
    found = [_alternatives(*one, places) for one in asks]
    return list(_joined(found)) if takes_all else list(chain(*found))


def _joined(alternatives: Sequence[_Alternatives]) -> Iterator[tuple[Literal, ...]]:
    """AND over OR: one of each."""
    for chosen in product(*alternatives):
        yield tuple(chain(*chosen))


def _literal(node: Node, asked: _Asked, places: Mapping[str, int]) -> Literal:
    if isinstance(node, Within):
        return Contained(node.columns, places[node.subselect], _MEMBERSHIP[asked])
    if subselects(node):
        raise SubqueryError(
            "a subquery can only be joined with other conditions by AND, OR, NOT and IS",
            is_final=True,
        )
    match asked:
        case "true":
            tree = node
        case "false":
            tree = folding.negation(node)
        case _:
            tree = folding.is_truth(node, asked == "not true", is_negated=True)
    return Plain(Where(tree, sql_of(tree), column_names(tree)))

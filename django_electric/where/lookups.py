"""By which columns' texts a condition can be looked up: what the router's index needs to know.

A row can match only if one of the condition's lookups hits, that is, if the column's text in the
row is the lookup's key; the residual is then what is left to be evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from django_electric.where import folding
from django_electric.where.evaluate import compares_texts
from django_electric.where.functions import FAMILIES
from django_electric.where.nodes import (
    TRUE,
    And,
    Cast,
    Column,
    Compare,
    Const,
    Distinct,
    In,
    IsNull,
    IsTruth,
    Node,
    Not,
    Or,
    children,
    type_of,
)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows in which *column* has the text *key* (None: is NULL) match if *residual* is true."""

    column: str
    key: str | None
    residual: Node | None = None
    """None: every hit is a match."""


_Lookups = tuple[Lookup, ...]


def lookups_of(node: Node) -> _Lookups | None:
    """The lookups of a condition, none if it is never true; None if it must be evaluated always."""
    match node:
        case And():
            return _of_and(node)
        case Or():
            return _of_or(node)
        case Const():
            return None if node == TRUE else ()
        case Compare() if node.operator == "=":
            return _of_equality(node.left, [node.right])
        case In():
            return _of_equality(node.operand, node.items)
        case Distinct() if node.is_negated:
            return _of_equality(node.left, [node.right])
        case IsNull() if isinstance(node.operand, Column) and not node.is_negated:
            return (Lookup(node.operand.name, None),)
        case IsTruth() if isinstance(node.operand, Column):
            return _of_truth(node.operand, node.value, is_negated=node.is_negated)
        case Column():
            return (Lookup(node.name, "t"),)
        case Not(Column() as column):
            return (Lookup(column.name, "f"),)
        case _:
            return None


def _of_truth(column: Column, value: bool, *, is_negated: bool) -> _Lookups:
    key = "t" if value != is_negated else "f"
    found = Lookup(column.name, key)
    return (found, Lookup(column.name, None)) if is_negated else (found,)


def _of_equality(operand: Node, items: Iterable[Node]) -> _Lookups | None:
    if _is_never_whole(operand, items):
        return ()
    if not isinstance(operand, Column):
        return None
    lookups = []
    for item in items:
        is_boolean = operand.type == "bool"
        if not isinstance(item, Const) or not (is_boolean or compares_texts(operand, item)):
            return None
        lookups.append(Lookup(operand.name, item.text))
    return tuple(lookups)


def _is_never_whole(operand: Node, items: Iterable[Node]) -> bool:
    """Whether an integer column is compared with fractions only, which it never equals."""
    if not isinstance(operand, Cast) or operand.type != "numeric":
        return False
    if FAMILIES[type_of(operand.operand)] != "integer":
        return False
    return all(isinstance(item, Const) and _is_fraction(item) for item in items)


def _is_fraction(item: Const) -> bool:
    number = Decimal(item.text or "NaN")
    return not number.is_finite() or number != number.to_integral_value()


def _of_and(node: And) -> _Lookups | None:
    """Those of the most selective arm; all the others are residual."""
    arms = [(lookups_of(arm), arm) for arm in node.operands]
    usable = [(lookups, arm) for lookups, arm in arms if lookups is not None]
    if not usable:
        return None
    types = {}
    for _, arm in usable:
        types.update(_column_types(arm))
    lookups, driver = min(usable, key=lambda found: _rank(found[0], types))
    rest = [arm for arm in node.operands if arm is not driver]
    return tuple(replace(lookup, residual=_both(lookup.residual, rest)) for lookup in lookups)


def _column_types(node: Node) -> dict[str, str]:
    if isinstance(node, Column):
        return {node.name: node.type}
    return {name: kind for child in children(node) for name, kind in _column_types(child).items()}


def _rank(lookups: _Lookups, types: dict[str, str]) -> tuple[int, int]:
    """Smaller is more selective: equality, lists, NULL, booleans; then the shorter list."""
    kinds = [3 if types[one.column] == "bool" else 2 if one.key is None else 0 for one in lookups]
    return max([*kinds, 1 if len(lookups) > 1 else 0]), len(lookups)


def _both(residual: Node | None, rest: list[Node]) -> Node:
    return folding.conjunction(rest if residual is None else [residual, *rest])


def _of_or(node: Or) -> _Lookups | None:
    found: list[Lookup] = []
    for arm in node.operands:
        lookups = lookups_of(arm)
        if lookups is None:
            return None
        found += lookups
    exact = {(one.column, one.key) for one in found if one.residual is None}
    needed = (one for one in found if one.residual is None or (one.column, one.key) not in exact)
    return tuple(dict.fromkeys(needed))

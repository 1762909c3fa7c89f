"""Makers of typed nodes: they fold constants and keep the normal form (WHERE.md section 15).

In normal form NOT stands only before a column, IN, LIKE or a boolean cast; AND and OR are flat and
hold no TRUE or FALSE; constants stand on the right; ``x = 1 OR x = 2`` is ``x IN (1, 2)``. Every
step is exact in three-valued logic, so the text of the normal form can be given to Postgres. What is
left to Postgres, because a type is not in FAMILIES, stays as it was written.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from django_electric.postgres.values import TYPES, Moment, Value, timestamp_of_date
from django_electric.where.errors import WhereError
from django_electric.where.functions import CASTS, COMPARISONS, FAMILIES, NO_OPS
from django_electric.where.like import Matcher
from django_electric.where.nodes import (
    FALSE,
    TRUE,
    UNKNOWN,
    And,
    Cast,
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
    type_of,
)

_PYTHON = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NEVER_NULL = (IsNull, IsTruth, Distinct)
_INT4 = 1 << 31


def truth(value: bool | None) -> Const:
    """The constant for a Python answer."""
    return UNKNOWN if value is None else TRUE if value else FALSE


def is_null_const(node: Node) -> bool:
    """Whether the node is the constant NULL, of any type."""
    return isinstance(node, Const) and node.text is None


def constant(type_name: str, text: str | None) -> Const:
    """A constant of one of the types that `Const` has; *text* is canonical."""
    family = FAMILIES[type_name]
    if family == "text":
        return Const("text", text)
    if family != "integer":
        return Const(type_name, text)
    return Const("int4" if text is None or -_INT4 <= int(text) < _INT4 else "int8", text)


def comparable(node: Const, other_type: str) -> Value:
    """The Python value of a constant that is not NULL, beside something of *other_type*."""
    assert node.text is not None
    value = TYPES[node.type].decode(node.text)
    return as_moment(value) if is_mixed_date(node.type, other_type) else value


def is_mixed_date(type_name: str, other_type: str) -> bool:
    """Whether a date is compared with a timestamp."""
    return type_name == "date" and other_type in ("timestamp", "timestamptz")


def as_moment(value: Value) -> Moment:
    """A date as its midnight."""
    assert isinstance(value, int | float)
    return timestamp_of_date(value)


def cast(node: Node, target: str) -> Node:
    """``node::target``, where functions has that cast. Raises WhereError for a constant that fails."""
    source = type_of(node)
    if source == target or (source, target) in NO_OPS:
        return constant(target, node.text) if isinstance(node, Const) else node
    if not isinstance(node, Const):
        return Cast(node, target)
    if node.text is None:
        return constant(target, None)
    try:
        value = CASTS[source, target](TYPES[source].decode(node.text))
        return constant(target, TYPES[target].encode(value))
    except (ValueError, ArithmeticError):
        raise WhereError("Failed to apply function to constant arguments", at=0) from None


def compare(name: str, left: Node, right: Node) -> Node:
    """``left name right``, of types that compare without a cast."""
    if is_null_const(left) or is_null_const(right):
        return UNKNOWN
    if isinstance(left, Const):
        if isinstance(right, Const):
            sides = comparable(left, right.type), comparable(right, left.type)
            return truth(_PYTHON[name](*sides))
        name, left, right = COMPARISONS[name].swapped, right, left
    if right in (TRUE, FALSE) and name in ("=", "<>"):
        return left if (right == TRUE) == (name == "=") else negation(left)
    return Compare(name, left, right)


def distinct(left: Node, right: Node, *, is_negated: bool) -> Node:
    """``left IS [NOT] DISTINCT FROM right``, of types that compare without a cast."""
    if isinstance(left, Const):
        left, right = right, left
    if not isinstance(right, Const):
        return Distinct(left, right, is_negated)
    if right.text is None:
        return is_null(left, is_negated=not is_negated)
    if isinstance(left, Const):
        is_equal = compare("=", left, right) == TRUE
        return truth(is_equal == is_negated)
    if right.type == "bool":
        return is_truth(left, right == TRUE, is_negated=not is_negated)
    return Distinct(left, right, is_negated)


def membership(operand: Node, items: Iterable[Const]) -> Node:
    """``operand IN (items)``, of types that compare without a cast."""
    items = tuple(items)
    texts = {item.text: item for item in items if item.text is not None}
    found = tuple(texts[text] for text in sorted(texts))
    has_null = any(item.text is None for item in items)
    if is_null_const(operand) or not found:
        return UNKNOWN
    if isinstance(operand, Const):
        value = comparable(operand, found[0].type)
        is_found = any(value == comparable(item, operand.type) for item in found)
        return truth(is_found or (None if has_null else False))
    if len(found) == 1 and not has_null:
        return compare("=", operand, found[0])
    return In(operand, found, has_null)


def like(operand: Node, pattern: str, *, ignores_case: bool) -> Node:
    """``operand LIKE pattern``."""
    if not isinstance(operand, Const):
        return Like(operand, pattern, ignores_case)
    if operand.text is None:
        return UNKNOWN
    return truth(Matcher(pattern, ignores_case=ignores_case)(operand.text))


def is_null(operand: Node, *, is_negated: bool) -> Node:
    """``operand IS [NOT] NULL``."""
    if isinstance(operand, Const):
        return truth((operand.text is None) != is_negated)
    if isinstance(operand, _NEVER_NULL):
        return truth(is_negated)
    if isinstance(operand, Not):
        operand = operand.operand
    return IsNull(operand, is_negated)


def is_truth(operand: Node, value: bool, *, is_negated: bool) -> Node:
    """``operand IS [NOT] TRUE|FALSE``."""
    if isinstance(operand, Const):
        return truth((operand == truth(value)) != is_negated)
    if isinstance(operand, _NEVER_NULL):
        return operand if value != is_negated else negation(operand)
    if isinstance(operand, Not):
        operand, value = operand.operand, not value
    return IsTruth(operand, value, is_negated)


def negation(node: Node) -> Node:
    """``NOT node``, pushed down as far as it goes."""
    match node:
        case Const():
            return node if node.text is None else truth(node != TRUE)
        case Not():
            return node.operand
        case Compare() if _is_known(node):
            return Compare(COMPARISONS[node.operator].negated, node.left, node.right)
        case Distinct():
            return Distinct(node.left, node.right, not node.is_negated)
        case IsNull():
            return IsNull(node.operand, not node.is_negated)
        case IsTruth():
            return IsTruth(node.operand, node.value, not node.is_negated)
        case And():
            return disjunction(map(negation, node.operands))
        case Or():
            return conjunction(map(negation, node.operands))
        case _:
            return Not(node)


def _is_known(node: Compare) -> bool:
    return type_of(node.left) in FAMILIES and type_of(node.right) in FAMILIES


def conjunction(operands: Iterable[Node]) -> Node:
    """``AND`` of any number of conditions."""
    arms = _arms(operands, And, TRUE)
    if FALSE in arms:
        return FALSE
    return And(tuple(arms)) if len(arms) > 1 else arms[0] if arms else TRUE


def disjunction(operands: Iterable[Node]) -> Node:
    """``OR`` of any number of conditions."""
    arms = _with_merged_equalities(_arms(operands, Or, FALSE))
    if TRUE in arms:
        return TRUE
    return Or(tuple(arms)) if len(arms) > 1 else arms[0] if arms else FALSE


def _arms(operands: Iterable[Node], kind: type[And | Or], neutral: Const) -> list[Node]:
    """The conditions with inner ones of the same kind opened; no neutral one, NULL once at most."""
    arms: list[Node] = []
    for operand in operands:
        arms.extend(operand.operands if isinstance(operand, kind) else (operand,))
    constants = [arm for arm in arms if isinstance(arm, Const)]
    if not constants:
        return arms
    kept = [arm for arm in arms if not isinstance(arm, Const)]
    return kept + [arm for arm in dict.fromkeys(constants) if arm != neutral]


def _with_merged_equalities(arms: list[Node]) -> list[Node]:
    """``x = 1 OR x IN (2, 3)`` becomes ``x IN (1, 2, 3)``, where the first of them stood."""
    lists: dict[tuple[Node, str], list[Const]] = {}
    for arm in arms:
        if found := _equality(arm):
            lists.setdefault(_list_key(*found), []).extend(found[1])
    merged: list[Node] = []
    for arm in arms:
        found = _equality(arm)
        if not found:
            merged.append(arm)
        elif all_items := lists.pop(_list_key(*found), None):
            merged.append(membership(found[0], all_items))
    return merged


def _list_key(operand: Node, items: list[Const]) -> tuple[Node, str]:
    """Lists may be merged if they are on one operand and of one type, integers of any width."""
    return operand, "integer" if FAMILIES[items[0].type] == "integer" else items[0].type


def _equality(arm: Node) -> tuple[Node, list[Const]] | None:
    if isinstance(arm, Compare) and arm.operator == "=" and isinstance(arm.right, Const):
        return (arm.left, [arm.right]) if _is_known(arm) else None
    if isinstance(arm, In):
        nulls = [Const(arm.items[0].type, None)] if arm.has_null else []
        return arm.operand, [*arm.items, *nulls]
    return None

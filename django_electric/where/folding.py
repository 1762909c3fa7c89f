"""Makers of typed nodes: they fold constants and keep the normal form (WHERE.md section 15).

In normal form NOT stands only before a column, IN, LIKE or a boolean cast; AND and OR are flat and
hold no TRUE or FALSE; constants stand on the right; ``x = 1 OR x = 2`` is ``x IN (1, 2)``. Every
step is exact in three-valued logic, so the text of the normal form can be given to Postgres. What is
left to Postgres, because a type is not in FAMILIES, stays as it was written.

A row on which a condition fails does not match, so what can fail is dropped only where Postgres drops it
too: beside a constant, which is known before any row is looked at. Where it is we who know what a
condition always is (``always``), what stands before it is evaluated all the same.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from django_electric.postgres.values import Moment, Unreadable, Value, timestamp_of_date
from django_electric.where.errors import Undecided, WhereError
from django_electric.where.families import COMPARISONS, family
from django_electric.where.implementations.casts import conversion, with_modifier
from django_electric.where.like import Matcher
from django_electric.where.nodes import (
    FALSE,
    TRUE,
    UNKNOWN,
    And,
    ArrayOf,
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
from django_electric.where.traits import can_fail
from django_electric.where.types import element_of, is_array, value_type

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


def bare(node: Node) -> Node:
    """*node* beside an operator of comparison, for which widening an integer, or varchar to text, is nothing.

    Integers are ``int4`` where they fit, else ``int8``; there are no ``int2`` and no ``varchar``.

    >>> bare(Const("int8", "7")), bare(Cast(Const("int2", "7"), "int8"))
    (Const(type='int4', text='7'), Const(type='int4', text='7'))
    """
    while (
        isinstance(node, Cast)
        and not node.modifier
        and _is_nothing(type_of(node.operand), node.type)
    ):
        node = node.operand
    if not isinstance(node, Const):
        return node
    if node.type == "varchar":
        return Const("text", node.text)
    if node.type not in _INTEGERS:
        return node
    return Const(
        "int4" if node.text is None or -_INT4 <= int(node.text) < _INT4 else "int8", node.text
    )


_INTEGERS = ("int2", "int4", "int8")


def _is_nothing(source: str, target: str) -> bool:
    if source in _INTEGERS and target in _INTEGERS:
        return _INTEGERS.index(source) < _INTEGERS.index(target)
    return {source, target} == {"text", "varchar"}


def comparable(node: Const, other_type: str) -> Value:
    """The Python value of a constant that is not NULL, beside something of *other_type*."""
    assert node.text is not None
    value: Value = value_type(node.type).decode(node.text)
    return as_moment(value) if is_mixed_date(node.type, other_type) else value


def is_mixed_date(type_name: str, other_type: str) -> bool:
    """Whether a date is compared with a timestamp."""
    return type_name == "date" and other_type in ("timestamp", "timestamptz")


def as_moment(value: Value) -> Moment:
    """A date as its midnight."""
    assert isinstance(value, int | float)
    return timestamp_of_date(value)


def cast(node: Node, target: str, modifier: tuple[int, ...] = ()) -> Node:
    """``node::target(modifier)``.

    Raises WhereError if that is left to Postgres, and for a constant that fails.
    """
    source = type_of(node)
    if source == target and not modifier:
        return node
    convert = conversion(source, target)
    fit = with_modifier(target, modifier) if modifier else None
    if convert is None or (modifier and fit is None):
        raise WhereError(f"unknown cast from type {source} to type {target}")
    if isinstance(node, ArrayOf):
        inner = target if is_array(type_of(node.items[0])) else element_of(target)
        return ArrayOf(tuple(cast(item, inner, modifier) for item in node.items), target)
    if not isinstance(node, Const):
        return Cast(node, target, modifier)
    if node.text is None:
        return Const(target, None)
    try:
        value = convert.function(value_type(source).decode(node.text))
        if fit is not None:
            value = fit(value)
        return Const(target, None if value is None else value_type(target).encode(value))
    except (ValueError, ArithmeticError, Undecided, Unreadable):
        raise WhereError("Failed to apply function to constant arguments", at=0) from None


def compare(name: str, left: Node, right: Node) -> Node:
    """``left name right``, of types that compare without a cast."""
    left, right = bare(left), bare(right)
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
    left, right = bare(left), bare(right)
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


def membership(operand: Node, listed: Iterable[Const]) -> Node:
    """``operand IN (listed)``, of types that compare without a cast."""
    operand = bare(operand)
    items = [item for item in map(bare, listed) if isinstance(item, Const)]
    texts = {item.text: item for item in items if item.text is not None}
    found = tuple(texts[text] for text in sorted(texts))
    has_null = any(item.text is None for item in items)
    if not found and len(items) > 1 and can_fail(operand):
        raise WhereError("a list of NULL beside what may fail is left to Postgres")
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
    operand = bare(operand)
    if not isinstance(operand, Const):
        return Like(operand, pattern, ignores_case)
    if operand.text is None:
        return UNKNOWN
    return truth(Matcher(pattern, ignores_case=ignores_case)(operand.text))


def is_null(operand: Node, *, is_negated: bool) -> Node:
    """``operand IS [NOT] NULL``."""
    operand = bare(operand)
    if isinstance(operand, Const):
        return truth((operand.text is None) != is_negated)
    if isinstance(operand, IsNull) and isinstance(operand.operand, _NEVER_NULL):
        operand = operand.operand
    if isinstance(operand, Not):
        operand = operand.operand
    return IsNull(operand, is_negated)


def constantly(value: bool, operand: Node) -> Node:
    """What is always *value*, but that *operand*, which Postgres evaluates first, may fail.

    >>> constantly(False, TRUE) == FALSE, constantly(False, Cast(Like(TRUE, "", False), "int4")) == FALSE
    (True, False)
    """
    return is_null(is_null(operand, is_negated=False), is_negated=value)


def always(node: Node) -> bool | None:
    """The truth of a condition that has the same on every row, though Postgres does not know it; or None."""
    if not isinstance(node, IsNull) or not isinstance(node.operand, _NEVER_NULL):
        return None
    return None if can_fail(node.operand) else node.is_negated


def settled(node: Node) -> Node:
    """A whole condition; TRUE or FALSE if that is what it always is."""
    known = always(node)
    return node if known is None else truth(known)


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
    return bool(family(type_of(node.left)) and family(type_of(node.right)))


def conjunction(operands: Iterable[Node]) -> Node:
    """``AND`` of any number of conditions."""
    arms = _arms(operands, And, TRUE)
    if FALSE in arms:
        return FALSE
    arms = _decided(arms, False)
    return And(tuple(arms)) if len(arms) > 1 else arms[0] if arms else TRUE


def disjunction(operands: Iterable[Node]) -> Node:
    """``OR`` of any number of conditions."""
    arms = _with_merged_equalities(_arms(operands, Or, FALSE))
    if TRUE in arms:
        return TRUE
    arms = _decided(arms, True)
    return Or(tuple(arms)) if len(arms) > 1 else arms[0] if arms else FALSE


def _decided(arms: list[Node], decisive: bool) -> list[Node]:
    """Without what follows a condition that is always *decisive*, and those that always are the contrary."""
    kept: list[Node] = []
    for arm in arms:
        known = always(arm)
        if known is None:
            kept.append(arm)
        elif known == decisive:
            return [*kept, arm] if any(map(can_fail, kept)) else [truth(decisive)]
    return kept


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
    """``x = 1 OR x IN (2, 3)`` becomes ``x IN (1, 2, 3)``, where the first of them stood.

    Unless something may fail that stands between them, since Postgres would come upon it first.
    """
    lists: dict[tuple[Node, str], list[Const]] = {}
    merged: list[Node | tuple[Node, list[Const]]] = []
    for arm in arms:
        found = _equality(arm)
        key = found and _list_key(*found)
        if can_fail(arm):
            lists = {key: lists[key]} if key in lists else {}
        if found is None or key is None:
            merged.append(arm)
        elif key in lists:
            lists[key] += found[1]
        else:
            lists[key] = found[1]
            merged.append(found)
    return [membership(*one) if isinstance(one, tuple) else one for one in merged]


def _list_key(operand: Node, items: list[Const]) -> tuple[Node, str]:
    """Lists may be merged if they are on one operand and of one type, integers of any width."""
    kind = items[0].type
    return operand, "integer" if kind in _INTEGERS else kind


def _equality(arm: Node) -> tuple[Node, list[Const]] | None:
    if isinstance(arm, Compare) and arm.operator == "=" and isinstance(arm.right, Const):
        # IN would make the date a timestamp, and be another condition when it is read again.
        is_mixed = is_mixed_date(arm.right.type, type_of(arm.left))
        return (arm.left, [arm.right]) if _is_known(arm) and not is_mixed else None
    if isinstance(arm, In):
        nulls = [Const(arm.items[0].type, None)] if arm.has_null else []
        return arm.operand, [*arm.items, *nulls]
    return None

"""What can be told of a node without a row: whether it may be NULL, or fail, or is compared as text."""

from __future__ import annotations

from django_electric.where.families import COMPARISONS, FAMILIES
from django_electric.where.functions import implementation
from django_electric.where.implementations.casts import conversion
from django_electric.where.nodes import (
    And,
    ArrayOf,
    Call,
    Cast,
    Column,
    Compare,
    Const,
    Distinct,
    IsNull,
    IsTruth,
    Node,
    Not,
    Or,
    Quantifier,
    Subscript,
    children,
    type_of,
)
from django_electric.where.types import is_known, value_type


def is_never_null(node: Node) -> bool:
    """Whether the condition is true or false on every row."""
    match node:
        case IsNull() | IsTruth() | Distinct():
            return True
        case And() | Or():
            return all(map(is_never_null, node.operands))
        case Const():
            return node.text is not None
        case Compare():
            return all(map(is_never_null, (node.left, node.right)))
        case Not():
            return is_never_null(node.operand)
        case _:
            return False


def can_fail(node: Node) -> bool:
    """Whether there may be rows on which Postgres fails."""
    match node:
        case Cast():
            convert = conversion(type_of(node.operand), node.type)
            fails = bool(node.modifier) or convert is None or not convert.is_total
        case Call():
            types = [type_of(one) for one in node.arguments]
            done = implementation(node.name, node.signature, types)
            fails = done is None or not done.is_total
        case ArrayOf() | Subscript() | Quantifier():
            fails = True
        case _:
            fails = False
    return fails or any(map(can_fail, children(node)))


def compares_texts(left: Node, right: Node) -> bool:
    """Whether equality of the two is equality of their texts, so that nothing need be decoded."""
    if not isinstance(left, Column | Const) or not isinstance(right, Column | Const):
        return False
    if FAMILIES.get(left.type) == "moment":
        return left.type == right.type
    return _is_canonical(left.type) and _is_canonical(right.type)


def _is_canonical(type_name: str) -> bool:
    return is_known(type_name) and value_type(type_name).is_canonical


def is_plain_order(node: Compare) -> bool:
    """Whether a column of dates or timestamps is ordered against a constant with a plain text."""
    left, right = node.left, node.right
    if not isinstance(left, Column) or not isinstance(right, Const) or left.type != right.type:
        return False
    is_moment = FAMILIES.get(left.type) == "moment" and COMPARISONS[node.operator].orders
    return is_moment and right.text is not None and right.text[4:5] == "-" and right.text[-1] != "C"

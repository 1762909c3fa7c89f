"""Operands that wait for their type, and how operands are brought to the one that is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django_electric.postgres.values import Unreadable
from django_electric.where import catalog, folding, resolve
from django_electric.where.errors import WhereError
from django_electric.where.families import FAMILIES
from django_electric.where.nodes import UNTYPED, Case, Column, Const, Node, children, type_of
from django_electric.where.types import UNKNOWN_TYPE, is_known, value_type

_INT4, _INT8 = 1 << 31, 1 << 63


class Untyped(NamedTuple):
    """A quoted literal or parameter that waits for its type; NULL if *text* is None."""

    text: str | None
    at: int
    parameter: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row value: its members are compared one by one."""

    members: tuple[Operand, ...]
    at: int


Operand = Node | Untyped | Row


def operand_type(operand: Operand) -> str:
    """The type by which an operator or function is chosen. Raises WhereError for a row."""
    if isinstance(operand, Untyped):
        return UNKNOWN_TYPE
    if isinstance(operand, Row):
        raise WhereError("RowExpr is not supported in this context", at=operand.at)
    return type_of(operand)


def is_resolvable(types: Iterable[str]) -> bool:
    """Whether the catalogue knows all of the types."""
    return all(catalog.is_type(name) or name == UNKNOWN_TYPE for name in types)


def read(text: str | None, type_name: str) -> Const:
    """A literal of a type. Raises ValueError if it is none, and WhereError if the type is not known."""
    if not is_known(type_name):
        raise WhereError(f"unsupported type {type_name}")
    if text is None:
        return Const(type_name, None)
    try:
        return Const(type_name, value_type(type_name).canonical(text))
    except (Unreadable, ArithmeticError) as error:
        raise ValueError(str(error)) from error


def number(text: str) -> Const:
    """An unquoted number: int4, int8 or numeric, whichever it fits first (make_const)."""
    digits = text.replace("_", "")
    if re.fullmatch(r"-?[0-9]{1,19}|-?0[xob][0-9a-f]{1,64}", digits, re.IGNORECASE):
        whole = int(digits, 0 if re.search("[xob]", digits, re.IGNORECASE) else 10)
        if -_INT8 <= whole < _INT8:
            return Const("int4" if -_INT4 <= whole < _INT4 else "int8", str(whole))
        digits = str(whole)
    try:
        return read(digits, "numeric")
    except ValueError:
        raise WhereError(f"invalid syntax for type numeric: {text}") from None


def unasked(node: Node, target: str, *, context: str = "i") -> Node:
    """*node* cast to *target* as Postgres does without being asked. Raises WhereError."""
    if catalog.pathway(type_of(node), target, context) is None:
        raise WhereError(f"{type_of(node)} cannot be matched to {target}")
    return folding.cast(node, target)


def as_written(operand: Operand) -> Node:
    """*operand* for Postgres alone: a literal stays without a type, so that the other side gives it one."""
    if isinstance(operand, Row):
        raise WhereError("RowExpr is not supported in this context", at=operand.at)
    return Const(UNTYPED, operand.text) if isinstance(operand, Untyped) else operand


def as_integers(left: Node, right: Node) -> tuple[Node, Node] | None:
    """An integer beside a whole numeric constant: the same comparison without a cast."""
    if _is_integer(right) and isinstance(left, Const):
        found = whole(left)
        return (found, right) if found else None
    if _is_integer(left) and isinstance(right, Const):
        found = whole(right)
        return (left, found) if found else None
    return None


def _is_integer(node: Node) -> bool:
    return FAMILIES.get(type_of(node)) == "integer"


def whole(node: Const) -> Const | None:
    """A numeric constant as an integer one, if it is whole and fits."""
    if node.type != "numeric" or node.text in (None, "NaN", "Infinity", "-Infinity"):
        return None
    value = Decimal(node.text or "")
    if value != value.to_integral_value() or not -_INT8 <= value < _INT8:
        return None
    return Const("int8", str(int(value)))


def common_type(operands: Iterable[Operand]) -> str | None:
    """What CASE, COALESCE, ARRAY and IN bring their members to; None if there is none."""
    types = [operand_type(operand) for operand in operands]
    if not is_resolvable(types):
        return None
    chosen = resolve.common_type(types)
    if chosen is None or not all(resolve.can_coerce(one, chosen) for one in types):
        return None
    return chosen


def has_collation(node: Node) -> bool:
    """Whether a column gives the node its collation; otherwise it is the database's own."""
    if isinstance(node, Column):
        return catalog.has_collation(node.type)
    return any(
        catalog.has_collation(type_of(child)) and has_collation(child)
        for child in value_children(node)
    )


def value_children(node: Node) -> tuple[Node, ...]:
    """The children that hand their collation on."""
    if isinstance(node, Case):
        return (*(result for _, result in node.arms), node.default)
    return children(node)

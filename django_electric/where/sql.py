"""A typed tree as canonical SQL: a shape's identity, and the condition of its snapshot query.

Two clauses with equal trees have equal texts, and the text parses back to the tree it was made of.
Names are quoted and constants carry their types, so that Postgres reads it in only one way.
"""

from __future__ import annotations

from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.where.nodes import (
    UNTYPED,
    And,
    Cast,
    Column,
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
)


def sql_of(node: Node) -> str:
    """The text of a condition.

    >>> sql_of(Compare("=", Column("we ird", "int4"), Const("int4", "1")))
    '"we ird" = 1'
    """
    match node:
        case Compare():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"
        case And():
            return " AND ".join(map(_operand, node.operands))
        case Or():
            return " OR ".join(map(_operand, node.operands))
        case In():
            return _membership(node, "IN")
        case Like():
            return _likeness(node, "LIKE")
        case Not():
            return _negation(node.operand)
        case IsNull():
            return f"{_operand(node.operand)} IS {_not(node.is_negated)}NULL"
        case IsTruth():
            return f"{_operand(node.operand)} IS {_not(node.is_negated)}{str(node.value).upper()}"
        case Distinct():
            words = f"IS {_not(node.is_negated)}DISTINCT FROM"
            return f"{_operand(node.left)} {words} {_operand(node.right)}"
        case Column() | Const() | Cast():
            return _operand(node)


def _operand(node: Node) -> str:
    """A part of an expression; whatever holds an operator is put in parentheses."""
    match node:
        case Column():
            return quote_identifier(node.name)
        case Const():
            return _constant(node)
        case Cast():
            return f"{_operand(node.operand)}::{node.type}"
        case _:
            return f"({sql_of(node)})"


def _constant(node: Const) -> str:
    if node.type == UNTYPED:
        return "NULL" if node.text is None else quote_literal(node.text)
    if node.text is None:
        return f"NULL::{node.type}"
    if node.type == "bool":
        return "true" if node.text == "t" else "false"
    if node.type in ("int4", "int8"):
        return node.text
    return f"{quote_literal(node.text)}::{node.type}"


def _negation(node: Node) -> str:
    match node:
        case In():
            return _membership(node, "NOT IN")
        case Like():
            return _likeness(node, "NOT LIKE")
        case _:
            return f"NOT {_operand(node)}"


def _membership(node: In, words: str) -> str:
    items = [_constant(item) for item in node.items]
    if node.has_null:
        items.append("NULL")
    return f"{_operand(node.operand)} {words} ({', '.join(items)})"


def _likeness(node: Like, words: str) -> str:
    if node.ignores_case:
        words = words.replace("LIKE", "ILIKE")
    return f"{_operand(node.operand)} {words} {_constant(Const('text', node.pattern))}"


def _not(is_negated: bool) -> str:
    return "NOT " if is_negated else ""

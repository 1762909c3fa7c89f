"""The value of an expression of constants."""

from __future__ import annotations

from django_electric.where.errors import EvaluationError, Undecided, WhereError
from django_electric.where.evaluate import compile_node
from django_electric.where.nodes import Call, Const, Node, children, type_of
from django_electric.where.types import value_type


def computed(node: Node) -> Node:
    """*node*, or the constant that it is. Raises WhereError if Postgres would fail, or only Postgres can tell.

    A strict function of NULL is NULL, whatever its other arguments are.
    """
    parts = children(node)
    is_strict = isinstance(node, Call) and node.is_strict
    if is_strict and any(isinstance(one, Const) and one.text is None for one in parts):
        return Const(type_of(node), None)
    if not all(isinstance(one, Const) for one in parts):
        return node
    kind = type_of(node)
    try:
        value = compile_node(node, {})(())
    except (EvaluationError, Undecided):
        raise WhereError("Failed to apply function to constant arguments", at=0) from None
    return Const(kind, None if value is None else value_type(kind).encode(value))

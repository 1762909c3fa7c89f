"""A typed tree as canonical SQL: a shape's identity, and the condition of its snapshot query.

Two clauses with equal trees have equal texts, and the text parses back to the tree it was made of.
Names are quoted and constants carry their types, so that Postgres reads it in only one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.where.nodes import (
    UNTYPED,
    And,
    ArrayOf,
    Call,
    Case,
    Cast,
    Coalesce,
    Column,
    Compare,
    Const,
    Distinct,
    Extreme,
    In,
    IsNull,
    IsTruth,
    Like,
    Node,
    Not,
    Or,
    Quantifier,
    Slice,
    Subscript,
    Within,
)
from django_electric.where.types import EnumName, element_of

_INT4 = 1 << 31


def sql_of(node: Node) -> str:
    """The text of a condition.

    >>> sql_of(Compare("=", Column("we ird", "int4"), Const("int4", "1")))
    '"we ird" = 1'
    """
    match node:
        case Within():
            return node.name
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
        case Quantifier():
            words = "ALL" if node.is_all else "ANY"
            return f"{_operand(node.left)} {node.operator} {words} ({sql_of(node.array)})"
        case Call() if not _is_name(node.name):
            return _operator(node)
        case _:
            return _operand(node)


def _is_name(name: str) -> bool:
    return name[0].isalpha()


def _operator(node: Call) -> str:
    if len(node.arguments) == 1:
        return f"{node.name} {_operand(node.arguments[0])}"
    left, right = map(_operand, node.arguments)
    return f"{left} {node.name} {right}"


def _operand(node: Node) -> str:
    """A part of an expression; whatever holds an operator is put in parentheses."""
    match node:
        case Within():
            return f"({node.name})"
        case Column():
            return quote_identifier(node.name)
        case Const():
            return _constant(node)
        case Cast():
            return f"{_operand(node.operand)}::{type_name(node.type, node.modifier)}"
        case Call() if _is_name(node.name):
            # Functions bear names that the grammar has for other things, and users have theirs.
            return f"pg_catalog.{node.name}({_list(node.arguments)})"
        case Case():
            arms = "".join(f"WHEN {sql_of(one)} THEN {sql_of(two)} " for one, two in node.arms)
            return f"CASE {arms}ELSE {sql_of(node.default)} END"
        case Coalesce():
            return f"COALESCE({_list(node.operands)})"
        case Extreme():
            return f"{node.what}({_list(node.operands)})"
        case ArrayOf():
            return f"ARRAY[{_list(node.items)}]"
        case Subscript():
            operand = _operand(node.operand)
            if not isinstance(node.operand, Column):
                operand = f"({operand})"
            return operand + "".join(f"[{_subscript(one)}]" for one in node.subscripts)
        case _:
            return f"({sql_of(node)})"


def _list(nodes: Iterable[Node]) -> str:
    return ", ".join(map(sql_of, nodes))


def _subscript(one: Node | Slice) -> str:
    if not isinstance(one, Slice):
        return sql_of(one)
    return ":".join("" if end is None else _operand(end) for end in (one.low, one.high))


def type_name(name: str, modifier: tuple[int, ...] = ()) -> str:
    """A type as a cast names it; of one of the user's own both parts are quoted.

    >>> type_name("varchar", (20,)), type_name(EnumName("app.mood[]", ()))
    ('varchar(20)', '"app"."mood"[]')
    """
    if isinstance(name, EnumName):
        element = element_of(name)
        written = ".".join(map(quote_identifier, element.split(".", 1)))
        return written + name[len(element) :]
    return f"{name}({', '.join(map(str, modifier))})" if modifier else name


def _constant(node: Const) -> str:
    if node.type == UNTYPED:
        return "NULL" if node.text is None else quote_literal(node.text)
    if node.text is None:
        return f"NULL::{type_name(node.type)}"
    if node.type == "bool":
        return "true" if node.text == "t" else "false"
    if node.type == "int4" or (node.type == "int8" and not -_INT4 <= int(node.text) < _INT4):
        return node.text
    return f"{quote_literal(node.text)}::{type_name(node.type)}"


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


def within_sql(columns: Sequence[str], subselect: str) -> str:
    """``columns IN (subselect)``.

    >>> within_sql(["a", "b"], "SELECT 1")
    '("a", "b") IN (SELECT 1)'
    """
    names = ", ".join(map(quote_identifier, columns))
    return f"{names if len(columns) == 1 else f'({names})'} IN ({subselect})"


def subselect_sql(table: str, columns: Iterable[str], condition: str | None) -> str:
    """The statement that selects *columns* from *table*, which is as it stands after FROM.

    >>> subselect_sql('"t"', ["a"], '"b" = 1')
    'SELECT "a" FROM "t" WHERE "b" = 1'
    """
    where = "" if condition is None else f" WHERE {condition}"
    return f"SELECT {', '.join(map(quote_identifier, columns))} FROM {table}{where}"  # noqa: S608  # quoted


def _not(is_negated: bool) -> str:
    return "NOT " if is_negated else ""

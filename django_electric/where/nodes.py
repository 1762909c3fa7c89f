"""The two trees of a where clause: as written, and typed.

``parser`` makes the first, ``typecheck`` turns it into the second; everything else knows only the
second. Nodes are frozen and equal when they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# --- as written; ``at`` is the byte offset in the clause that an error names --------------------


class Reference(NamedTuple):
    """A name, dotted if it was."""

    name: str
    at: int


class Literal(NamedTuple):
    """A quoted string, whose type its context decides; None is NULL."""

    text: str | None
    at: int


class Number(NamedTuple):
    """An unquoted number as the lexer left it."""

    text: str
    at: int


class Truth(NamedTuple):
    """TRUE or FALSE."""

    value: bool
    at: int


class Parameter(NamedTuple):
    """``$1``."""

    number: int
    at: int


class Conversion(NamedTuple):
    """``operand::type``; ``at`` is where the type stands."""

    operand: Syntax
    type_name: str
    at: int


class Comparison(NamedTuple):
    """``left = right`` and the other comparison operators."""

    operator: str
    left: Syntax
    right: Syntax
    at: int


class Distinction(NamedTuple):
    """``left IS [NOT] DISTINCT FROM right``."""

    left: Syntax
    right: Syntax
    is_negated: bool
    at: int


class Membership(NamedTuple):
    """``operand [NOT] IN (items)``."""

    operand: Syntax
    items: tuple[Syntax, ...]
    is_negated: bool
    at: int


class Range(NamedTuple):
    """``operand [NOT] BETWEEN [SYMMETRIC] low AND high``."""

    operand: Syntax
    low: Syntax
    high: Syntax
    is_negated: bool
    is_symmetric: bool
    at: int


class Likeness(NamedTuple):
    """``operand [NOT] LIKE|ILIKE pattern [ESCAPE escape]``."""

    operand: Syntax
    pattern: Syntax
    escape: Syntax | None
    is_negated: bool
    ignores_case: bool
    at: int


class Test(NamedTuple):
    """``operand IS [NOT] NULL|TRUE|FALSE|UNKNOWN``."""

    operand: Syntax
    what: str
    is_negated: bool
    at: int


class Junction(NamedTuple):
    """AND, OR or NOT of its operands."""

    operator: str
    operands: tuple[Syntax, ...]
    at: int


Syntax = (
    Reference
    | Literal
    | Number
    | Truth
    | Parameter
    | Conversion
    | Comparison
    | Distinction
    | Membership
    | Range
    | Likeness
    | Test
    | Junction
)


class SortKey(NamedTuple):
    """One column of an ORDER BY, with what was said of it."""

    column: str
    direction: str
    """Empty, ``ASC`` or ``DESC``."""
    nulls: str
    """Empty, ``FIRST`` or ``LAST``."""


# --- typed --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Const:
    """A value, as the text that Postgres prints for it in the log; None is NULL.

    Integers are ``int4`` where they fit, else ``int8``; there are no ``int2`` and no ``varchar``. One
    that is `UNTYPED` has the text that was written, and stands beside a type that only Postgres knows.
    """

    type: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Cast:
    """A conversion that changes the value: widening an integer, or varchar to text, leaves none."""

    operand: Node
    type: str


@dataclass(frozen=True, slots=True)
class Compare:
    """``left operator right`` over one family of types; NULL if either side is."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Distinct:
    """``left IS [NOT] DISTINCT FROM right``; never NULL."""

    left: Node
    right: Node
    is_negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """``operand IN (items)``; the items are in the order of their texts and none is there twice.

    ``has_null`` says that NULL was among them: what is not found is then NULL, not false.
    """

    operand: Node
    items: tuple[Const, ...]
    has_null: bool


@dataclass(frozen=True, slots=True)
class Like:
    """``operand LIKE|ILIKE pattern``, with backslash as the escape character."""

    operand: Node
    pattern: str
    ignores_case: bool


@dataclass(frozen=True, slots=True)
class IsNull:
    """``operand IS [NOT] NULL``; never NULL."""

    operand: Node
    is_negated: bool


@dataclass(frozen=True, slots=True)
class IsTruth:
    """``operand IS [NOT] TRUE|FALSE``; never NULL."""

    operand: Node
    value: bool
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT operand``."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """Two or more conditions, none of which is itself an And."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more conditions, none of which is itself an Or."""

    operands: tuple[Node, ...]


Node = Column | Const | Cast | Compare | Distinct | In | Like | IsNull | IsTruth | Not | And | Or

UNTYPED = "unknown"
TRUE = Const("bool", "t")
FALSE = Const("bool", "f")
UNKNOWN = Const("bool", None)


def type_of(node: Node) -> str:
    """The type of a node's value.

    >>> type_of(Column("n", "int8")), type_of(Not(Column("flag", "bool")))
    ('int8', 'bool')
    """
    return node.type if isinstance(node, Column | Const | Cast) else "bool"


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, constants of an IN list left out."""
    match node:
        case Column() | Const():
            return ()
        case Compare() | Distinct():
            return (node.left, node.right)
        case And() | Or():
            return node.operands
        case _:
            return (node.operand,)


def column_names(node: Node) -> frozenset[str]:
    """Every column that the tree refers to."""
    if isinstance(node, Column):
        return frozenset((node.name,))
    return frozenset[str]().union(*map(column_names, children(node)))

"""The two trees of a where clause: as written, and typed.

``parser`` makes the first, ``typecheck`` turns it into the second; everything else knows only the
second. Nodes are frozen and equal when they say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True)
class Conversion:
    """``operand::type``; ``at`` is where the type stands."""

    operand: Syntax
    type_name: str
    at: int
    modifier: tuple[int, ...] = ()
    """What stands in parentheses behind the type."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with one operand or two."""

    operator: str
    operands: tuple[Syntax, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Invocation:
    """``function(arguments)``."""

    name: str
    arguments: tuple[Syntax, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``CASE [subject] WHEN … THEN … ELSE default END``."""

    subject: Syntax | None
    arms: tuple[tuple[Syntax, Syntax], ...]
    default: Syntax | None
    at: int


@dataclass(frozen=True, slots=True)
class Alternatives:
    """``COALESCE``, ``GREATEST``, ``LEAST`` or ``NULLIF`` of its operands."""

    what: str
    operands: tuple[Syntax, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Quantification:
    """``left operator ANY|ALL (right)``."""

    operator: str
    left: Syntax
    right: Syntax
    is_all: bool
    at: int


@dataclass(frozen=True, slots=True)
class Listing:
    """``ARRAY[items]``."""

    items: tuple[Syntax, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """``low:high`` in a subscript; None is left out."""

    low: Syntax | None
    high: Syntax | None


@dataclass(frozen=True, slots=True)
class Indexing:
    """``operand[subscripts]``."""

    operand: Syntax
    subscripts: tuple[Syntax | Bounds, ...]
    at: int


@dataclass(frozen=True, slots=True)
class RowValue:
    """``(member, member)``."""

    members: tuple[Syntax, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Distinction:
    """``left IS [NOT] DISTINCT FROM right``."""

    left: Syntax
    right: Syntax
    is_negated: bool
    at: int


@dataclass(frozen=True, slots=True)
class Membership:
    """``operand [NOT] IN (items)``."""

    operand: Syntax
    items: tuple[Syntax, ...]
    is_negated: bool
    at: int


@dataclass(frozen=True, slots=True)
class Range:
    """``operand [NOT] BETWEEN [SYMMETRIC] low AND high``."""

    operand: Syntax
    low: Syntax
    high: Syntax
    is_negated: bool
    is_symmetric: bool
    at: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """``operand [NOT] LIKE|ILIKE pattern [ESCAPE escape]``."""

    operand: Syntax
    pattern: Syntax
    escape: Syntax | None
    is_negated: bool
    ignores_case: bool
    at: int


@dataclass(frozen=True, slots=True)
class Test:
    """``operand IS [NOT] NULL|TRUE|FALSE|UNKNOWN``."""

    operand: Syntax
    what: str
    is_negated: bool
    at: int


@dataclass(frozen=True, slots=True)
class Junction:
    """AND, OR or NOT of its operands."""

    operator: str
    operands: tuple[Syntax, ...]
    at: int


class Scope(NamedTuple):
    """By what names the columns of a condition may be qualified, each name in its parts."""

    names: frozenset[tuple[str, ...]]
    """Of the condition's own table."""
    outer: frozenset[tuple[str, ...]] = frozenset()
    """Of the tables around a subquery, whose columns it cannot have."""
    may_qualify: bool = False
    """Whether its own columns may be: those of a clause that stands alone never were."""

    def inside(self, names: frozenset[tuple[str, ...]]) -> Scope:
        """That of a subquery here, on a table that bears *names*."""
        return Scope(names, self.outer | self.names, may_qualify=True)


@dataclass(frozen=True, slots=True)
class Subquery:
    """``row IN (SELECT columns FROM table [WHERE condition])``."""

    row: tuple[Reference, ...]
    schema: str
    """Empty if none was written."""
    table: str
    columns: tuple[str, ...]
    condition: str | None
    """Its text, behind as many blanks as put it where it stands in the clause."""
    scope: Scope
    """For the condition."""
    text: str
    """The whole statement, without the parentheses."""
    at: int


Syntax = (
    Reference
    | Literal
    | Number
    | Truth
    | Parameter
    | Conversion
    | Operation
    | Invocation
    | Choice
    | Alternatives
    | Quantification
    | Listing
    | Indexing
    | RowValue
    | Distinction
    | Membership
    | Range
    | Likeness
    | Test
    | Junction
    | Subquery
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

    One that is `UNTYPED` has the text that was written, and stands beside a type that only Postgres knows.
    """

    type: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Cast:
    """``operand::type(modifier)``."""

    operand: Node
    type: str
    modifier: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator that is not one of comparison.

    ``signature`` holds the types of the overload's arguments as the catalogue has them, by which what it
    does is found.
    """

    name: str
    arguments: tuple[Node, ...]
    signature: tuple[str, ...]
    type: str
    is_strict: bool


@dataclass(frozen=True, slots=True)
class Case:
    """``CASE WHEN … THEN … ELSE default END``."""

    arms: tuple[tuple[Node, Node], ...]
    default: Node
    type: str


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first of the operands that is not NULL."""

    operands: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Extreme:
    """``GREATEST`` or ``LEAST`` of the operands that are not NULL."""

    what: str
    operands: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """``ARRAY[items]``; of arrays, it is an array of a dimension more."""

    items: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Slice:
    """``low:high`` in a subscript; None is left out."""

    low: Node | None
    high: Node | None


@dataclass(frozen=True, slots=True)
class Subscript:
    """``operand[subscripts]``: all of them are slices, or none."""

    operand: Node
    subscripts: tuple[Node | Slice, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Quantifier:
    """``left operator ANY|ALL (array)``; *signature* as that of a `Call`."""

    operator: str
    left: Node
    array: Node
    signature: tuple[str, ...]
    is_all: bool


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


@dataclass(frozen=True, slots=True)
class Within(Column):
    """``(columns) IN (subselect)``; for whoever knows no subqueries a column that is true, false or NULL.

    Its ``name`` is its canonical text, which no column has.
    """

    columns: tuple[str, ...]
    subselect: str
    """Canonical: equal for subqueries that read the same."""


Valued = Column | Const | Cast | Call | Case | Coalesce | Extreme | ArrayOf | Subscript
"""Nodes that may be of any type; the others are conditions."""
Node = Valued | Compare | Distinct | In | Like | IsNull | IsTruth | Not | And | Or | Quantifier

UNTYPED = "unknown"
TRUE = Const("bool", "t")
FALSE = Const("bool", "f")
UNKNOWN = Const("bool", None)


def type_of(node: Node) -> str:
    """The type of a node's value.

    >>> type_of(Column("n", "int8")), type_of(Not(Column("flag", "bool")))
    ('int8', 'bool')
    """
    return node.type if isinstance(node, Valued) else "bool"


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, constants of an IN list left out."""
    match node:
        case Column() | Const():
            return ()
        case Compare() | Distinct():
            return (node.left, node.right)
        case And() | Or() | Coalesce() | Extreme():
            return node.operands
        case Call():
            return node.arguments
        case Case():
            return (*(one for arm in node.arms for one in arm), node.default)
        case ArrayOf():
            return node.items
        case Quantifier():
            return (node.left, node.array)
        case Subscript():
            return (node.operand, *_subscripts(node))
        case _:
            return (node.operand,)


def _subscripts(node: Subscript) -> Iterator[Node]:
    for one in node.subscripts:
        ends = (one.low, one.high) if isinstance(one, Slice) else (one,)
        yield from (end for end in ends if end is not None)


def column_names(node: Node) -> frozenset[str]:
    """Every column that the tree refers to."""
    if isinstance(node, Within):
        return frozenset(node.columns)
    if isinstance(node, Column):
        return frozenset((node.name,))
    return frozenset[str]().union(*map(column_names, children(node)))


def subselects(node: Node) -> tuple[str, ...]:
    """Every subquery of the tree once, in the order in which they come."""
    return tuple(dict.fromkeys(one.subselect for one in _withins(node)))


def _withins(node: Node) -> Iterator[Within]:
    if isinstance(node, Within):
        yield node
    for child in children(node):
        yield from _withins(child)

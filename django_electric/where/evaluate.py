"""A typed tree as a function from row to True, False or None (SQL has three).

The function is Python source, compiled: one expression that reads the row's texts, decodes a column
when it is first needed, and stops at the first arm that decides an AND or OR. Constants are not in
the source but arguments of the factory around it, so clauses that differ only in their constants
share one code object. What the source looks like for ``a = 1 AND b > 5``::

    (False if (t1 := (None if (c0 := r[0]) is None else c0 == k0)) is False
           or (t2 := (None if (c1 := r[1]) is None else (v1 := int(c1)) > k1)) is False
     else t1 and t2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import NamedTuple, cast

from django_electric.postgres import values
from django_electric.postgres.values import TYPES
from django_electric.where.errors import EvaluationError
from django_electric.where.folding import comparable, is_mixed_date
from django_electric.where.functions import CASTS, COMPARISONS, FALLIBLE, FAMILIES
from django_electric.where.like import Matcher
from django_electric.where.nodes import (
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
    children,
    type_of,
)

Row = Sequence[str | None]
Evaluator = Callable[[Row], bool | None]

_TEMPLATE = """\
def make({constants}):
    def match(r):
        try:
            return {expression}
        except ERRORS as error:
            raise EvaluationError(str(error)) from error
    return match
"""

_DECODERS: Mapping[str, str] = {
    "bool": '{} in ("t", "true")',
    "int2": "int({})",
    "int4": "int({})",
    "int8": "int({})",
    "float8": "decode_float8({})",
    "numeric": "decode_numeric({})",
    "date": "decode_date({})",
    "timestamp": "decode_timestamp({})",
    "timestamptz": "decode_timestamp({})",
}
"""How a column's text becomes its value; types that are missing are their own text."""

_IS_PLAIN = '{0}[4:5] == "-" and {0}[-1] != "C"'
"""Neither infinity, nor BC, nor a year of more than four digits."""

_NAMESPACE: dict[str, object] = {
    "EvaluationError": EvaluationError,
    "ERRORS": (ArithmeticError, ValueError, TypeError),
    "decode_float8": values.decode_float8,
    "decode_numeric": values.decode_numeric,
    "decode_date": values.decode_date,
    "decode_timestamp": values.decode_timestamp,
}

_MICROSECONDS_PER_DAY = values.MICROSECONDS_PER_DAY


def compile_node(node: Node, positions: Mapping[str, int]) -> Evaluator:
    """The function for a condition; *positions* says where in a row each column stands."""
    writer = _Writer(positions)
    expression = writer.condition(node)
    names = ", ".join(f"k{number}" for number in range(len(writer.constants)))
    source = _TEMPLATE.format(constants=names, expression=expression)
    code = _code(source) if len(source) < 4096 else compile(source, "<where>", "exec")
    namespace = dict(_NAMESPACE)
    exec(code, namespace)  # noqa: S102  # our source: user text reaches it only through *constants*
    make = cast(Callable[..., Evaluator], namespace["make"])
    return make(*writer.constants)


@lru_cache(maxsize=1024)
def _code(source: str) -> CodeType:
    return compile(source, "<where>", "exec")


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
    """Whether there are rows on which Postgres fails."""
    if isinstance(node, Cast) and (type_of(node.operand), node.type) in FALLIBLE:
        return True
    return any(map(can_fail, children(node)))


def compares_texts(left: Node, right: Node) -> bool:
    """Whether equality of the two is equality of their texts, so that nothing need be decoded."""
    if not isinstance(left, Column | Const) or not isinstance(right, Column | Const):
        return False
    if FAMILIES[left.type] == "moment":
        return left.type == right.type
    return TYPES[left.type].is_canonical and TYPES[right.type].is_canonical


def is_plain_order(node: Compare) -> bool:
    """Whether a column of dates or timestamps is ordered against a constant with a plain text."""
    left, right = node.left, node.right
    if not isinstance(left, Column) or not isinstance(right, Const) or left.type != right.type:
        return False
    is_moment = FAMILIES[left.type] == "moment" and COMPARISONS[node.operator].orders
    return is_moment and right.text is not None and right.text[4:5] == "-" and right.text[-1] != "C"


def _texts(variables: frozenset[str]) -> frozenset[str]:
    """Those that hold a column's text."""
    return frozenset(name for name in variables if name.startswith("c"))


class _Side(NamedTuple):
    """An operand in source: what is None if the operand is NULL, and its value if it is not."""

    nullable: str | None
    value: str


class _Writer:
    """One expression being written.

    ``_known`` holds the variables that are certainly set wherever the next piece of source will
    run: ``c<n>`` is a column's text, ``v<n>`` its value (set unless the text is None).
    """

    def __init__(self, positions: Mapping[str, int]) -> None:
        self._positions = positions
        self.constants: list[object] = []
        self._known: frozenset[str] = frozenset()
        self._temporaries = 0

    def condition(self, node: Node) -> str:
        """Source that gives True, False or None."""
        match node:
            case Compare():
                return self._compare(node)
            case And():
                return self._and(node)
            case Or():
                return self._or(node)
            case In():
                return self._membership(node)
            case Like():
                matcher = Matcher(node.pattern, ignores_case=node.ignores_case)
                side = self._side(node.operand)
                return self._strict(side, f"{self._constant(matcher.function)}({side.value})")
            case IsNull():
                return self._is_null(node)
            case IsTruth():
                words = "is not" if node.is_negated else "is"
                return f"({self.condition(node.operand)} {words} {node.value})"
            case Distinct():
                return self._distinct(node)
            case Not():
                return self._not(node)
            case Const():
                return str({"t": True, "f": False, None: None}[node.text])
            case Column() | Cast():
                side = self._side(node)
                return self._strict(side, side.value)

    # --- operands -----------------------------------------------------------------------------

    def _side(self, node: Node, *, beside: str = "", as_text: bool = False) -> _Side:
        """Source for an operand next to one of type *beside*; *as_text* leaves it undecoded."""
        match node:
            case Column():
                side = self._column(node, as_text=as_text)
            case Const():
                value = node.text if as_text else comparable(node, beside)
                return _Side(None, self._constant(value))
            case Cast():
                side = self._cast(node)
            case _:
                return self._nested(node)
        if is_mixed_date(node.type, beside):
            return _Side(side.nullable, f"{side.value} * {_MICROSECONDS_PER_DAY}")
        return side

    def _column(self, node: Column, *, as_text: bool) -> _Side:
        position = self._positions[node.name]
        text, value = f"c{position}", f"v{position}"
        nullable = text if text in self._known else f"({text} := r[{position}])"
        self._known |= {text}
        if as_text or node.type not in _DECODERS:
            return _Side(nullable, text)
        if value in self._known:
            return _Side(nullable, value)
        self._known |= {value}
        return _Side(nullable, f"({value} := {_DECODERS[node.type].format(text)})")

    def _cast(self, node: Cast) -> _Side:
        source = type_of(node.operand)
        prints = node.type == "text" and source != "bool"
        if prints and isinstance(node.operand, Column):
            return self._side(node.operand, as_text=True)
        side = self._side(node.operand)
        return _Side(side.nullable, f"{self._constant(CASTS[source, node.type])}({side.value})")

    def _nested(self, node: Node) -> _Side:
        before = self._known
        source = self.condition(node)
        self._known = before
        if is_never_null(node):
            return _Side(None, source)
        temporary = self._temporary()
        return _Side(f"({temporary} := {source})", temporary)

    def _constant(self, value: object) -> str:
        self.constants.append(value)
        return f"k{len(self.constants) - 1}"

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    # --- conditions ---------------------------------------------------------------------------

    def _strict(self, side: _Side, source: str) -> str:
        return (
            f"(None if {side.nullable} is None else {source})" if side.nullable else f"({source})"
        )

    def _compare(self, node: Compare) -> str:
        operator = COMPARISONS[node.operator].python
        if is_plain_order(node):
            return self._compare_plainly(cast(Column, node.left), cast(Const, node.right), operator)
        if can_fail(node):
            return self._compare_strictly(node, operator)
        as_text = not COMPARISONS[node.operator].orders and compares_texts(node.left, node.right)
        known = self._known
        left = self._side(node.left, beside=type_of(node.right), as_text=as_text)
        after_left = self._known
        # Whether the right side is NULL is asked before the left side is decoded.
        self._known = known | _texts(after_left)
        right = self._side(node.right, beside=type_of(node.left), as_text=as_text)
        # And it is not asked at all if the left side is NULL.
        self._known = known | (after_left if right.nullable is None else _texts(after_left))
        checks = " or ".join(f"{side.nullable} is None" for side in (left, right) if side.nullable)
        source = f"{left.value} {operator} {right.value}"
        return f"(None if {checks} else {source})" if checks else f"({source})"

    def _compare_strictly(self, node: Compare, operator: str) -> str:
        """Both sides are evaluated even if one is NULL, for Postgres would fail then too."""
        left = self._nullable_value(node.left, beside=type_of(node.right))
        right = self._nullable_value(node.right, beside=type_of(node.left))
        one, two = self._temporary(), self._temporary()
        checks = f"(({one} := {left}) is None) | (({two} := {right}) is None)"
        return f"(None if {checks} else {one} {operator} {two})"

    def _compare_plainly(self, column: Column, constant: Const, operator: str) -> str:
        """Dates and timestamps of four-digit years are in the order of their texts: try that first."""
        text = self._side(column, as_text=True)
        plain, value = self._constant(constant.text), self._constant(comparable(constant, ""))
        decoded = _DECODERS[column.type].format(text.value)
        source = f"{text.value} {operator} {plain} if {_IS_PLAIN.format(text.value)} else {decoded} {operator} {value}"
        return self._strict(text, source)

    def _distinct(self, node: Distinct) -> str:
        """NULL is None, which Python distinguishes from every value as this operator does."""
        as_text = compares_texts(node.left, node.right)
        left = self._nullable_value(node.left, beside=type_of(node.right), as_text=as_text)
        right = self._nullable_value(node.right, beside=type_of(node.left), as_text=as_text)
        return f"({left} {'==' if node.is_negated else '!='} {right})"

    def _membership(self, node: In) -> str:
        first = node.items[0]
        as_text = compares_texts(node.operand, first)
        side = self._side(node.operand, beside=first.type, as_text=as_text)
        other = type_of(node.operand)
        items = {item.text if as_text else comparable(item, other) for item in node.items}
        unless_null = " or None" if node.has_null else ""
        return self._strict(side, f"{side.value} in {self._constant(items)}{unless_null}")

    def _is_null(self, node: IsNull) -> str:
        operand = self._nullable_value(node.operand, as_text=isinstance(node.operand, Column))
        return f"({operand} {'is not' if node.is_negated else 'is'} None)"

    def _nullable_value(self, node: Node, *, beside: str = "", as_text: bool = False) -> str:
        """Source of any node: its value or None."""
        if not isinstance(node, Column | Const | Cast):
            return self.condition(node)
        side = self._side(node, beside=beside, as_text=as_text)
        return side.nullable if side.nullable and as_text else self._strict(side, side.value)

    def _not(self, node: Not) -> str:
        side = (
            self._side(node.operand)
            if isinstance(node.operand, Column)
            else self._nested(node.operand)
        )
        return self._strict(side, f"not {side.value}")

    # --- AND and OR ---------------------------------------------------------------------------

    def _arms(self, node: And | Or, decisive: str) -> tuple[str, list[str]]:
        """The test that some arm decides, arms in order, and where each arm that may be NULL is kept."""
        tests, kept = [], []
        after_first = self._known
        for number, arm in enumerate(node.operands):
            source = self.condition(arm)
            if number == 0:
                after_first = self._known
            if is_never_null(arm):
                tests.append(source if decisive == "True" else f"not {source}")
                continue
            kept.append(self._temporary())
            tests.append(f"({kept[-1]} := {source}) is {decisive}")
        self._known = after_first
        return " or ".join(tests), kept

    def _and(self, node: And) -> str:
        tests, kept = self._arms(node, "False")
        return f"(False if {tests} else {' and '.join(kept) or 'True'})"

    def _or(self, node: Or) -> str:
        tests, kept = self._arms(node, "True")
        unknown = " or ".join(f"{name} is None" for name in kept)
        return f"(True if {tests} else {f'None if {unknown} else False' if kept else 'False'})"

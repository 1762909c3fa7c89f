"""One typed tree being written as a Python expression."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

from django_electric.postgres.values import MICROSECONDS_PER_DAY, Array
from django_electric.where.decoding import decoding, is_own_text
from django_electric.where.families import COMPARISONS
from django_electric.where.folding import comparable, is_mixed_date
from django_electric.where.functions import implementation
from django_electric.where.implementations import Implementation
from django_electric.where.implementations.casts import conversion, with_modifier
from django_electric.where.implementations.strings import folded_upper
from django_electric.where.like import Matcher, fold
from django_electric.where.nodes import (
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
    type_of,
)
from django_electric.where.runtime import arrays
from django_electric.where.traits import can_fail, compares_texts, is_never_null, is_plain_order
from django_electric.where.types import element_of, is_array

_IS_PLAIN = '{0}[4:5] == "-" and {0}[-1] != "C"'
"""Neither infinity, nor BC, nor a year of more than four digits."""

_PYTHON: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _texts(variables: frozenset[str]) -> frozenset[str]:
    """Those that hold a column's text."""
    return frozenset(name for name in variables if name.startswith("c"))


class _Side(NamedTuple):
    """An operand in source: what is None if the operand is NULL, and its value if it is not."""

    nullable: str | None
    value: str


class Writer:
    """One expression being written.

    ``_known`` holds the variables that are certainly set wherever the next piece of source will
    run: ``c<n>`` is a column's text, ``v<n>`` its value (set unless the text is None).
    """

    def __init__(self, positions: Mapping[str, int], *, are_columns_known: bool = False) -> None:
        self._positions = positions
        self.constants: list[object] = []
        kinds = "cv" if are_columns_known else ""
        self._known = frozenset(f"{kind}{place}" for place in positions.values() for kind in kinds)
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
                return self._like(node)
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
                return self._constant_condition(node)
            case Column() | Cast():
                side = self._side(node)
                return self._strict(side, side.value)
            case Quantifier():
                return self._quantifier(node)
            case _:
                return self._expression(node)

    def _constant_condition(self, node: Const) -> str:
        if node.type == "bool":
            return str({"t": True, "f": False, None: None}[node.text])
        return "None" if node.text is None else self._constant(comparable(node, ""))

    def _expression(self, node: Node) -> str:
        """Source of a value of any type, or None."""
        before = self._known
        match node:
            case Call():
                source = self._call(node)
            case Case():
                source = self._case(node)
            case Coalesce():
                source = self._coalesce(node)
            case Extreme():
                function = _greatest if node.what == "GREATEST" else _least
                source = self._function(function, node.operands)
            case ArrayOf():
                function = _nested_array if is_array(type_of(node.items[0])) else _flat_array
                source = self._function(function, node.items)
            case Subscript():
                source = self._subscript(node)
            case _:  # pragma: no cover  # all kinds of nodes are above
                raise TypeError(node)
        self._known = before
        return source

    # --- operands -----------------------------------------------------------------------------

    def _side(self, node: Node, *, beside: str = "", as_text: bool = False) -> _Side:
        """Source for an operand next to one of type *beside*; *as_text* leaves it undecoded."""
        match node:
            case Column():
                side = self._column(node, as_text=as_text)
            case Const():
                if node.text is None:
                    return _Side("None", "None")
                value = node.text if as_text else comparable(node, beside)
                return _Side(None, self._constant(value))
            case Cast():
                side = self._cast(node)
            case _:
                side = self._nested(node)
        if is_mixed_date(type_of(node), beside):
            return _Side(side.nullable, f"{side.value} * {MICROSECONDS_PER_DAY}")
        return side

    def _column(self, node: Column, *, as_text: bool) -> _Side:
        position = self._positions[node.name]
        text, value = f"c{position}", f"v{position}"
        nullable = text if text in self._known else f"({text} := r[{position}])"
        self._known |= {text}
        if as_text or is_own_text(node.type):
            return _Side(nullable, text)
        if value in self._known:
            return _Side(nullable, value)
        self._known |= {value}
        return _Side(nullable, f"({value} := {decoding(node.type).format(text)})")

    def _cast(self, node: Cast) -> _Side:
        source = type_of(node.operand)
        if _prints_itself(source, node) and isinstance(node.operand, Column):
            return self._side(node.operand, as_text=True)
        side = self._side(node.operand)
        convert = conversion(source, node.type)
        assert convert is not None
        value = side.value if convert.is_identity else self._applied(convert.function, side.value)
        if node.modifier:
            fit = with_modifier(node.type, node.modifier)
            assert fit is not None
            value = self._applied(fit, value)
        if not convert.may_be_null:
            return _Side(side.nullable, value)
        temporary = self._temporary()
        return _Side(f"({temporary} := {self._strict(side, value)})", temporary)

    def _applied(self, function: Callable[..., object], value: str) -> str:
        return f"{self._constant(function)}({value})"

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
        if folding := self._compare_folded(node, operator):
            return folding
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

    def _compare_folded(self, node: Compare, operator: str) -> str:
        """``upper`` of something beside a constant; empty if it is something else."""
        if COMPARISONS[node.operator].orders or not isinstance(node.right, Const):
            return ""
        text = node.right.text or ""
        folding = _folding(node.left, is_ascii=text.isascii())
        if folding is None or not isinstance(node.left, Call):
            return ""
        side = self._side(node.left.arguments[0])
        folded = f"{self._constant(folding)}({side.value})"
        return self._strict(side, f"{folded} {operator} {self._constant(text)}")

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
        decoded = decoding(column.type).format(text.value)
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
        if not isinstance(node, Column | Const | Cast) and not is_mixed_date(type_of(node), beside):
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

    # --- expressions --------------------------------------------------------------------------

    def _call(self, node: Call) -> str:
        done = implementation(node.name, node.signature, [type_of(one) for one in node.arguments])
        assert done is not None
        if not node.is_strict:
            return self._function(done.function, node.arguments)
        if any(map(can_fail, node.arguments[1:])):
            checks, values = self._evaluated(node.arguments)
        else:
            checks, values = self._checked(node.arguments)
        source = self._body(done, values)
        return f"(None if {checks} else {source})" if checks else f"({source})"

    def _body(self, done: Implementation, values: list[str]) -> str:
        if done.source:
            name = self._constant(done.function) if "{function}" in done.source else ""
            return done.source.format(*values, function=name, temporary=self._temporary())
        return f"{self._constant(done.function)}({', '.join(values)})"

    def _checked(self, arguments: tuple[Node, ...]) -> tuple[str, list[str]]:
        """The test whether some argument is NULL, up to the first that is; and their values."""
        known, checks, values = self._known, [], []
        for one in arguments:
            side = self._side(one)
            # Values are decoded after all of the tests.
            known = self._known = known | _texts(self._known)
            checks += [f"{side.nullable} is None"] if side.nullable else []
            values.append(side.value)
        return " or ".join(checks), values

    def _evaluated(self, arguments: tuple[Node, ...]) -> tuple[str, list[str]]:
        """The same, but all are evaluated even if one is NULL, for Postgres would fail then too."""
        checks, values = [], []
        for one in arguments:
            known = self._known
            source = self._nullable_value(one)
            self._known = known
            values.append(self._temporary())
            checks.append(f"(({values[-1]} := {source}) is None)")
        return " | ".join(checks), values

    def _function(self, function: Callable[..., object], arguments: tuple[Node, ...]) -> str:
        """One that is called with NULL as well."""
        sources = []
        for one in arguments:
            known = self._known
            sources.append(self._nullable_value(one))
            self._known = known
        return f"{self._constant(function)}({', '.join(sources)})"

    def _case(self, node: Case) -> str:
        pieces = []
        for condition, result in node.arms:
            test = self.condition(condition)
            after_test = self._known
            pieces.append(f"{self._nullable_value(result)} if {test} is True else ")
            self._known = after_test
        return f"({''.join(pieces)}{self._nullable_value(node.default)})"

    def _coalesce(self, node: Coalesce) -> str:
        pieces = []
        for one in node.operands[:-1]:
            source, temporary = self._nullable_value(one), self._temporary()
            pieces.append(f"{temporary} if ({temporary} := {source}) is not None else ")
        return f"({''.join(pieces)}{self._nullable_value(node.operands[-1])})"

    def _subscript(self, node: Subscript) -> str:
        subscripts = node.subscripts
        if not isinstance(subscripts[0], Slice):
            places = tuple(one for one in subscripts if not isinstance(one, Slice))
            return self._function(_item, (node.operand, *places))
        ends = [end for one in subscripts if isinstance(one, Slice) for end in (one.low, one.high)]
        given = tuple(end for end in ends if end is not None)
        is_given = tuple(end is not None for end in ends)
        return self._function(partial(_slice, is_given), (node.operand, *given))

    def _quantifier(self, node: Quantifier) -> str:
        known = self._known
        element = element_of(type_of(node.array))
        compare = _PYTHON.get(node.operator)
        if compare is None:
            done = implementation(node.operator, node.signature, [type_of(node.left), element])
            assert done is not None
            compare = done.function
        decide = arrays.all_ if node.is_all else arrays.any_
        source = self._function(partial(_quantified, decide, compare), (node.left, node.array))
        self._known = known
        return source

    def _like(self, node: Like) -> str:
        operand, matcher = node.operand, Matcher(node.pattern, ignores_case=node.ignores_case)
        if folding := _folding(operand, is_ascii=node.pattern.isascii()):
            assert isinstance(operand, Call)
            side = self._side(operand.arguments[0])
            text = f"{self._constant(folding)}({side.value})"
        else:
            side = self._side(operand)
            text = side.value
        return self._strict(side, f"{self._constant(matcher.function)}({text})")

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


def _folding(node: Node, *, is_ascii: bool) -> Callable[[str], str] | None:
    """How ``upper`` or ``lower`` is done beside a text in ASCII: other letters need not be known."""
    if not is_ascii or not isinstance(node, Call) or len(node.arguments) != 1:
        return None
    return {"upper": folded_upper, "lower": fold}.get(node.name)


def _prints_itself(source: str, node: Cast) -> bool:
    """Whether a cast to text gives the text that a column already is."""
    return (
        node.type in ("text", "varchar") and not node.modifier and source not in ("bool", "bpchar")
    )


def _greatest(*values: Any) -> Any:
    return max((one for one in values if one is not None), default=None)


def _least(*values: Any) -> Any:
    return min((one for one in values if one is not None), default=None)


def _flat_array(*items: Any) -> Array:
    return arrays.make(items)


def _nested_array(*items: Any) -> Array:
    return arrays.make_nested(items)


def _item(array: Any, *places: Any) -> Any:
    return None if array is None else arrays.item(array, *places)


def _slice(is_given: tuple[bool, ...], array: Any, *given: Any) -> Any:
    if array is None:
        return None
    rest = iter(given)
    ends = [next(rest) if one else arrays.ABSENT for one in is_given]
    return arrays.slice_(array, *zip(ends[::2], ends[1::2], strict=True))


def _quantified(decide: Any, compare: Any, left: Any, array: Any) -> bool | None:
    return None if array is None else cast("bool | None", decide(left, array, compare))

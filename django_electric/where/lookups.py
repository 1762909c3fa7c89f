"""By what a column's value a condition can be looked up: what the router's indexes need to know.

A row can match only if one of the condition's lookups hits; the residual is then what is left to be
evaluated (FILTER.md section 3). What a lookup hits is said by its key, of which there are six kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from django_electric.postgres.values import TYPES, array_type
from django_electric.where import folding
from django_electric.where.families import FAMILIES
from django_electric.where.like import pieces_of
from django_electric.where.nodes import (
    TRUE,
    And,
    Call,
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
    Quantifier,
    children,
    type_of,
)
from django_electric.where.traits import can_fail, compares_texts


class Same(NamedTuple):
    """The column's value equals *value*; for types whose equal values may differ in text."""

    type: str
    value: Any


class Span(NamedTuple):
    """The column's value lies between two bounds.

    A bound is a value and where it cuts: a value ``v`` lies within if ``low < (v, 0.5) < high``. None
    is no bound.
    """

    type: str
    low: tuple[Any, float] | None
    high: tuple[Any, float] | None


class Prefix(NamedTuple):
    """The column's text begins with *text*; folded to lower case if *ignores_case*."""

    text: str
    ignores_case: bool


class Part(NamedTuple):
    """The column's text holds *text* somewhere."""

    text: str
    ignores_case: bool


class Holds(NamedTuple):
    """The column is an array, and *items* are all among its elements."""

    type: str
    """Of the elements."""
    items: frozenset[Any]


class Present(NamedTuple):
    """The column is not NULL."""

    is_present: bool = True


Key = str | None | Same | Span | Prefix | Part | Holds | Present
"""A str is the column's whole text, None is NULL."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows whose *column* is as *key* says match if *residual* is true."""

    column: str
    key: Key
    residual: Node | None = None
    """None: every hit is a match."""


_Lookups = tuple[Lookup, ...]

BELOW, ABOVE = 0, 1
"""Where a bound cuts: before its value, so that the value lies above it, or behind."""


def lookups_of(node: Node) -> _Lookups | None:
    """The lookups of a condition, none if it is never true; None if it must be evaluated always."""
    match node:
        case And():
            return _of_and(node)
        case Or():
            return _of_or(node)
        case Const():
            return None if node == TRUE else ()
        case Compare() if node.operator == "=":
            return _of_equality(node.left, [node.right])
        case Call(name=name, arguments=(left, right)) if name in _ARRAYS_COMPARED:
            return _of_arrays(left, name, right)
        case Quantifier(operator="=", is_all=False):
            return _of_element(node.left, node.array)
        case Compare():
            span = _span(node)
            return (Lookup(*span),) if span else None
        case In():
            return _of_equality(node.operand, node.items)
        case Distinct() if node.is_negated:
            return _of_equality(node.left, [node.right])
        case Like():
            return _of_like(node)
        case IsNull() if isinstance(node.operand, Column):
            return (Lookup(node.operand.name, Present() if node.is_negated else None),)
        case IsTruth() if isinstance(node.operand, Column):
            return _of_truth(node.operand, node.value, is_negated=node.is_negated)
        case Column():
            return (Lookup(node.name, "t"),)
        case Not(Column() as column):
            return (Lookup(column.name, "f"),)
        case _:
            return None


def _of_truth(column: Column, value: bool, *, is_negated: bool) -> _Lookups:
    key = "t" if value != is_negated else "f"
    found = Lookup(column.name, key)
    return (found, Lookup(column.name, None)) if is_negated else (found,)


# --- equality -------------------------------------------------------------------------------------


def _of_equality(operand: Node, items: Iterable[Node]) -> _Lookups | None:
    if _is_never_whole(operand, items):
        return ()
    lookups = []
    for item in items:
        key = _equality_key(operand, item)
        column = _column_of(operand)
        if key is None or column is None:
            return None
        lookups.append(Lookup(column.name, key))
    return tuple(lookups)


def _equality_key(operand: Node, item: Node) -> str | Same | None:
    if not isinstance(item, Const) or item.text is None:
        return None
    if isinstance(operand, Column) and (operand.type == "bool" or compares_texts(operand, item)):
        return item.text
    column = _column_of(operand)
    return (
        Same(column.type, _value(column, item)) if column and _is_comparable(column, item) else None
    )


def _is_never_whole(operand: Node, items: Iterable[Node]) -> bool:
    """Whether an integer column is compared with fractions only, which it never equals."""
    if not isinstance(operand, Cast) or operand.type != "numeric":
        return False
    if FAMILIES.get(type_of(operand.operand)) != "integer":
        return False
    return all(isinstance(item, Const) and _is_fraction(item) for item in items)


def _is_fraction(item: Const) -> bool:
    number = Decimal(item.text or "NaN")
    return not number.is_finite() or number != number.to_integral_value()


# --- order ----------------------------------------------------------------------------------------


def _column_of(operand: Node) -> Column | None:
    """The column that the value of *operand* is: an integer compares as a numeric without being one."""
    if isinstance(operand, Cast) and operand.type == "numeric":
        inner = operand.operand
        is_integer = isinstance(inner, Column) and FAMILIES.get(inner.type) == "integer"
        return inner if is_integer and isinstance(inner, Column) else None
    return operand if isinstance(operand, Column) else None


def _is_comparable(column: Column, item: Const) -> bool:
    """Whether decoded values of the two compare as they are."""
    families = FAMILIES.get(column.type), FAMILIES.get(item.type)
    if None in families:
        return False
    if column.type == "date":
        return item.type == "date"
    return families[0] == families[1] or families == ("integer", "numeric")


def _value(column: Column, item: Const) -> Any:
    return folding.comparable(item, column.type)


def _span(node: Node) -> tuple[str, Span] | None:
    """The column and the range of a comparison with a constant."""
    if not isinstance(node, Compare) or node.operator not in ("<", "<=", ">", ">="):
        return None
    column, item = _column_of(node.left), node.right
    if column is None or not isinstance(item, Const) or item.text is None:
        return None
    if not _is_comparable(column, item):
        return None
    value = _value(column, item)
    match node.operator:
        case "<":
            return column.name, Span(column.type, None, (value, BELOW))
        case "<=":
            return column.name, Span(column.type, None, (value, ABOVE))
        case ">":
            return column.name, Span(column.type, (value, ABOVE), None)
        case _:
            return column.name, Span(column.type, (value, BELOW), None)


def _spans(arms: Iterable[Node]) -> Iterator[tuple[_Lookups, tuple[Node, ...]]]:
    """Ranges that several arms make of one column together, each with these arms."""
    found: dict[tuple[str, str], list[tuple[Node, Span]]] = {}
    for arm in arms:
        if span := _span(arm):
            found.setdefault((span[0], span[1].type), []).append((arm, span[1]))
    for (column, type_name), parts in found.items():
        low = max((span.low for _, span in parts if span.low), default=None)
        high = min((span.high for _, span in parts if span.high), default=None)
        lookups: _Lookups = (Lookup(column, Span(type_name, low, high)),)
        if low is not None and high is not None and not low < high:
            lookups = ()
        yield lookups, tuple(arm for arm, _ in parts)


# --- arrays ---------------------------------------------------------------------------------------

_ARRAYS_COMPARED = {"@>": "<@", "<@": "@>", "&&": "&&"}
"""Operators between arrays that an index can serve, and what they become when their sides change places."""


def _element_of(column: Column) -> str | None:
    """The type of an array's elements, if an index can tell them apart."""
    element = column.type.removesuffix("[]")
    return element if element != column.type and element in TYPES else None


def _of_element(item: Node, array: Node) -> _Lookups | None:
    """``constant = ANY (column)``."""
    if not isinstance(item, Const) or item.text is None or not isinstance(array, Column):
        return None
    if item.type != _element_of(array):
        return None
    return (Lookup(array.name, Holds(item.type, frozenset((TYPES[item.type].decode(item.text),)))),)


def _of_arrays(left: Node, operator: str, right: Node) -> _Lookups | None:
    """``column @> constant``, ``constant <@ column``, ``column && constant``, ``constant && column``."""
    if isinstance(left, Const):
        left, operator, right = right, _ARRAYS_COMPARED[operator], left
    if not isinstance(left, Column) or not isinstance(right, Const) or right.text is None:
        return None
    element = _element_of(left)
    if element is None or left.type != right.type:
        return None
    items = array_type(TYPES[element]).decode(right.text).items
    known = [item for item in dict.fromkeys(items) if item is not None]
    if operator == "&&":
        return tuple(Lookup(left.name, Holds(element, frozenset((item,)))) for item in known)
    if operator == "@>":
        # No array holds NULL, as far as this operator is concerned.
        return (Lookup(left.name, Holds(element, frozenset(known))),) if None not in items else ()
    return None


# --- LIKE -----------------------------------------------------------------------------------------


def _of_like(node: Like) -> _Lookups | None:
    if not isinstance(node.operand, Column) or FAMILIES.get(node.operand.type) != "text":
        return None
    pattern = node.pattern.lower() if node.ignores_case else node.pattern
    pieces = pieces_of(pattern)
    prefix = _leading(pieces[0])
    part = max((run for piece in pieces for run in _runs(piece)), key=len, default="")
    if not part:
        return None
    if len(pieces) == 1 and len(prefix) == len(pieces[0]) and not node.ignores_case:
        return (Lookup(node.operand.name, prefix),)
    is_exact = len(pieces) == 2 and len(prefix) == len(pieces[0]) and not pieces[1]
    if prefix and (is_exact or len(prefix) >= min(len(part), 3)):
        residual = None if is_exact else node
        return (Lookup(node.operand.name, Prefix(prefix, node.ignores_case), residual),)
    is_exact = len(pieces) == 3 and not pieces[0] and not pieces[2] and len(part) == len(pieces[1])
    residual = None if is_exact else node
    return (Lookup(node.operand.name, Part(part, node.ignores_case), residual),)


def _runs(piece: tuple[str | None, ...]) -> Iterator[str]:
    """The literal characters in a row between the wildcards of a piece."""
    run: list[str] = []
    for character in (*piece, None):
        if character is not None:
            run.append(character)
        elif run:
            yield "".join(run)
            run = []


def _leading(piece: tuple[str | None, ...]) -> str:
    return next(_runs(piece), "") if piece and piece[0] is not None else ""


# --- AND and OR -----------------------------------------------------------------------------------


def plans_of(node: Node) -> tuple[_Lookups, ...]:
    """Every choice of lookups that would do for a condition, the most selective first.

    Which of them really is the most selective depends on what other conditions there are. The first is
    that of `lookups_of`; none means that the condition must be evaluated always.
    """
    if isinstance(node, And):
        return tuple(_plans_of_and(node))
    lookups = lookups_of(node)
    return () if lookups is None else (lookups,)


def _of_and(node: And) -> _Lookups | None:
    """Those of the most selective arm; all the others are residual."""
    return next(_plans_of_and(node), None)


def _plans_of_and(node: And) -> Iterator[_Lookups]:
    found = [(lookups_of(arm), (arm,)) for arm in node.operands if _span(arm) is None]
    usable: list[tuple[_Lookups, tuple[Node, ...]]] = [
        (lookups, arms) for lookups, arms in found if lookups is not None
    ]
    usable += _spans(node.operands)
    types = _column_types(node)
    ranked = [(_rank(lookups, types), lookups, drivers) for lookups, drivers in usable]
    # Nearly every row has a value: that alone is no reason to evaluate the rest for each shape on its own.
    if all(rank[0] == _PRESENT for rank, _, _ in ranked) and len(ranked) < len(node.operands):
        return
    for _, lookups, drivers in sorted(ranked, key=lambda one: one[0]):
        rest = [arm for arm in node.operands if not any(arm is driver for driver in drivers)]
        yield tuple(_with_residual(lookup, rest) for lookup in lookups)


def _with_residual(lookup: Lookup, rest: list[Node]) -> Lookup:
    if not rest:
        return lookup
    left = rest if lookup.residual is None else [lookup.residual, *rest]
    return replace(lookup, residual=folding.conjunction(left))


def _column_types(node: Node) -> dict[str, str]:
    if isinstance(node, Column):
        return {node.name: node.type}
    return {name: kind for child in children(node) for name, kind in _column_types(child).items()}


_PRESENT = 8


def _rank(lookups: _Lookups, types: dict[str, str]) -> tuple[int, int]:
    """Smaller is more selective: the worst of the lookups, then how many they are."""
    kinds = [_kind(lookup, types) for lookup in lookups]
    return max([*kinds, 1 if len(lookups) > 1 else 0]), len(lookups)


def _kind(lookup: Lookup, types: dict[str, str]) -> int:
    match lookup.key:
        case None:
            return 4
        case Present():
            return _PRESENT
        case Holds(_, items):
            return 2 if items else 7
        case Prefix(text) | Part(text):
            return 2 if len(text) >= 3 else 6
        case Span(_, low, high):
            return 3 if low is not None and high is not None else 5
        case _:
            return 7 if types[lookup.column] == "bool" else 0


def _of_or(node: Or) -> _Lookups | None:
    """Those of all arms; one for each key, since a shape is found by a key once."""
    rests: dict[tuple[str, Key], list[Node]] = {}
    for arm in node.operands:
        lookups = lookups_of(arm)
        if lookups is None:
            return None
        for one in lookups:
            rests.setdefault((one.column, one.key), []).append(one.residual or TRUE)
    if any(map(can_fail, node.operands)):
        # An arm that fails decides, even if another one's key hits.
        return tuple(Lookup(column, key, node) for column, key in rests)
    return tuple(
        Lookup(column, key, None if TRUE in rest else folding.disjunction(dict.fromkeys(rest)))
        for (column, key), rest in rests.items()
    )

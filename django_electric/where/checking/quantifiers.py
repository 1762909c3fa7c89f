"""ANY and ALL."""

from __future__ import annotations

from collections.abc import Sequence

from django_electric.where import folding
from django_electric.where.checking.comparisons import Comparisons
from django_electric.where.checking.operands import NO_OPERATOR, check_repeated
from django_electric.where.coercion import (
    Operand,
    Untyped,
    operand_type,
)
from django_electric.where.computing import computed
from django_electric.where.errors import WhereError
from django_electric.where.families import COMPARISONS, family
from django_electric.where.functions import FOLDS_CASE, implementation
from django_electric.where.nodes import (
    UNKNOWN,
    Column,
    Const,
    Node,
    Quantification,
    Quantifier,
)
from django_electric.where.resolve import Resolved
from django_electric.where.traits import can_fail
from django_electric.where.types import (
    UNKNOWN_TYPE,
    array_of,
    element_of,
    is_array,
    value_type,
)

_MOST_EXPANDED = 100
"""A quantifier over a constant array of so many items is written out."""


class Quantifiers(Comparisons):
    """A comparison with each item of an array."""

    def _quantification(self, syntax: Quantification) -> Node:
        left, right = self._operand(syntax.left), self._operand(syntax.right)
        is_untyped = isinstance(right, Untyped)
        if not is_untyped and not is_array(operand_type(right)):
            raise WhereError("argument of ANY must be an array", at=syntax.right.at)
        element = UNKNOWN_TYPE if is_untyped else element_of(operand_type(right))
        name, at = syntax.operator, syntax.at
        probe = Untyped("", at) if element == UNKNOWN_TYPE else Column("", element)
        resolved = self._resolved_operator(name, (left, probe), at)
        if resolved.result != "bool":
            raise WhereError("ANY/ALL requires operator that returns bool", at=at)
        if is_array(resolved.arguments[1]):
            raise WhereError("an array of arrays is left to Postgres", at=at)
        array = self._as(right, array_of(resolved.arguments[1]))
        if not isinstance(array, Const):
            return self._quantified(syntax, self._as(left, resolved.arguments[0]), array, resolved)
        if array.text is None:
            if can_fail(self._as(left, resolved.arguments[0])):
                raise WhereError("NULL for an array beside what may fail is left to Postgres")
            return UNKNOWN
        items = _items(array)
        if not items:
            return folding.constantly(syntax.is_all, self._as(left, resolved.arguments[0]))
        return self._constant_quantified(syntax, left, array, items)

    def _constant_quantified(
        self, syntax: Quantification, left: Operand, array: Const, items: Sequence[Const]
    ) -> Node:
        """Over a constant array of some *items*: what IN, AND and OR say as well."""
        name, element = syntax.operator, element_of(array.type)
        # A list of IN is of one type with its operand, so dates beside a timestamp are compared one by one.
        is_mixed = folding.is_mixed_date(element, operand_type(left))
        if (name, syntax.is_all) in (("=", False), ("<>", True)) and not is_mixed:
            found = self._listed(left, items, element, syntax.at)
            return folding.negation(found) if syntax.is_all else found
        if len(items) > _MOST_EXPANDED:
            raise WhereError("a long constant array is left to Postgres", at=syntax.at)
        check_repeated((left,), syntax.at)
        arms = [self._operation(name, (left, item), syntax.at) for item in items]
        return (folding.conjunction if syntax.is_all else folding.disjunction)(arms)

    def _quantified(
        self, syntax: Quantification, left: Node, array: Node, resolved: Resolved
    ) -> Node:
        name, types = syntax.operator, resolved.arguments
        if name in COMPARISONS:
            if family(types[0]) is None or family(types[0]) != family(types[1]):
                raise WhereError(NO_OPERATOR, at=syntax.at)
            if folding.is_mixed_date(*types) or folding.is_mixed_date(*reversed(types)):
                raise WhereError("dates beside timestamps are left to Postgres", at=syntax.at)
            if COMPARISONS[name].orders:
                self._check_order((left, array), syntax.at)
        elif implementation(name, resolved.signature.arguments, types) is None:
            raise WhereError(f"{name} of these types is left to Postgres", at=syntax.at)
        elif name in FOLDS_CASE and not self._locale.lowers_ascii:
            raise WhereError(f"{name} depends on the database's locale", at=syntax.at)
        signature = resolved.signature.arguments
        return computed(Quantifier(name, left, array, signature, syntax.is_all))


def _items(array: Const) -> list[Const]:
    """The items of a constant array, in order, however many dimensions it has."""
    kind = element_of(array.type)
    encode = value_type(kind).encode
    items = value_type(array.type).decode(array.text or "").items
    return [Const(kind, None if one is None else encode(one)) for one in items]

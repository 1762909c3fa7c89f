"""CASE, COALESCE and their like; arrays and their subscripts."""

from __future__ import annotations

from collections.abc import Sequence

from django_electric.where import folding
from django_electric.where.checking.comparisons import case_of
from django_electric.where.checking.operands import check_repeated
from django_electric.where.checking.quantifiers import Quantifiers
from django_electric.where.coercion import (
    Operand,
    Row,
    Untyped,
    is_resolvable,
    unasked,
)
from django_electric.where.computing import computed
from django_electric.where.errors import WhereError
from django_electric.where.families import family
from django_electric.where.nodes import (
    Alternatives,
    ArrayOf,
    Bounds,
    Choice,
    Coalesce,
    Const,
    Extreme,
    Indexing,
    Listing,
    Node,
    Slice,
    Subscript,
    Syntax,
    type_of,
)
from django_electric.where.types import (
    array_of,
    element_of,
    is_array,
    is_known,
)


class Choices(Quantifiers):
    """Expressions that are one of several, or several in one."""

    def _choice(self, syntax: Choice) -> Node:
        subject = None if syntax.subject is None else self._operand(syntax.subject)
        if isinstance(subject, Untyped):
            subject = self._typed(subject, "text")
        if subject is not None and len(syntax.arms) > 1:
            check_repeated((subject,), syntax.at)
        conditions = [
            self._boolean(when)
            if subject is None
            else self._operation("=", (subject, self._operand(when)), when.at)
            for when, _ in syntax.arms
        ]
        results = [self._operand(then) for _, then in syntax.arms]
        default = (
            Untyped(None, syntax.at) if syntax.default is None else self._operand(syntax.default)
        )
        kind = self._common("CASE", (default, *results), syntax.at)
        typed = [self._as(one, kind) for one in results]
        return case_of(list(zip(conditions, typed, strict=True)), self._as(default, kind), kind)

    def _alternatives(self, syntax: Alternatives) -> Node:
        operands = [self._operand(one) for one in syntax.operands]
        if syntax.what == "NULLIF":
            return self._null_if(operands[0], operands[1], syntax.at)
        kind = self._common(syntax.what, operands, syntax.at)
        nodes = tuple(self._as(one, kind) for one in operands)
        if syntax.what == "COALESCE":
            return _coalesce(nodes, kind)
        if family(kind) is None:
            raise WhereError(f"{syntax.what} of {kind} is left to Postgres", at=syntax.at)
        if len(nodes) > 1:
            self._check_order(nodes, syntax.at)
        return computed(Extreme(syntax.what, nodes, kind))

    def _null_if(self, left: Operand, right: Operand, at: int) -> Node:
        """NULL if the two are equal, else the first, as the operator takes it."""
        check_repeated((left,), at)
        is_same = self._operation("=", (left, right), at)
        wanted = self._resolved_operator("=", (left, right), at).arguments[0]
        node = self._as(left, wanted)
        return case_of([(is_same, Const(wanted, None))], node, wanted)

    def _listing(self, syntax: Listing) -> Node:
        if not syntax.items:
            raise WhereError("cannot determine type of empty array", at=syntax.at)
        operands = [self._operand(one) for one in syntax.items]
        kind = self._common("ARRAY", operands, syntax.at)
        if not is_known(kind):
            raise WhereError(f"arrays of {kind} are left to Postgres", at=syntax.at)
        nodes = tuple(self._as(one, kind) for one in operands)
        return computed(ArrayOf(nodes, kind if is_array(kind) else array_of(kind)))

    def _indexing(self, syntax: Indexing) -> Node:
        operand = self._operand(syntax.operand)
        if isinstance(operand, Untyped | Row) or not is_array(type_of(operand)):
            raise WhereError("A_Indirection is not supported in this context", at=syntax.at)
        kind = type_of(operand)
        if not is_known(kind):
            raise WhereError(f"arrays of {kind} are left to Postgres", at=syntax.at)
        if any(isinstance(one, Bounds) for one in syntax.subscripts):
            slices = tuple(map(self._slice, syntax.subscripts))
            return computed(Subscript(operand, slices, kind))
        places = (one for one in syntax.subscripts if not isinstance(one, Bounds))
        subscripts = tuple(map(self._subscript, places))
        return computed(Subscript(operand, subscripts, element_of(kind)))

    def _slice(self, syntax: Syntax | Bounds) -> Slice:
        """Among slices, a subscript alone is the end of one that begins at 1."""
        if not isinstance(syntax, Bounds):
            return Slice(Const("int4", "1"), self._subscript(syntax))
        ends = [None if end is None else self._subscript(end) for end in (syntax.low, syntax.high)]
        return Slice(*ends)

    def _subscript(self, syntax: Syntax) -> Node:
        node = self._typed(self._operand(syntax), "int4")
        if not is_resolvable([type_of(node)]):
            raise WhereError(f"{type_of(node)} cannot be matched to int4", at=syntax.at)
        return node if type_of(node) == "int4" else unasked(node, "int4", context="a")


def _coalesce(nodes: Sequence[Node], kind: str) -> Node:
    kept: list[Node] = []
    for node in nodes:
        if folding.is_null_const(node):
            continue
        kept.append(node)
        if isinstance(node, Const):
            break
    if not kept:
        return Const(kind, None)
    return Coalesce(tuple(kept), kind) if len(kept) > 1 else kept[0]

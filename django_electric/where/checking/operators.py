"""Operators and functions, LIKE among them, by the overload that Postgres would choose."""

from __future__ import annotations

from collections.abc import Sequence

from django_electric.where import catalog, folding, resolve
from django_electric.where.checking.operands import NO_OPERATOR, Operands
from django_electric.where.coercion import (
    Operand,
    Row,
    is_resolvable,
    operand_type,
)
from django_electric.where.computing import computed
from django_electric.where.errors import WhereError
from django_electric.where.families import COMPARISONS
from django_electric.where.functions import FOLDS_CASE, implementation
from django_electric.where.implementations.casts import conversion
from django_electric.where.like import pieces_of, with_backslash
from django_electric.where.nodes import (
    UNKNOWN,
    Call,
    Const,
    Invocation,
    Likeness,
    Node,
    type_of,
)
from django_electric.where.resolve import Resolved

_LIKES = ("~~", "!~~", "~~*", "!~~*")


class Operators(Operands):
    """Calls of what the catalogue has."""

    def _compared(self, operator: str, left: Operand, right: Operand, at: int) -> Node:
        raise NotImplementedError

    def _rows_compared(self, name: str, left: Operand, right: Operand, at: int) -> Node:
        raise NotImplementedError

    def _operation(self, name: str, operands: Sequence[Operand], at: int) -> Node:
        if len(operands) == 2:
            if isinstance(operands[0], Row) or isinstance(operands[1], Row):
                return self._rows_compared(name, operands[0], operands[1], at)
            if name in COMPARISONS:
                return self._compared(name, operands[0], operands[1], at)
        resolved = self._resolved_operator(name, operands, at)
        return self._call(name, operands, resolved, at)

    def _resolved_operator(self, name: str, operands: Sequence[Operand], at: int) -> Resolved:
        if not catalog.is_operator(name):
            kind = "unary" if len(operands) == 1 else "binary"
            raise WhereError(f'unknown {kind} operator "{name}"', at=at)
        types = [operand_type(one) for one in operands]
        resolved = resolve.operator(name, types) if is_resolvable(types) else None
        if resolved is None:
            raise WhereError(NO_OPERATOR, at=at)
        return resolved

    def _call(self, name: str, operands: Sequence[Operand], resolved: Resolved, at: int) -> Node:
        """What the chosen overload gives."""
        wanted = ["text" if one == "any" else one for one in resolved.arguments]
        arguments = tuple(
            self._typed(operand, kind) if given == "any" else self._as(operand, kind)
            for operand, kind, given in zip(operands, wanted, resolved.arguments, strict=True)
        )
        if name in _LIKES and isinstance(arguments[1], Const) and self._is_like(resolved):
            return self._like(name, arguments[0], arguments[1], at)
        signature = resolved.signature
        if implementation(name, signature.arguments, [type_of(one) for one in arguments]) is None:
            raise WhereError(f"{name} of these types is left to Postgres", at=at)
        if name in FOLDS_CASE and not (self._locale.lowers_ascii or self._by_postgres):
            raise WhereError(f"{name} depends on the database's locale", at=at)
        return computed(
            Call(name, arguments, signature.arguments, resolved.result, signature.is_strict)
        )

    def _is_like(self, resolved: Resolved) -> bool:
        return resolved.signature.arguments[0] in ("text", "name")

    def _likeness(self, syntax: Likeness) -> Node:
        name = f"{'!' if syntax.is_negated else ''}~~{'*' if syntax.ignores_case else ''}"
        operand, pattern = self._operand(syntax.operand), self._operand(syntax.pattern)
        if syntax.escape is not None:
            escape = self._operand(syntax.escape)
            types = [operand_type(pattern), operand_type(escape)]
            resolved = resolve.function("like_escape", types) if is_resolvable(types) else None
            if resolved is None or resolved.arguments[0] != "text":
                raise WhereError(NO_OPERATOR, at=syntax.at)
            pattern = self._escaped(
                self._as(pattern, "text"), self._as(escape, "text"), syntax.pattern.at
            )
        resolved = self._resolved_operator(name, (operand, pattern), syntax.at)
        try:
            return self._call(name, (operand, pattern), resolved, syntax.pattern.at)
        except WhereError as error:
            if "of these types" in error.message:
                raise WhereError(NO_OPERATOR, at=syntax.at) from None
            raise

    def _escaped(self, pattern: Node, escape: Node, at: int) -> Node:
        """The pattern with backslash as its escape character."""
        if not isinstance(pattern, Const) or not isinstance(escape, Const):
            return computed(Call("like_escape", (pattern, escape), ("text", "text"), "text", True))
        if pattern.text is None or escape.text is None:
            return Const("text", None)
        try:
            return Const("text", with_backslash(pattern.text, escape.text))
        except ValueError as error:
            raise WhereError(str(error), at=at) from None

    def _like(self, name: str, operand: Node, pattern: Const, at: int) -> Node:
        """LIKE with a constant pattern."""
        if pattern.text is None:
            return UNKNOWN
        try:
            pieces_of(pattern.text)
        except ValueError as error:
            raise WhereError(str(error), at=at) from None
        ignores_case = name.endswith("*")
        is_sure = self._is_run_by_postgres(operand) or self._folds_surely(pattern.text)
        if ignores_case and not is_sure:
            message = "ILIKE of such letters depends on the database's locale: use ASCII, or LIKE"
            raise WhereError(message, at=at)
        found = folding.like(operand, pattern.text, ignores_case=ignores_case)
        return folding.negation(found) if name.startswith("!") else found

    def _folds_surely(self, pattern: str) -> bool:
        return pattern.isascii() and (self._locale.lowers_ascii or not {*"iI"} & {*pattern})

    def _invocation(self, syntax: Invocation) -> Node:
        name, at = syntax.name, syntax.at
        unknown = f"unknown or unsupported function {name}/{len(syntax.arguments)}"
        signatures = catalog.functions(name)
        operands = [self._operand(one) for one in syntax.arguments]
        if not signatures:
            raise WhereError(unknown, at=at)
        types = [operand_type(one) for one in operands]
        resolved = resolve.function(name, types) if is_resolvable(types) else None
        if resolved is None:
            listed = ", ".join(types)
            message = f"Could not select a function overload for {name}({listed})"
            raise WhereError(message, at=at)
        if len(resolved.arguments) == 1 and resolved.result == name:
            source = resolved.arguments[0]
            if catalog.pathway(source, name, "e") == "f" and conversion(source, name):
                return folding.cast(self._as(operands[0], source), name)
        return self._call(name, operands, resolved, at)

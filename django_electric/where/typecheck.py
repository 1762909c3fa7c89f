"""From the tree as written to the typed tree, by Postgres's own rules of operator resolution.

What the columns and the parameters are decides the type of every literal; what is left is in the
normal form of ``folding``. Everything that cannot be evaluated exactly is refused here, with the
messages of PROTOCOL section 2.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from django_electric.postgres.values import is_text
from django_electric.where import folding
from django_electric.where.checking.choices import Choices
from django_electric.where.checking.containment import within
from django_electric.where.checking.operands import Locale
from django_electric.where.coercion import (
    Operand,
    Row,
    Untyped,
    number,
)
from django_electric.where.errors import SubqueryError, WhereError
from django_electric.where.nodes import (
    FALSE,
    TRUE,
    Alternatives,
    Choice,
    Conversion,
    Distinction,
    Indexing,
    Invocation,
    Junction,
    Likeness,
    Listing,
    Literal,
    Membership,
    Node,
    Number,
    Operation,
    Parameter,
    Quantification,
    Range,
    Reference,
    RowValue,
    Subquery,
    Syntax,
    Test,
    Truth,
    children,
    type_of,
)
from django_electric.where.subqueries import Subselected

_MAX_DEPTH = 40
"""Of the typed tree; the generated Python may nest 200 parentheses."""
_NOT_BOOLEAN = "WHERE clause must return a boolean"


def typecheck(
    syntax: Syntax,
    columns: Mapping[str, str],
    params: Mapping[int, str],
    *,
    locale: Locale,
    by_postgres: bool = False,
    read: Callable[[Subquery], Subselected] | None = None,
) -> Node:
    """The typed tree of a condition. Raises WhereError.

    *by_postgres*: nobody else will evaluate it, so what only Postgres can tell is left to it. *read* tells
    what a subquery selects; without it there can be none.
    """
    checker = _Checker(columns, params, locale, by_postgres=by_postgres)
    checker.read = read
    result = checker.whole(syntax)
    if _is_deeper(result, _MAX_DEPTH):
        raise WhereError("expression is nested too deeply", is_final=True)
    return result


def parameter_values(params: Mapping[str, str]) -> dict[int, str]:
    """The parameters by number. Raises WhereError of the field ``params`` (section 2.5).

    >>> parameter_values({"2": "b", "1": "a"})
    {2: 'b', 1: 'a'}
    """
    if not all(re.fullmatch("[0-9]{1,9}", key) for key in params):
        raise WhereError("Parameters can only use numbers as keys", field="params", is_final=True)
    if any(not is_text(value) for value in params.values()):
        raise WhereError('invalid byte sequence for encoding "UTF8"', field="params", is_final=True)
    numbers = {int(key): value for key, value in params.items()}
    if sorted(int(key) for key in params) != list(range(1, len(params) + 1)):
        message = "Parameters must be numbered sequentially, starting from 1"
        raise WhereError(message, field="params", is_final=True)
    return numbers


def _is_deeper(node: Node, limit: int) -> bool:
    return not limit or any(_is_deeper(child, limit - 1) for child in children(node))


class _Checker(Choices):
    """All of it: whatever a clause is made of."""

    read: Callable[[Subquery], Subselected] | None = None

    def whole(self, syntax: Syntax) -> Node:
        """The clause itself."""
        operand = self._operand(syntax)
        if isinstance(operand, Untyped):
            try:
                return self._typed(operand, "bool")
            except WhereError:
                raise WhereError(_NOT_BOOLEAN) from None
        if isinstance(operand, Row) or type_of(operand) != "bool":
            raise WhereError(_NOT_BOOLEAN)
        return folding.settled(operand)

    def _operand(self, syntax: Syntax) -> Operand:
        match syntax:
            case Operation():
                operands = [self._operand(one) for one in syntax.operands]
                return self._operation(syntax.operator, operands, syntax.at)
            case Reference():
                return self._reference(syntax)
            case Literal():
                return Untyped(syntax.text, syntax.at)
            case Conversion():
                return self._conversion(syntax)
            case Number():
                return number(syntax.text)
            case Junction():
                return self._junction(syntax)
            case Membership():
                return self._membership(syntax)
            case Test():
                return self._test(syntax)
            case Parameter():
                return self._parameter(syntax)
            case Range():
                return self._range(syntax)
            case Likeness():
                return self._likeness(syntax)
            case Distinction():
                return self._distinction(syntax)
            case Truth():
                return TRUE if syntax.value else FALSE
            case Invocation():
                return self._invocation(syntax)
            case Choice():
                return self._choice(syntax)
            case Alternatives():
                return self._alternatives(syntax)
            case Quantification():
                return self._quantification(syntax)
            case Listing():
                return self._listing(syntax)
            case Indexing():
                return self._indexing(syntax)
            case Subquery():
                return self._contained(syntax)
            case RowValue():
                return Row(tuple(map(self._operand, syntax.members)), syntax.at)

    def _contained(self, syntax: Subquery) -> Node:
        if self.read is None:
            message = "SubLink is not supported in this context"
            raise SubqueryError(message, at=syntax.at, is_final=True)
        columns = [self._reference(one) for one in syntax.row]
        return within(columns, self.read(syntax), syntax.at)

    def _junction(self, syntax: Junction) -> Node:
        operands = [self._boolean(operand) for operand in syntax.operands]
        if syntax.operator == "NOT":
            return folding.negation(operands[0])
        join = folding.conjunction if syntax.operator == "AND" else folding.disjunction
        return join(operands)

    def _test(self, syntax: Test) -> Node:
        operand = self._operand(syntax.operand)
        if syntax.what == "NULL":
            return self._null_test(operand, syntax)
        node = self._typed(operand, "bool")
        if type_of(node) != "bool":
            words = f"IS {'NOT ' if syntax.is_negated else ''}{syntax.what}"
            message = f"argument of {words} must be bool, not {type_of(node)}"
            raise WhereError(message, at=syntax.at)
        if syntax.what == "UNKNOWN":
            return folding.is_null(node, is_negated=syntax.is_negated)
        return folding.is_truth(node, syntax.what == "TRUE", is_negated=syntax.is_negated)

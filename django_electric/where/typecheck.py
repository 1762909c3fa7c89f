"""From the tree as written to the typed tree, by Postgres's own rules of operator resolution.

What the columns and the parameters are decides the type of every literal; what is left is in the
normal form of ``folding``. Everything that cannot be evaluated exactly is refused here, with the
messages of PROTOCOL section 2.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from django_electric.postgres.values import TYPES, is_text
from django_electric.where import folding
from django_electric.where.errors import WhereError
from django_electric.where.functions import (
    CASTS,
    CATEGORIES,
    COMPARISONS,
    FAMILIES,
    NO_OPS,
    PREFERRED,
    PROMOTIONS,
    is_implicit,
)
from django_electric.where.like import pieces_of, with_backslash
from django_electric.where.nodes import (
    FALSE,
    TRUE,
    UNKNOWN,
    UNTYPED,
    Column,
    Compare,
    Comparison,
    Const,
    Conversion,
    Distinct,
    Distinction,
    Junction,
    Likeness,
    Literal,
    Membership,
    Node,
    Number,
    Parameter,
    Range,
    Reference,
    Syntax,
    Test,
    Truth,
    children,
    type_of,
)

_MAX_DEPTH = 40
"""Of the typed tree; the generated Python may nest 200 parentheses."""
_NO_OPERATOR = "Could not select an operator overload"
_NOT_BOOLEAN = "WHERE clause must return a boolean"
_INT8 = 1 << 63


class Locale(NamedTuple):
    """What must be known of the database's locale."""

    collation_is_c: bool = True
    """Whether every text column is ordered by byte."""
    lowers_ascii: bool = True
    """Whether A to Z become a to z in lower case: not so in Turkish and Azeri."""


class _Untyped(NamedTuple):
    """A quoted literal or parameter that waits for its type; NULL if *text* is None."""

    text: str | None
    at: int
    parameter: int | None = None


_Operand = Node | _Untyped


def typecheck(
    syntax: Syntax,
    columns: Mapping[str, str],
    params: Mapping[int, str],
    *,
    locale: Locale,
    by_postgres: bool = False,
) -> Node:
    """The typed tree of a condition. Raises WhereError.

    *by_postgres*: nobody else will evaluate it, so what only Postgres can tell is left to it.
    """
    checker = _Checker(columns, params, locale, by_postgres=by_postgres)
    result = checker.whole(syntax)
    if _is_deeper(result, _MAX_DEPTH):
        raise WhereError("expression is nested too deeply")
    return result


def parameter_values(params: Mapping[str, str]) -> dict[int, str]:
    """The parameters by number. Raises WhereError of the field ``params`` (section 2.5).

    >>> parameter_values({"2": "b", "1": "a"})
    {2: 'b', 1: 'a'}
    """
    if not all(re.fullmatch("[0-9]{1,9}", key) for key in params):
        raise WhereError("Parameters can only use numbers as keys", field="params")
    if any(not is_text(value) for value in params.values()):
        raise WhereError('invalid byte sequence for encoding "UTF8"', field="params")
    numbers = {int(key): value for key, value in params.items()}
    if sorted(int(key) for key in params) != list(range(1, len(params) + 1)):
        message = "Parameters must be numbered sequentially, starting from 1"
        raise WhereError(message, field="params")
    return numbers


def _is_deeper(node: Node, limit: int) -> bool:
    return not limit or any(_is_deeper(child, limit - 1) for child in children(node))


class _Checker:
    """One clause under way; remembers what types its parameters have been given."""

    def __init__(
        self,
        columns: Mapping[str, str],
        params: Mapping[int, str],
        locale: Locale,
        *,
        by_postgres: bool,
    ) -> None:
        self._columns = columns
        self._params = params
        self._locale = locale
        self._by_postgres = by_postgres
        self._parameter_types: dict[int, str] = {}

    def whole(self, syntax: Syntax) -> Node:
        """The clause itself."""
        operand = self._operand(syntax)
        if isinstance(operand, _Untyped):
            try:
                return self._typed(operand, "bool")
            except WhereError:
                raise WhereError(_NOT_BOOLEAN) from None
        if type_of(operand) != "bool":
            raise WhereError(_NOT_BOOLEAN)
        return operand

    def _operand(self, syntax: Syntax) -> _Operand:
        match syntax:
            case Comparison():
                return self._comparison(syntax)
            case Reference():
                return self._reference(syntax)
            case Literal():
                return _Untyped(syntax.text, syntax.at)
            case Conversion():
                return self._conversion(syntax)
            case Number():
                return _number(syntax.text)
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

    # --- leaves -------------------------------------------------------------------------------

    def _reference(self, syntax: Reference) -> Column:
        type_name = self._columns.get(syntax.name)
        if type_name is None:
            raise WhereError(f"unknown reference {syntax.name}", at=syntax.at)
        return Column(syntax.name, type_name)

    def _parameter(self, syntax: Parameter) -> _Operand:
        text = self._params.get(syntax.number)
        if text is None:
            raise WhereError(f"parameter ${syntax.number} was not provided", at=syntax.at)
        untyped = _Untyped(text, syntax.at, syntax.number)
        known = self._parameter_types.get(syntax.number)
        return untyped if known is None else self._typed(untyped, known)

    def _typed(self, operand: _Operand, type_name: str) -> Node:
        """*operand*; if it waits for a type, as a constant of *type_name*."""
        if not isinstance(operand, _Untyped):
            return operand
        if operand.parameter is not None:
            self._parameter_types[operand.parameter] = type_name
        try:
            return _read(operand.text, type_name)
        except ValueError:
            message = f"invalid syntax for type {type_name}: {operand.text}"
            raise WhereError(message, at=operand.at) from None

    def _conversion(self, syntax: Conversion) -> Node:
        target = syntax.type_name
        if target not in TYPES:
            raise WhereError(f"unsupported type {target}", at=syntax.at)
        operand = self._operand(syntax.operand)
        if isinstance(operand, _Untyped) and operand.parameter is not None:
            self._parameter_types[operand.parameter] = target
        source = "text" if isinstance(operand, _Untyped) else type_of(operand)
        text = operand.text if isinstance(operand, _Untyped | Const) else None
        target = "text" if target == "varchar" else target
        if isinstance(operand, _Untyped) or (text is not None and _is_read(source, target)):
            try:
                return _read(text, target)
            except ValueError:
                message = f'could not cast value "{text}" from {source} to {target}'
                raise WhereError(message, at=syntax.operand.at) from None
        if source != target and (source, target) not in CASTS and (source, target) not in NO_OPS:
            raise WhereError(
                f"unknown cast from type {source} to type {target}", at=syntax.operand.at
            )
        return folding.cast(operand, target)

    # --- logic --------------------------------------------------------------------------------

    def _boolean(self, syntax: Syntax) -> Node:
        operand = self._operand(syntax)
        node = self._typed(operand, "bool")
        if type_of(node) != "bool":
            what = f"reference {node.name}" if isinstance(node, Column) else "expression"
            raise WhereError(
                f"{what} of type {type_of(node)} is not castable to bool", at=syntax.at
            )
        return node

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

    def _null_test(self, operand: _Operand, syntax: Test) -> Node:
        if isinstance(operand, _Untyped):
            return folding.truth((operand.text is None) != syntax.is_negated)
        if type_of(operand) == "record":
            # A row value IS NULL if all its members are.
            raise WhereError("IS NULL of a composite value is not supported", at=syntax.at)
        return folding.is_null(operand, is_negated=syntax.is_negated)

    # --- comparisons --------------------------------------------------------------------------

    def _comparison(self, syntax: Comparison) -> Node:
        left, right = self._operand(syntax.left), self._operand(syntax.right)
        return self._compared(syntax.operator, left, right, syntax.at)

    def _compared(self, operator: str, left: _Operand, right: _Operand, at: int) -> Node:
        if self._is_left_to_postgres(left, right):
            return Compare(operator, _as_written(left), _as_written(right))
        sides = self._matched(left, right, at)
        node = folding.compare(operator, *sides)
        if COMPARISONS[operator].orders and node != UNKNOWN:
            self._check_order(*sides, at)
        return node

    def _is_run_by_postgres(self, *operands: Node) -> bool:
        """Whether only Postgres will compare the operands: constants are compared here, by folding."""
        return self._by_postgres and not all(isinstance(operand, Const) for operand in operands)

    def _is_left_to_postgres(self, *sides: _Operand) -> bool:
        """Whether a type is compared whose operators only Postgres knows."""
        return self._by_postgres and any(
            isinstance(side, Column) and side.type not in FAMILIES for side in sides
        )

    def _matched(self, left: _Operand, right: _Operand, at: int) -> tuple[Node, Node]:
        """Both sides as the chosen operator takes them (parse_oper.c)."""
        if isinstance(left, _Untyped):
            side = _type_for_untyped(right, at)
            return self._matched(self._typed(left, side), right, at)
        if isinstance(right, _Untyped):
            return left, self._typed(right, _type_for_untyped(left, at))
        families = _family(left, at), _family(right, at)
        if families[0] == families[1]:
            return left, right
        return _promoted(left, right, families, at)

    def _check_order(self, left: Node, right: Node, at: int) -> None:
        """Text is ordered bytewise only where a column brings collation C along."""
        if FAMILIES[type_of(left)] != "text" or self._is_run_by_postgres(left, right):
            return
        if not self._locale.collation_is_c or not (
            isinstance(left, Column) or isinstance(right, Column)
        ):
            message = (
                "text is ordered here by a collation that only Postgres knows;"
                ' compare columns with COLLATE "C" in their definition, or use = and LIKE'
            )
            raise WhereError(message, at=at)

    def _distinction(self, syntax: Distinction) -> Node:
        left, right = self._operand(syntax.left), self._operand(syntax.right)
        for side, other in ((right, left), (left, right)):
            if isinstance(side, _Untyped) and side.text is None:
                what = Test(syntax.left, "NULL", not syntax.is_negated, syntax.at)
                return self._null_test(other, what)
        if self._is_left_to_postgres(left, right):
            return Distinct(_as_written(left), _as_written(right), syntax.is_negated)
        sides = self._matched(left, right, syntax.at)
        return folding.distinct(*sides, is_negated=syntax.is_negated)

    def _range(self, syntax: Range) -> Node:
        operand, low, high = (self._operand(s) for s in (syntax.operand, syntax.low, syntax.high))
        for part in (operand, low, high):
            if not isinstance(part, _Untyped | Column | Const) and type_of(part) == "bool":
                raise WhereError("BETWEEN of conditions is not supported", at=syntax.at)
        within = self._within(operand, low, high, syntax.at)
        if syntax.is_symmetric:
            within = folding.disjunction((within, self._within(operand, high, low, syntax.at)))
        return folding.negation(within) if syntax.is_negated else within

    def _within(self, operand: _Operand, low: _Operand, high: _Operand, at: int) -> Node:
        return folding.conjunction(
            (self._compared(">=", operand, low, at), self._compared("<=", operand, high, at))
        )

    # --- IN -----------------------------------------------------------------------------------

    def _membership(self, syntax: Membership) -> Node:
        """As transformAExprIn: constants are first brought to one type, columns compared alone."""
        operand = self._operand(syntax.operand)
        items = [self._operand(item) for item in syntax.items]
        constants = [item for item in items if isinstance(item, _Untyped | Const)]
        common = _common_type((operand, *constants)) if len(constants) > 1 else None
        arms: list[Node] = []
        if common:
            arms.append(self._listed(operand, constants, common, syntax.at))
            items = [item for item in items if not isinstance(item, _Untyped | Const)]
        arms += [self._compared("=", operand, item, syntax.at) for item in items]
        found = folding.disjunction(arms)
        return folding.negation(found) if syntax.is_negated else found

    def _listed(
        self, operand: _Operand, constants: Iterable[_Untyped | Const], common: str, at: int
    ) -> Node:
        node = self._typed(operand, common)
        items = [_converted(self._typed(item, common), common) for item in constants]
        families = _family(node, at), FAMILIES[common]
        if families[0] != families[1]:
            node, items = _promoted_list(node, items, families, at)
        return folding.membership(node, items)

    # --- LIKE ---------------------------------------------------------------------------------

    def _likeness(self, syntax: Likeness) -> Node:
        operand = self._text(syntax.operand, syntax.at)
        pattern = self._pattern(syntax)
        if pattern is None:
            return UNKNOWN
        is_sure = self._is_run_by_postgres(operand) or self._folds_surely(pattern)
        if syntax.ignores_case and not is_sure:
            message = "ILIKE of such letters depends on the database's locale: use ASCII, or LIKE"
            raise WhereError(message, at=syntax.pattern.at)
        found = folding.like(operand, pattern, ignores_case=syntax.ignores_case)
        return folding.negation(found) if syntax.is_negated else found

    def _folds_surely(self, pattern: str) -> bool:
        return pattern.isascii() and (self._locale.lowers_ascii or not {*"iI"} & {*pattern})

    def _text(self, syntax: Syntax, at: int) -> Node:
        node = self._typed(self._operand(syntax), "text")
        if FAMILIES.get(type_of(node)) != "text":
            raise WhereError(_NO_OPERATOR, at=at)
        return node

    def _pattern(self, syntax: Likeness) -> str | None:
        """The pattern with backslash as its escape character; None for NULL."""
        pattern = self._text(syntax.pattern, syntax.at)
        escape = self._text(syntax.escape, syntax.at) if syntax.escape else Const("text", "\\")
        if not isinstance(pattern, Const) or not isinstance(escape, Const):
            raise WhereError("LIKE is supported with constant patterns only", at=syntax.pattern.at)
        if pattern.text is None or escape.text is None:
            return None
        try:
            rewritten = with_backslash(pattern.text, escape.text)
            pieces_of(rewritten)
        except ValueError as error:
            raise WhereError(str(error), at=syntax.pattern.at) from None
        return rewritten


# --- types ----------------------------------------------------------------------------------------


def _as_written(operand: _Operand) -> Node:
    """*operand* for Postgres alone: a literal stays without a type, so that the other side gives it one."""
    return Const(UNTYPED, operand.text) if isinstance(operand, _Untyped) else operand


def _read(text: str | None, type_name: str) -> Const:
    """A literal of a type. Raises ValueError."""
    return folding.constant(type_name, None if text is None else TYPES[type_name].canonical(text))


def _is_read(source: str, target: str) -> bool:
    """Whether a constant is cast by reading its text again."""
    return source == "text" or FAMILIES.get(source) == FAMILIES[target] == "integer"


def _number(text: str) -> Const:
    """An unquoted number: int4, int8 or numeric, whichever it fits first (make_const)."""
    digits = text.replace("_", "")
    if re.fullmatch(r"-?[0-9]{1,19}|-?0[xob][0-9a-f]{1,64}", digits, re.IGNORECASE):
        whole = int(digits, 0 if re.search("[xob]", digits, re.IGNORECASE) else 10)
        if -_INT8 <= whole < _INT8:
            return folding.constant("int8", str(whole))
        digits = str(whole)
    try:
        return _read(digits, "numeric")
    except ValueError:
        raise WhereError(f"invalid syntax for type numeric: {text}") from None


def _family(node: Node, at: int) -> str:
    try:
        return FAMILIES[type_of(node)]
    except KeyError:
        raise WhereError(_NO_OPERATOR, at=at) from None


def _type_for_untyped(other: _Operand, at: int) -> str:
    """What an untyped literal is taken for beside *other*."""
    if isinstance(other, _Untyped):
        return "text"
    return "text" if _family(other, at) == "text" else type_of(other)


def _promoted(left: Node, right: Node, families: tuple[str, str], at: int) -> tuple[Node, Node]:
    """Both sides cast to the type that the chosen operator takes."""
    target = PROMOTIONS.get(families)
    if target is None:
        raise WhereError(_NO_OPERATOR, at=at)
    if target == "numeric" and (sides := _as_integers(left, right)):
        return sides
    return folding.cast(left, target), folding.cast(right, target)


def _as_integers(left: Node, right: Node) -> tuple[Node, Node] | None:
    """An integer beside a whole numeric constant: the same comparison without a cast."""
    if isinstance(left, Const) and left.type == "numeric":
        whole = _whole(left)
        return (whole, right) if whole else None
    if isinstance(right, Const) and right.type == "numeric":
        whole = _whole(right)
        return (left, whole) if whole else None
    return None


def _whole(node: Const) -> Const | None:
    """A numeric constant as an integer one, if it is whole and fits."""
    if node.text is None or node.text in ("NaN", "Infinity", "-Infinity"):
        return None
    number = Decimal(node.text)
    if number != number.to_integral_value() or not -_INT8 <= number < _INT8:
        return None
    return folding.constant("int8", str(int(number)))


def _converted(node: Node, target: str) -> Const:
    """A constant of an IN list as one of the list's type."""
    family = FAMILIES[type_of(node)]
    if family != FAMILIES[target] or family == "moment":
        node = folding.cast(node, target)
    assert isinstance(node, Const)
    return node


def _promoted_list(
    node: Node, items: list[Const], families: tuple[str, str], at: int
) -> tuple[Node, list[Const]]:
    target = PROMOTIONS.get(families)
    if target is None:
        raise WhereError(_NO_OPERATOR, at=at)
    if families == ("integer", "numeric"):
        # What is not whole cannot be found; one that is must stay, or NULL IN () would be false.
        whole = [item if item.text is None else _whole(item) for item in items]
        kept = [item for item in whole if item is not None]
        if any(item.text is not None for item in kept):
            return node, kept
    return folding.cast(node, target), [_converted(item, target) for item in items]


def _common_type(operands: Iterable[_Operand]) -> str | None:
    """select_common_type of parse_coerce.c; None if there is none."""
    types = [type_of(operand) for operand in operands if not isinstance(operand, _Untyped)]
    if any(name not in TYPES for name in types):
        return None
    chosen: str | None = None
    for name in dict.fromkeys(types):
        if chosen is None:
            chosen = name
        elif CATEGORIES[name] != CATEGORIES[chosen]:
            return None
        elif _is_wider(chosen, name):
            chosen = name
    return chosen or "text"


def _is_wider(chosen: str, name: str) -> bool:
    return chosen not in PREFERRED and is_implicit(chosen, name) and not is_implicit(name, chosen)

"""Comparisons: of values, of rows, with ranges and lists, and with NULL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_electric.where import catalog, folding, resolve
from django_electric.where.checking.operands import NO_OPERATOR, check_repeated
from django_electric.where.checking.operators import Operators
from django_electric.where.coercion import (
    Operand,
    Row,
    Untyped,
    as_integers,
    as_written,
    common_type,
    has_collation,
    is_resolvable,
    operand_type,
    whole,
)
from django_electric.where.computing import computed
from django_electric.where.errors import WhereError
from django_electric.where.families import COMPARISONS, FAMILIES, family
from django_electric.where.nodes import (
    TRUE,
    UNKNOWN,
    Case,
    Column,
    Compare,
    Const,
    Distinct,
    Distinction,
    Membership,
    Node,
    Range,
    Test,
    type_of,
)

_READ_FOR_POSTGRES = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "numeric",
        "float8",
        "text",
        "varchar",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
    ]
)
"""Types whose literals are read here even if Postgres alone will compare: of all others it says what is wrong."""


class Comparisons(Operators):
    """What the comparison operators mean, and what is written by means of them."""

    def _compared(self, operator: str, left: Operand, right: Operand, at: int) -> Node:
        if self._is_left_to_postgres(left, right):
            return Compare(operator, as_written(left), as_written(right))
        sides = self._matched(operator, left, right, at)
        node = folding.compare(operator, *sides)
        if COMPARISONS[operator].orders and node != UNKNOWN:
            self._check_order(sides, at)
        return node

    def _is_left_to_postgres(self, *sides: Operand) -> bool:
        """Whether a type is compared whose operators only Postgres knows."""
        return self._by_postgres and any(
            isinstance(side, Column) and side.type not in _READ_FOR_POSTGRES for side in sides
        )

    def _matched(self, operator: str, left: Operand, right: Operand, at: int) -> tuple[Node, Node]:
        """Both sides as the chosen operator takes them."""
        resolved = self._resolved_operator(operator, (left, right), at)
        wanted = resolved.arguments
        families = [family(one) for one in wanted]
        if None in families or families[0] != families[1]:
            raise WhereError(NO_OPERATOR, at=at)
        if (
            wanted[0] == wanted[1] == "numeric"
            and not isinstance(left, Untyped | Row)
            and not isinstance(right, Untyped | Row)
            and (sides := as_integers(left, right))
        ):
            return sides
        return self._as(left, wanted[0]), self._as(right, wanted[1])

    def _check_order(self, nodes: Iterable[Node], at: int) -> None:
        """Text is ordered bytewise only where a column brings collation C along."""
        nodes = tuple(nodes)
        if not catalog.has_collation(type_of(nodes[0])) or self._is_run_by_postgres(*nodes):
            return
        if not self._locale.collation_is_c or not any(map(has_collation, nodes)):
            message = (
                "text is ordered here by a collation that only Postgres knows;"
                ' compare columns with COLLATE "C" in their definition, or use = and LIKE'
            )
            raise WhereError(message, at=at)

    def _distinction(self, syntax: Distinction) -> Node:
        left, right = self._operand(syntax.left), self._operand(syntax.right)
        return self._distinct(left, right, syntax)

    def _distinct(self, left: Operand, right: Operand, syntax: Distinction) -> Node:
        if isinstance(left, Row) or isinstance(right, Row):
            pairs = _pairs(left, right, syntax.at)
            arms = [self._distinct(one, two, syntax) for one, two in pairs]
            return (folding.conjunction if syntax.is_negated else folding.disjunction)(arms)
        for side, other in ((right, left), (left, right)):
            if isinstance(side, Untyped) and side.text is None:
                what = Test(syntax.left, "NULL", not syntax.is_negated, syntax.at)
                return self._null_test(other, what)
        if self._is_left_to_postgres(left, right):
            return Distinct(as_written(left), as_written(right), syntax.is_negated)
        sides = self._matched("=", left, right, syntax.at)
        return folding.distinct(*sides, is_negated=syntax.is_negated)

    def _null_test(self, operand: Operand, syntax: Test) -> Node:
        if isinstance(operand, Row):
            # A row IS NULL if all its members are, and IS NOT NULL if none is; a row in a row never is.
            inner = (isinstance(one, Row) for one in operand.members)
            if any(inner):
                raise WhereError("RowExpr is not supported in this context", at=operand.at)
            return folding.conjunction(self._null_test(one, syntax) for one in operand.members)
        if isinstance(operand, Untyped):
            return folding.truth((operand.text is None) != syntax.is_negated)
        if type_of(operand) == "record":
            # A row value IS NULL if all its members are.
            raise WhereError("IS NULL of a composite value is not supported", at=syntax.at)
        return folding.is_null(operand, is_negated=syntax.is_negated)

    def _range(self, syntax: Range) -> Node:
        operand, low, high = (self._operand(s) for s in (syntax.operand, syntax.low, syntax.high))
        check_repeated((operand, low, high) if syntax.is_symmetric else (operand,), syntax.at)
        within = self._within(operand, low, high, syntax.at)
        if syntax.is_symmetric:
            within = folding.disjunction((within, self._within(operand, high, low, syntax.at)))
        return folding.negation(within) if syntax.is_negated else within

    def _within(self, operand: Operand, low: Operand, high: Operand, at: int) -> Node:
        return folding.conjunction(
            (
                self._operation(">=", (operand, low), at),
                self._operation("<=", (operand, high), at),
            )
        )

    def _rows_compared(self, name: str, left: Operand, right: Operand, at: int) -> Node:
        """Members are compared in turn; which is the greater, the first that differ decide."""
        pairs = _pairs(left, right, at)
        if name not in COMPARISONS:
            raise WhereError(NO_OPERATOR, at=at)
        if name in ("=", "<>"):
            arms = [self._operation(name, pair, at) for pair in pairs]
            return (folding.conjunction if name == "=" else folding.disjunction)(arms)
        check_repeated([side for pair in pairs for side in pair], at)
        result = self._operation(name, pairs[-1], at)
        for pair in reversed(pairs[:-1]):
            is_same = self._operation("=", pair, at)
            is_before = self._operation(name.removesuffix("="), pair, at)
            # Members behind one that is NULL are not looked at.
            result = computed(case_of([(is_same, result)], is_before, "bool"))
        return result

    def _membership(self, syntax: Membership) -> Node:
        """As transformAExprIn: constants are first brought to one type, columns compared alone."""
        operand = self._operand(syntax.operand)
        items = [self._operand(item) for item in syntax.items]
        constants = [item for item in items if isinstance(item, Untyped | Const)]
        common = None
        is_listed = len(constants) > 1 and not isinstance(operand, Row)
        if is_listed and not self._is_left_to_postgres(operand):
            common = common_type((operand, *constants))
        arms: list[Node] = []
        if common:
            typed = [self._as(item, common) for item in constants]
            arms.append(self._listed(operand, typed, common, syntax.at))
            items = [item for item in items if not isinstance(item, Untyped | Const)]
        if len(arms) + len(items) > 1:
            check_repeated((operand,), syntax.at)
        arms += [self._operation("=", (operand, item), syntax.at) for item in items]
        found = folding.disjunction(arms)
        return folding.negation(found) if syntax.is_negated else found

    def _listed(self, operand: Operand, items: Sequence[Node], kind: str, at: int) -> Node:
        """Whether *operand* equals one of these constants of type *kind*."""
        types = (operand_type(operand), kind)
        resolved = resolve.operator("=", types) if is_resolvable(types) else None
        if resolved is None or family(resolved.arguments[0]) is None:
            raise WhereError(NO_OPERATOR, at=at)
        wanted = resolved.arguments
        if family(wanted[0]) != family(wanted[1]):
            raise WhereError(NO_OPERATOR, at=at)
        if wanted == ("numeric", "numeric") and not isinstance(operand, Untyped | Row):
            kept = _whole_items(operand, items)
            if kept:
                return folding.membership(operand, kept)
        node = self._as(operand, wanted[0])
        constants = (self._as(item, wanted[1]) for item in items)
        return folding.membership(node, [one for one in constants if isinstance(one, Const)])


def _pairs(left: Operand, right: Operand, at: int) -> list[tuple[Operand, Operand]]:
    """The members of two rows that are compared with each other."""
    if not isinstance(left, Row) or not isinstance(right, Row):
        raise WhereError(NO_OPERATOR, at=at)
    if len(left.members) != len(right.members) or not left.members:
        raise WhereError("unequal number of entries in row expressions", at=at, is_final=True)
    return list(zip(left.members, right.members, strict=True))


def _whole_items(operand: Node, items: Sequence[Node]) -> list[Const]:
    """Of a list of numerics, those that an integer can equal; none if that is no help.

    One that is whole must stay, or NULL IN () would be false.
    """
    if FAMILIES.get(type_of(operand)) != "integer":
        return []
    found = [one if one.text is None else whole(one) for one in items if isinstance(one, Const)]
    kept = [one for one in found if one is not None]
    return kept if any(one.text is not None for one in kept) else []


def case_of(arms: list[tuple[Node, Node]], default: Node, kind: str) -> Node:
    """Without arms that are never chosen, and what is behind one that always is."""
    kept: list[tuple[Node, Node]] = []
    for condition, result in arms:
        if condition == TRUE:
            default = result
            break
        if not isinstance(condition, Const):
            kept.append((condition, result))
    return Case(tuple(kept), default, kind) if kept else default

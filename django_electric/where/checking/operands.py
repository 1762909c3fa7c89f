"""Operands: columns, literals, parameters and casts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django_electric.where import catalog, folding
from django_electric.where.coercion import (
    Operand,
    Row,
    Untyped,
    common_type,
    is_resolvable,
    operand_type,
    read,
    unasked,
)
from django_electric.where.computing import computed
from django_electric.where.errors import WhereError
from django_electric.where.implementations.casts import conversion, with_modifier
from django_electric.where.nodes import (
    ArrayOf,
    Column,
    Const,
    Conversion,
    Listing,
    Node,
    Parameter,
    Reference,
    Syntax,
    children,
    type_of,
)
from django_electric.where.types import (
    EnumName,
    array_of,
    element_of,
    is_array,
    is_known,
)

NO_OPERATOR = "Could not select an operator overload"


class Locale(NamedTuple):
    """What must be known of the database's locale."""

    collation_is_c: bool = True
    """Whether every text column is ordered by byte."""
    lowers_ascii: bool = True
    """Whether A to Z become a to z in lower case: not so in Turkish and Azeri."""


class Operands:
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

    def _operand(self, syntax: Syntax) -> Operand:
        raise NotImplementedError

    def _reference(self, syntax: Reference) -> Column:
        type_name = self._columns.get(syntax.name)
        if type_name is None:
            raise WhereError(f"unknown reference {syntax.name}", at=syntax.at)
        return Column(syntax.name, type_name)

    def _parameter(self, syntax: Parameter) -> Operand:
        text = self._params.get(syntax.number)
        if text is None:
            message = f"parameter ${syntax.number} was not provided"
            raise WhereError(message, at=syntax.at, is_final=True)
        untyped = Untyped(text, syntax.at, syntax.number)
        known = self._parameter_types.get(syntax.number)
        return untyped if known is None else self._typed(untyped, known)

    def _typed(self, operand: Operand, type_name: str) -> Node:
        """*operand*; if it waits for a type, as a constant of *type_name*."""
        if isinstance(operand, Row):
            raise WhereError("RowExpr is not supported in this context", at=operand.at)
        if not isinstance(operand, Untyped):
            return operand
        if operand.parameter is not None:
            self._parameter_types[operand.parameter] = type_name
        try:
            return read(operand.text, type_name)
        except ValueError:
            is_enum = isinstance(type_name, EnumName)
            kind = f"enum {type_name.rpartition('.')[2]}" if is_enum else type_name
            message = f"invalid syntax for type {kind}: {operand.text}"
            raise WhereError(message, at=operand.at) from None

    def _as(self, operand: Operand, type_name: str) -> Node:
        """*operand* brought to a type that Postgres brings it to unasked."""
        node = self._typed(operand, type_name)
        return node if type_of(node) == type_name else unasked(node, type_name)

    def _type_named(self, name: str, at: int) -> str:
        """The type that a cast names: one of Postgres's, or the enum of a column."""
        for known in self._columns.values():
            if isinstance(known, EnumName) and name in (known, array_of(known), element_of(known)):
                return (
                    known
                    if name == known
                    else array_of(known)
                    if name.endswith("[]")
                    else element_of(known)
                )
        if not is_known(name) or isinstance(name, EnumName):
            raise WhereError(f"unsupported type {name}", at=at)
        return name

    def _conversion(self, syntax: Conversion) -> Node:
        target = self._type_named(syntax.type_name, syntax.at)
        if syntax.modifier and with_modifier(target, syntax.modifier) is None:
            raise WhereError(f"unsupported type {target} with a modifier", at=syntax.at)
        if isinstance(syntax.operand, Listing) and is_array(target):
            return self._converted_listing(syntax.operand, target)
        operand = self._operand(syntax.operand)
        if isinstance(operand, Row):
            raise WhereError("RowExpr is not supported in this context", at=operand.at)
        return self._converted(operand, target, syntax)

    def _converted(self, operand: Node | Untyped, target: str, syntax: Conversion) -> Node:
        source, at = operand_type(operand), syntax.operand.at
        if isinstance(operand, Untyped) and operand.parameter is not None:
            self._parameter_types[operand.parameter] = target
        try:
            if isinstance(operand, Untyped):
                source = "text"
                return folding.cast(read(operand.text, target), target, syntax.modifier)
            if not is_resolvable([source]) or (
                source != target
                and (
                    catalog.pathway(source, target, "e") is None
                    or conversion(source, target) is None
                )
            ):
                message = f"unknown cast from type {source} to type {target}"
                raise WhereError(message, at=at)
            return folding.cast(operand, target, syntax.modifier)
        except (ValueError, WhereError) as error:
            if isinstance(error, WhereError) and not error.message.endswith("constant arguments"):
                raise
            text = operand.text if isinstance(operand, Untyped | Const) else ""
            message = f'could not cast value "{text}" from {source} to {target}'
            raise WhereError(message, at=at) from None

    def _converted_listing(self, syntax: Listing, target: str) -> Node:
        """``ARRAY[…]::type[]``: every item is cast, and an empty list has a type."""
        if not syntax.items:
            return Const(target, "{}")
        operands = [
            None if isinstance(one, Listing) else self._operand(one) for one in syntax.items
        ]
        is_nested = any(one is None or is_array(operand_type(one)) for one in operands)
        inner = target if is_nested else element_of(target)
        items = (self._operand(Conversion(one, inner, syntax.at)) for one in syntax.items)
        return computed(ArrayOf(tuple(self._typed(one, inner) for one in items), target))

    def _boolean(self, syntax: Syntax) -> Node:
        operand = self._operand(syntax)
        node = self._typed(operand, "bool")
        if type_of(node) != "bool":
            what = f"reference {node.name}" if isinstance(node, Column) else "expression"
            raise WhereError(
                f"{what} of type {type_of(node)} is not castable to bool", at=syntax.at
            )
        return node

    def _common(self, what: str, operands: Sequence[Operand], at: int) -> str:
        kind = common_type(operands)
        if kind is None:
            listed = " and ".join(dict.fromkeys(operand_type(one) for one in operands))
            raise WhereError(f"{what} types {listed} cannot be matched", at=at)
        return kind

    def _is_run_by_postgres(self, *operands: Node) -> bool:
        """Whether only Postgres will compare the operands: constants are compared here, by folding."""
        return self._by_postgres and not all(isinstance(operand, Const) for operand in operands)


def check_repeated(operands: Iterable[Operand], at: int) -> None:
    """What is written once and evaluated several times must be small, or nesting would multiply it."""
    for operand in operands:
        if isinstance(operand, Row):
            check_repeated(operand.members, at)
        elif not isinstance(operand, Untyped) and _size(operand, _MOST_REPEATED) >= _MOST_REPEATED:
            raise WhereError("an operand so long is left to Postgres", at=at)


def _size(node: Node, most: int) -> int:
    """How many nodes there are; counting stops at *most*."""
    size = 1
    for child in children(node):
        if size >= most:
            break
        size += _size(child, most - size)
    return size


_MOST_REPEATED = 30
"""Nodes."""

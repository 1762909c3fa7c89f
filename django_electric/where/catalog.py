"""What Postgres's catalogues say of types, casts, operators and functions, as far as the language knows them.

The rows are in ``catalog_data``, which a script makes; here they are read. Of a name that is there, all
overloads are, so that resolution (``resolve``) finds what Postgres would find.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from django_electric.where import catalog_data
from django_electric.where.types import UNKNOWN_TYPE, EnumName, element_of, is_array, is_enum


class Signature(NamedTuple):
    """An operator or a function, of one set of argument types."""

    arguments: tuple[str, ...]
    result: str
    volatility: str
    """``i``, ``s`` or ``v``."""
    is_strict: bool
    defaults: int = 0
    """How many of the last arguments may be left out."""
    variadic: str = ""
    """The type of each argument from the last on; empty if their number is fixed."""


class _Type(NamedTuple):
    category: str
    is_preferred: bool
    has_collation: bool


def _type(row: str) -> _Type:
    category, preferred, collation = row.split()
    return _Type(category, preferred == "t", collation == "t")


_TYPES: Mapping[str, _Type] = {name: _type(row) for name, row in catalog_data.TYPES.items()}
_CASTS: Mapping[tuple[str, str], tuple[str, str]] = {
    (source, target): (context, method)
    for (source, target), (context, method) in (
        (key.split(" "), row.split()) for key, row in catalog_data.CASTS.items()
    )
}
CONTEXTS = {"i": 0, "a": 1, "e": 2}
"""``castcontext``: implicit, in an assignment, explicit."""


@cache
def operators(name: str, arity: int) -> tuple[Signature, ...]:
    """All overloads of an operator with one or two operands."""
    rows = (row.split() for row in catalog_data.OPERATORS.get(name, ()))
    return tuple(
        Signature(
            tuple(one for one in (left, right) if one != "-"), result, volatility, strict == "t"
        )
        for left, right, result, volatility, strict in rows
        if (left == "-") == (arity == 1)
    )


@cache
def functions(name: str) -> tuple[Signature, ...]:
    """All overloads of a function."""
    rows = (row.split() for row in catalog_data.FUNCTIONS.get(name, ()))
    return tuple(
        Signature(
            tuple(arguments.split(",")) if arguments != "-" else (),
            result,
            volatility,
            strict == "t",
            int(defaults),
            "" if variadic == "-" else variadic,
        )
        for arguments, result, volatility, strict, defaults, variadic in rows
    )


def is_operator(name: str) -> bool:
    """Whether there is an operator of that name, with however many operands."""
    return name in catalog_data.OPERATORS


def is_type(name: str) -> bool:
    """Whether the type is in the catalogue, or an enum."""
    return name in _TYPES or isinstance(name, EnumName)


def category(name: str) -> str:
    """``pg_type.typcategory``."""
    if is_array(name):
        return "A"
    return "E" if is_enum(name) else _TYPES[name].category


def is_preferred(name: str) -> bool:
    """``pg_type.typispreferred``."""
    return name in _TYPES and _TYPES[name].is_preferred


def has_collation(name: str) -> bool:
    """Whether values of the type are ordered by a collation."""
    return name in _TYPES and _TYPES[name].has_collation


def pathway(source: str, target: str, context: str) -> str | None:
    """How a value is cast: find_coercion_pathway of parse_coerce.c, without domains.

    ``f`` by a function, ``b`` not at all, ``i`` by way of its text, ``A`` item by item; None if not.

    >>> pathway("int4", "float8", "i"), pathway("float8", "int4", "i"), pathway("int4[]", "text[]", "e")
    ('f', None, 'A')
    """
    if source == target:
        return "b"
    if found := _CASTS.get((source, target)):
        needed, method = found
        return method if CONTEXTS[context] >= CONTEXTS[needed] else None
    if is_array(source) and is_array(target):
        return "A" if pathway(element_of(source), element_of(target), context) else None
    if UNKNOWN_TYPE in (source, target):
        return None
    if context != "i" and category(target) == "S":
        return "i"
    return "i" if context == "e" and category(source) == "S" else None

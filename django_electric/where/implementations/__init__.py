"""What operators, functions and casts do with values: one row for each, in a module for each kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Implementation(NamedTuple):
    """What is done with the values of the arguments."""

    function: Callable[..., Any]
    is_total: bool = False
    """Whether it has an answer for all values."""
    source: str = ""
    """The same as a Python expression, for the most common ones; ``{0}`` is the first argument."""
    is_identity: bool = False
    """Whether a cast leaves the value as it is."""
    may_be_null: bool = False
    """Whether a cast of something may be NULL."""


Key = tuple[str, tuple[str, ...]]
"""A name and argument types, polymorphic ones as they are in the catalogue."""

INTEGERS = {"int2": 16, "int4": 32, "int8": 64}
"""Their bits."""
FLOATS = ("float4", "float8")
NUMBERS = (*INTEGERS, "numeric", *FLOATS)


def overloads(
    names: str, *groups: tuple[str, Callable[..., Any]], total: bool = False
) -> dict[Key, Implementation]:
    """*names* share these overloads, each ``("type type", function)``."""
    return {
        (name, tuple(arguments.split())): Implementation(function, total)
        for name in names.split()
        for arguments, function in groups
    }


def same(value: Any) -> Any:
    return value


def long_bool(value: Any) -> str:
    return "true" if value else "false"

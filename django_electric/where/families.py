"""Families: which types compare with each other, and by which operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django_electric.where.types import element_of, is_array, is_enum


class Operator(NamedTuple):
    """A comparison operator: how Python spells it, what NOT and swapped sides make of it."""

    python: str
    negated: str
    swapped: str
    orders: bool
    """Whether it needs an order: on text, the collation's."""


# Every type here is totally ordered (NaN included), so that NOT (a < b) is a >= b, NULL or not.
COMPARISONS: Mapping[str, Operator] = {
    "=": Operator("==", "<>", "=", orders=False),
    "<>": Operator("!=", "=", "<>", orders=False),
    "<": Operator("<", ">=", ">", orders=True),
    "<=": Operator("<=", ">", ">=", orders=True),
    ">": Operator(">", "<=", "<", orders=True),
    ">=": Operator(">=", "<", "<=", orders=True),
}

FAMILIES: Mapping[str, str] = {
    "bool": "bool",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "oid": "oid",
    "numeric": "numeric",
    "float4": "float8",
    "float8": "float8",
    "text": "text",
    "varchar": "text",
    "name": "text",
    "bpchar": "bpchar",
    "uuid": "uuid",
    "bytea": "bytea",
    "date": "moment",
    "timestamp": "moment",
    "timestamptz": "moment",
    "time": "time",
    "timetz": "timetz",
    "interval": "interval",
    "jsonb": "jsonb",
}
"""Types of one family compare without a cast: Postgres has an operator for each pair."""


def family(type_name: str) -> str | None:
    """The family of any type; arrays and enums are their own. None if its values do not compare here.

    >>> family("int2"), family("varchar[]"), family("json")
    ('integer', 'varchar[]', None)
    """
    if is_array(type_name):
        return type_name if family(element_of(type_name)) else None
    return type_name if is_enum(type_name) else FAMILIES.get(type_name)

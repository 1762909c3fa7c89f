"""The table of operators and casts that the where language knows, and of the types they join.

A new operator or cast is a row here. (Functions will be a third table, of the same kind.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from django_electric.postgres import values
from django_electric.postgres.values import Moment, Value


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
    "numeric": "numeric",
    "float8": "float8",
    "text": "text",
    "varchar": "text",
    "uuid": "uuid",
    "date": "moment",
    "timestamp": "moment",
    "timestamptz": "moment",
}
"""Types of one family compare without a cast: Postgres has an operator for each pair."""

PROMOTIONS: Mapping[tuple[str, str], str] = {
    ("integer", "numeric"): "numeric",
    ("numeric", "integer"): "numeric",
    ("integer", "float8"): "float8",
    ("float8", "integer"): "float8",
    ("numeric", "float8"): "float8",
    ("float8", "numeric"): "float8",
}
"""What the two sides of a comparison across families are both cast to."""

PREFERRED = frozenset({"bool", "float8", "text", "timestamptz"})
"""``pg_type.typispreferred``, for the common type of an IN list."""

CATEGORIES: Mapping[str, str] = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float8"), "N"),
    **dict.fromkeys(("text", "varchar"), "S"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "D"),
    "bool": "B",
    "uuid": "U",
}
"""``pg_type.typcategory``."""

_WIDENINGS: Mapping[str, frozenset[str]] = {
    "int2": frozenset({"int4", "int8", "numeric", "float8"}),
    "int4": frozenset({"int8", "numeric", "float8"}),
    "int8": frozenset({"numeric", "float8"}),
    "numeric": frozenset({"float8"}),
    "date": frozenset({"timestamp", "timestamptz"}),
    "timestamp": frozenset({"timestamptz"}),
    "text": frozenset({"varchar"}),
    "varchar": frozenset({"text"}),
}


def is_implicit(source: str, target: str) -> bool:
    """Whether Postgres casts unasked.

    >>> is_implicit("int4", "float8"), is_implicit("float8", "numeric")
    (True, False)
    """
    return source == target or target in _WIDENINGS.get(source, ())


def _numeric_of(value: Value) -> Value:
    return values.decode_numeric(str(value))


def _timestamp_of_date(value: Value) -> Value:
    return values.timestamp_in_range(values.timestamp_of_date(cast(Moment, value)))


def _date_of_timestamp(value: Value) -> Value:
    return values.date_of_timestamp(cast(Moment, value))


def _same(value: Value) -> Value:
    return value


def _long_bool(value: Value) -> Value:
    return "true" if value else "false"


CASTS: Mapping[tuple[str, str], Callable[[Value], Value]] = {
    **{(number, "numeric"): _numeric_of for number in ("int2", "int4", "int8")},
    **{(number, "float8"): values.float8_of for number in ("int2", "int4", "int8", "numeric")},
    ("bool", "int4"): lambda value: int(bool(value)),
    ("int4", "bool"): bool,
    # The session's zone is UTC (PROTOCOL section 4.8), so these change nothing else.
    ("date", "timestamp"): _timestamp_of_date,
    ("date", "timestamptz"): _timestamp_of_date,
    ("timestamp", "timestamptz"): _same,
    ("timestamptz", "timestamp"): _same,
    ("timestamp", "date"): _date_of_timestamp,
    ("timestamptz", "date"): _date_of_timestamp,
    ("bool", "text"): _long_bool,
    **{
        (name, "text"): row.encode
        for name, row in values.TYPES.items()
        if name not in ("bool", "text", "varchar")
    },
}
"""Casts that change a value, with what they do; they raise ValueError where Postgres fails."""

FALLIBLE = frozenset({("numeric", "float8"), ("date", "timestamp"), ("date", "timestamptz")})
"""Casts that fail on some values of a column."""

NO_OPS = frozenset(
    {("int2", "int4"), ("int2", "int8"), ("int4", "int8"), ("varchar", "text"), ("text", "varchar")}
)
"""Casts that change no value and no comparison: the operand stands for itself."""

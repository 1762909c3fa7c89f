"""The value of ``electric-schema``: the selected columns as the catalogue has them (PROTOCOL section 6.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping

from django_electric.postgres.relation import Column, Relation

_HEADER = 4
"""A typmod counts from 4: the length of a varlena header."""
_INTERVAL_FULL_PRECISION = 0xFFFF
_INTERVAL_FULL_RANGE = 0x7FFF
# Bits of an interval's range, from Postgres' datetime.h: MONTH 1, YEAR 2, DAY 3, HOUR 10, …
_INTERVAL_FIELDS = {
    1 << 2: "YEAR",
    1 << 1: "MONTH",
    1 << 3: "DAY",
    1 << 10: "HOUR",
    1 << 11: "MINUTE",
    1 << 12: "SECOND",
    1 << 2 | 1 << 1: "YEAR TO MONTH",
    1 << 3 | 1 << 10: "DAY TO HOUR",
    1 << 3 | 1 << 10 | 1 << 11: "DAY TO MINUTE",
    1 << 3 | 1 << 10 | 1 << 11 | 1 << 12: "DAY TO SECOND",
    1 << 10 | 1 << 11: "HOUR TO MINUTE",
    1 << 10 | 1 << 11 | 1 << 12: "HOUR TO SECOND",
    1 << 11 | 1 << 12: "MINUTE TO SECOND",
}

Description = dict[str, str | int | bool]


def schema_header(relation: Relation, columns: Collection[str]) -> str:
    """JSON object ``column → description``."""
    described = {c.name: describe(c) for c in relation.columns if c.name in columns}
    # ASCII only: it is a header.
    return json.dumps(described, separators=(",", ":"))


def describe(column: Column) -> Description:
    """One column."""
    description: Description = {"type": column.type_name}
    if column.dimensions > 0:
        description["dims"] = column.dimensions
    if column.pk_position is not None:
        description["pk_index"] = column.pk_position
    if column.not_null or column.pk_position is not None:
        description["not_null"] = True
    description.update(_MODIFIERS.get(column.type_name, _other)(column.type_modifier))
    return description


def _other(modifier: int) -> Description:
    return {"type_mod": modifier} if modifier > -1 else {}


def _varchar(modifier: int) -> Description:
    return {"max_length": modifier - _HEADER} if modifier > -1 else {}


def _bpchar(modifier: int) -> Description:
    return {"length": modifier - _HEADER} if modifier > -1 else {}


def _bits(modifier: int) -> Description:
    return {"length": modifier}


def _time(modifier: int) -> Description:
    return {"precision": modifier} if modifier > 0 else {}


def _numeric(modifier: int) -> Description:
    if modifier < 0:
        return {}
    packed = modifier - _HEADER
    # The scale has 11 bits and a sign (Postgres 15 and later).
    scale = (packed & 0x7FF) - ((packed & 0x400) << 1)
    return {"precision": packed >> 16 & 0xFFFF, "scale": scale}


def _interval(modifier: int) -> Description:
    if modifier < 0:
        return {}
    description: Description = {}
    precision, fields = modifier & 0xFFFF, modifier >> 16 & 0x7FFF
    if fields != _INTERVAL_FULL_RANGE and fields in _INTERVAL_FIELDS:
        description["fields"] = _INTERVAL_FIELDS[fields]
    if precision != _INTERVAL_FULL_PRECISION:
        description["precision"] = precision
    return description


_MODIFIERS: Mapping[str, Callable[[int], Description]] = {
    "varchar": _varchar,
    "bpchar": _bpchar,
    "bit": _bits,
    "varbit": _bits,
    "time": _time,
    "timetz": _time,
    "timestamp": _time,
    "timestamptz": _time,
    "numeric": _numeric,
    "interval": _interval,
}

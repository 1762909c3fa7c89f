"""Casts, and what a type's modifier does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from django_electric.postgres import values
from django_electric.postgres.values import TYPES, Array
from django_electric.where.implementations import FLOATS, INTEGERS, Implementation, long_bool, same
from django_electric.where.runtime import (
    casts,
    floats,
    integers,
    intervals,
    jsons,
    moments,
    numerics,
    texts,
)
from django_electric.where.types import element_of, is_array, is_known, value_type

_TEXTS = ("text", "varchar", "name", "bpchar")


def _timestamp_of_date(value: Any) -> Any:
    return values.timestamp_in_range(values.timestamp_of_date(value))


def _oid_of_int8(value: int) -> int:
    if not 0 <= value < 1 << 32:
        raise ValueError("OID out of range")
    return value


def _oid_of_int4(value: int) -> int:
    return value & 0xFFFFFFFF


def _jsonb_of_json(text: str) -> Any:
    return casts.from_text("jsonb", text)


def _text_of_jsonb(value: Any) -> str:
    return TYPES["jsonb"].encode(value)


def _name_of(text: str) -> str:
    return TYPES["name"].canonical(text)


_INTEGER_CASTS: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    **{(a, b): partial(integers.narrow, bits=INTEGERS[b]) for a in INTEGERS for b in INTEGERS},
    **{(a, "numeric"): numerics.from_integer for a in INTEGERS},
    **{(a, "float8"): floats.from_integer for a in INTEGERS},
    **{(a, "float4"): partial(floats.from_integer, single=True) for a in INTEGERS},
    **{(a, b): partial(integers.from_float, bits=INTEGERS[b]) for a in FLOATS for b in INTEGERS},
    **{("numeric", b): partial(integers.from_numeric, bits=INTEGERS[b]) for b in INTEGERS},
    **{("jsonb", b): partial(jsons.to_int, bits=INTEGERS[b]) for b in INTEGERS},
    ("bool", "int4"): integers.from_bool,
    ("int4", "bool"): integers.to_bool,
    ("int8", "oid"): _oid_of_int8,
    ("int4", "oid"): _oid_of_int4,
}
IDENTITIES = frozenset(
    {
        *(pair for pair in (("int2", "int4"), ("int2", "int8"), ("int4", "int8"))),
        *((a, b) for a in _TEXTS[:3] for b in ("text", "varchar") if a != b),
        ("bpchar", "text"),
        ("bpchar", "varchar"),
        ("float4", "float8"),
        ("timestamp", "timestamptz"),
        ("timestamptz", "timestamp"),
    }
)
"""Casts that leave a decoded value as it is; the session's zone is UTC."""

CASTS: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    **_INTEGER_CASTS,
    ("numeric", "float8"): floats.from_numeric,
    ("numeric", "float4"): partial(floats.from_numeric, single=True),
    ("float8", "numeric"): numerics.from_float8,
    ("float4", "numeric"): numerics.from_float4,
    ("float8", "float4"): floats.narrow,
    ("date", "timestamp"): _timestamp_of_date,
    ("date", "timestamptz"): _timestamp_of_date,
    ("timestamp", "date"): moments.date_of_timestamp,
    ("timestamptz", "date"): moments.date_of_timestamp,
    ("timestamp", "time"): moments.time_of_timestamp,
    ("timestamptz", "time"): moments.time_of_timestamp,
    ("time", "interval"): intervals.from_time,
    ("interval", "time"): moments.time_of_interval,
    ("jsonb", "bool"): jsons.to_bool,
    ("jsonb", "numeric"): jsons.to_numeric,
    ("jsonb", "float8"): jsons.to_float,
    ("jsonb", "float4"): partial(jsons.to_float, single=True),
    ("json", "jsonb"): _jsonb_of_json,
    ("jsonb", "json"): _text_of_jsonb,
    **{(name, "text"): long_bool if name == "bool" else row.encode
       for name, row in TYPES.items() if name not in (*_TEXTS, "char")},
    **dict.fromkeys(IDENTITIES, same),
    ("text", "name"): _name_of,
    ("varchar", "name"): _name_of,
    ("text", "bpchar"): values.TYPES["bpchar"].decode,
    ("varchar", "bpchar"): values.TYPES["bpchar"].decode,
}  # fmt: skip
"""What casts do to a value; they raise ValueError where Postgres fails."""

_TOTAL_CASTS = frozenset(
    {
        *IDENTITIES,
        *((a, b) for a in INTEGERS for b in ("numeric", "float8", "float4")),
        ("bool", "int4"),
        ("int4", "bool"),
        ("timestamp", "date"),
        ("timestamptz", "date"),
        *((name, "text") for name in TYPES),
    }
)
"""Casts that never fail."""


@cache
def conversion(source: str, target: str) -> Implementation | None:
    """What a cast does that Postgres has (``catalog.pathway``); None if it is left to Postgres.

    >>> conversion("int4", "numeric").function(7), conversion("int4", "money")
    (Decimal('7'), None)
    """
    if source == target:
        return Implementation(same, is_total=True, is_identity=True)
    if found := CASTS.get((source, target)):
        return Implementation(
            found,
            (source, target) in _TOTAL_CASTS,
            is_identity=(source, target) in IDENTITIES,
            may_be_null=target == "time" or source == "jsonb",
        )
    if not is_known(source) or not is_known(target):
        return None
    if is_array(source) and is_array(target):
        inner = conversion(element_of(source), element_of(target))
        return inner and Implementation(partial(_converted_items, inner.function), inner.is_total)
    if target in ("text", "varchar"):
        through = CASTS.get((source, "text"), value_type(source).encode)
        return Implementation(through, is_total=True)
    if source in ("text", "varchar") and target not in _TEXTS:
        return Implementation(partial(casts.read, value_type(target)))
    return None


def _converted_items(convert: Callable[[Any], Any], array: Array) -> Array:
    items = tuple(None if one is None else convert(one) for one in array.items)
    return Array(items, array.lengths, array.lower_bounds)


def with_modifier(type_name: str, modifier: tuple[int, ...]) -> Callable[[Any], Any] | None:
    """What ``::varchar(20)`` does to a varchar, and the like; None if it is left to Postgres.

    >>> with_modifier("varchar", (2,))("abc")
    'ab'
    """
    if is_array(type_name):
        inner = with_modifier(element_of(type_name), modifier)
        return inner and partial(_converted_items, inner)
    match type_name, modifier:
        case "varchar", (length,) if length > 0:
            return lambda text: texts.varchar(text, length)
        case "bpchar", (length,) if length > 0:
            return lambda text: texts.bpchar(text, length)
        case "numeric", (precision,) if 0 < precision <= 1000:
            return lambda number: numerics.with_precision(number, precision)
        case "numeric", (precision, scale) if 0 <= scale <= precision <= 1000 and precision:
            return lambda number: numerics.with_precision(number, precision, scale)
        case (("timestamp" | "timestamptz"), (digits,)) if 0 <= digits <= 6:
            return lambda moment: moments.round_seconds(moment, digits)
        case "time", (digits,) if 0 <= digits <= 6:
            return lambda time: moments.round_time(time, digits)
    return None

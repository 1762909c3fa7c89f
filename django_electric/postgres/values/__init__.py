"""A value's Postgres text, and a Python value that compares the way Postgres compares (WHERE.md section 4).

Two directions. ``decode`` reads what Postgres *prints* (replication stream, ``column::text``) under
the session settings of PROTOCOL section 4.8. ``canonical`` reads what a user *writes* in a literal
and answers with the text that Postgres would print for it. Only spellings that every supported
Postgres reads alike are taken: ISO 8601 and the common ones; all others raise ValueError.

One module for each kind of type; this one has the table. Equal values are ``==``, and ``<`` is the
order of the type's btree (texts are in the order of their bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

from django_electric.postgres.values.arrays import Array, array_type
from django_electric.postgres.values.base import (
    NAN,
    SPACES,
    NotANumber,
    Unreadable,
    ValueType,
    is_infinite,
)
from django_electric.postgres.values.enums import enum_type
from django_electric.postgres.values.intervals import (
    Interval,
    canonical_interval,
    decode_interval,
    encode_interval,
)
from django_electric.postgres.values.jsons import (
    Jsonb,
    canonical_json,
    canonical_jsonb,
    decode_jsonb,
    encode_jsonb,
)
from django_electric.postgres.values.moments import (
    MICROSECONDS_PER_DAY,
    Moment,
    TimeTz,
    date_of_timestamp,
    decode_date,
    decode_time,
    decode_timestamp,
    decode_timetz,
    encode_date,
    encode_time,
    encode_timestamp,
    encode_timestamptz,
    encode_timetz,
    timestamp_in_range,
    timestamp_of_date,
)
from django_electric.postgres.values.numbers import (
    canonical_bool,
    canonical_float4,
    canonical_float8,
    canonical_integer,
    canonical_numeric,
    canonical_oid,
    decode_bool,
    decode_float4,
    decode_float8,
    decode_numeric,
    encode_bool,
    encode_float4,
    encode_float8,
    encode_numeric,
    float8_of,
    single_of,
)
from django_electric.postgres.values.texts import (
    canonical_bytea,
    canonical_char,
    canonical_name,
    canonical_text,
    canonical_uuid,
    decode_bpchar,
    decode_bytea,
    decode_char,
    encode_bytea,
    encode_char,
    is_text,
)
from django_electric.postgres.values.written_moments import (
    canonical_date,
    canonical_time,
    canonical_timestamp,
    canonical_timestamptz,
    canonical_timetz,
)

Value = str | bytes | int | float | Decimal | NotANumber | TimeTz | Interval | Jsonb | Array
"""A decoded value; ``bool`` is an ``int``. Values of one type are totally ordered."""

TYPES: Mapping[str, ValueType] = {
    "bool": ValueType(decode_bool, encode_bool, canonical_bool, is_canonical=False),
    "int2": ValueType(int, str, partial(canonical_integer, bits=16)),
    "int4": ValueType(int, str, partial(canonical_integer, bits=32)),
    "int8": ValueType(int, str, partial(canonical_integer, bits=64)),
    "oid": ValueType(int, str, canonical_oid),
    "float4": ValueType(decode_float4, encode_float4, canonical_float4, is_canonical=False),
    "float8": ValueType(decode_float8, encode_float8, canonical_float8, is_canonical=False),
    "numeric": ValueType(decode_numeric, encode_numeric, canonical_numeric, is_canonical=False),
    "text": ValueType(str, str, canonical_text),
    "varchar": ValueType(str, str, canonical_text),
    "bpchar": ValueType(decode_bpchar, str, canonical_text, is_canonical=False),
    "name": ValueType(str, str, canonical_name),
    "char": ValueType(decode_char, encode_char, canonical_char),
    "bytea": ValueType(decode_bytea, encode_bytea, canonical_bytea),
    # Lower-case hexadecimal is in the order of the bytes that it stands for.
    "uuid": ValueType(str, str, canonical_uuid),
    "date": ValueType(decode_date, encode_date, canonical_date),
    "time": ValueType(decode_time, encode_time, canonical_time),
    "timetz": ValueType(decode_timetz, encode_timetz, canonical_timetz),
    "timestamp": ValueType(decode_timestamp, encode_timestamp, canonical_timestamp),
    "timestamptz": ValueType(decode_timestamp, encode_timestamptz, canonical_timestamptz),
    "interval": ValueType(decode_interval, encode_interval, canonical_interval, is_canonical=False),
    # A json has no equality; its text is all there is.
    "json": ValueType(str, str, canonical_json),
    "jsonb": ValueType(decode_jsonb, encode_jsonb, canonical_jsonb, is_canonical=False),
}
"""By ``pg_type.typname``; ``char`` is the type of one byte, not ``bpchar``."""

__all__ = [
    "MICROSECONDS_PER_DAY", "NAN", "SPACES", "TYPES", "Array", "Interval", "Jsonb", "Moment", "NotANumber",
    "TimeTz", "Unreadable", "Value", "ValueType", "array_type", "date_of_timestamp", "decode_date",
    "decode_float8", "decode_numeric", "decode_timestamp", "encode_date", "encode_float8", "encode_numeric",
    "encode_timestamp", "encode_timestamptz", "enum_type", "float8_of", "is_infinite", "is_text", "single_of",
    "timestamp_in_range", "timestamp_of_date",
]  # fmt: skip

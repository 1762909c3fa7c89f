"""Python source that makes a column's value of its text."""

from __future__ import annotations

from itertools import count

from django_electric.postgres import values
from django_electric.where.types import EnumName, value_type

DECODERS: dict[str, object] = {
    "decode_float8": values.decode_float8,
    "decode_numeric": values.decode_numeric,
    "decode_date": values.decode_date,
    "decode_timestamp": values.decode_timestamp,
}
"""The functions that the sources name."""

_SOURCES: dict[tuple[str, tuple[str, ...]], str] = {
    (name, ()): source
    for name, source in {
        "bool": '{} in ("t", "true")',
        "int2": "int({})",
        "int4": "int({})",
        "int8": "int({})",
        "float8": "decode_float8({})",
        "numeric": "decode_numeric({})",
        "date": "decode_date({})",
        "timestamp": "decode_timestamp({})",
        "timestamptz": "decode_timestamp({})",
    }.items()
}
_OWN_TEXTS = frozenset({"text", "varchar", "name", "uuid", "json"})
"""Types whose values are their texts."""
_numbers = count(1)


def is_own_text(type_name: str) -> bool:
    """Whether nothing need be done."""
    return type_name in _OWN_TEXTS


def decoding(type_name: str) -> str:
    """Source for the value of the text ``{}``; what it calls is in `DECODERS`.

    >>> decoding("int4"), decoding("text")
    ('int({})', '{}')
    """
    if is_own_text(type_name):
        return "{}"
    key = str(type_name), type_name.labels if isinstance(type_name, EnumName) else ()
    if key not in _SOURCES:
        name = f"decode_{next(_numbers)}"
        DECODERS[name] = value_type(type_name).decode
        _SOURCES[key] = name + "({})"
    return _SOURCES[key]

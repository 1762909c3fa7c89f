"""Types by their names: ``int4``, ``int4[]``, and enums, whose names know their labels."""

from __future__ import annotations

from functools import lru_cache

from django_electric.postgres.values import TYPES, ValueType, array_type, enum_type

UNKNOWN_TYPE = "unknown"
"""The type of a literal that waits for one."""


class EnumName(str):
    """The name of an enum type, or of the arrays of one.

    >>> mood = EnumName("mood", ("sad", "ok"))
    >>> mood == "mood", array_of(mood), element_of(array_of(mood)).labels
    (True, 'mood[]', ('sad', 'ok'))
    """

    __slots__ = ("labels",)
    labels: tuple[str, ...]

    def __new__(cls, name: str, labels: tuple[str, ...]) -> EnumName:
        made = super().__new__(cls, name)
        made.labels = labels
        return made


def is_array(name: str) -> bool:
    """Whether the type is one of arrays."""
    return name.endswith("[]")


def element_of(name: str) -> str:
    """The type of an array's items."""
    element = name.removesuffix("[]")
    return EnumName(element, name.labels) if isinstance(name, EnumName) else element


def array_of(name: str) -> str:
    """The type of arrays of *name*."""
    return EnumName(f"{name}[]", name.labels) if isinstance(name, EnumName) else f"{name}[]"


def is_enum(name: str) -> bool:
    """Whether the type is an enum whose labels are known."""
    return isinstance(name, EnumName) and not is_array(name)


def is_known(name: str) -> bool:
    """Whether values of the type can be read here."""
    return isinstance(name, EnumName) or _key(element_of(name)) in TYPES


def value_type(name: str) -> ValueType:
    """How values of a known type are read and written.

    >>> value_type("int4[]").decode("{1,NULL}").items
    (1, None)
    """
    labels = name.labels if isinstance(name, EnumName) else None
    return _value_type(str(name), labels)


@lru_cache(maxsize=512)
def _value_type(name: str, labels: tuple[str, ...] | None) -> ValueType:
    if is_array(name):
        return array_type(_value_type(element_of(name), labels))
    return TYPES[_key(name)] if labels is None else enum_type(labels)


def _key(name: str) -> str:
    """In `TYPES` the type of one byte is called without its quotes."""
    return "char" if name == '"char"' else "" if name == "char" else name

"""Enums: labels in the order of ``pg_enum.enumsortorder``."""

from __future__ import annotations

from collections.abc import Sequence

from django_electric.postgres.values.base import Unreadable, ValueType


def enum_type(labels: Sequence[str]) -> ValueType:
    """The type of an enum with these labels, in order. A value is the position of its label.

    >>> mood = enum_type(["sad", "ok", "happy"])
    >>> mood.decode("sad") < mood.decode("happy"), mood.encode(1)
    (True, 'ok')
    """
    positions = {label: position for position, label in enumerate(labels)}

    def decode(text: str) -> int:
        try:
            return positions[text]
        except KeyError:
            raise Unreadable(f"enum label {text!r} came later") from None

    def canonical(text: str) -> str:
        if text not in positions:
            raise ValueError(text)
        return text

    return ValueType(decode, labels.__getitem__, canonical)

"""json and jsonb. A json is its text, blanks, order and duplicates included; a jsonb is parsed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django_electric.postgres.values.base import Unreadable
from django_electric.postgres.values.numbers import canonical_numeric, encode_numeric
from django_electric.postgres.values.texts import is_text

Json = dict[str, "Json"] | list["Json"] | str | Decimal | bool | None
"""Objects hold their keys in Postgres's order: short ones first, then by bytes."""

_DEEPEST = 200
"""Deeper literals are refused; Postgres takes several thousand levels."""


@dataclass(frozen=True, slots=True, eq=False)
class Jsonb:
    """A jsonb; ``Jsonb(None)`` is JSON's null.

    The order is that of ``compareJsonbContainers``, in which the texts are compared by bytes.

    >>> Jsonb(Decimal("1.0")) == Jsonb(Decimal(1)), Jsonb(True) == Jsonb(Decimal(1))
    (True, False)
    >>> Jsonb("a") < Jsonb(Decimal(1)) < Jsonb(False) < Jsonb([None]) < Jsonb({})
    True
    """

    value: Json

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jsonb) and sort_key(self.value) == sort_key(other.value)

    def __hash__(self) -> int:
        return hash(sort_key(self.value))

    def __lt__(self, other: Jsonb) -> bool:
        return self._key < other._key

    def __le__(self, other: Jsonb) -> bool:
        return self._key <= other._key

    def __gt__(self, other: Jsonb) -> bool:
        return self._key > other._key

    def __ge__(self, other: Jsonb) -> bool:
        return self._key >= other._key

    @property
    def _key(self) -> tuple[Any, ...]:
        # An empty array that is the whole value is less than everything, for historical reasons.
        return (-1,) if self.value == [] else sort_key(self.value)


def sort_key(value: Json) -> tuple[Any, ...]:
    """Null, text, number, boolean, array, object; arrays and objects by how much they hold, first."""
    match value:
        case None:
            return (0,)
        case str():
            return (1, value)
        case bool():
            return (3, value)
        case Decimal():
            return (2, value)
        case list():
            return (4, len(value), tuple(map(sort_key, value)))
        case dict():
            pairs = tuple((key, sort_key(item)) for key, item in value.items())
            return (5, len(value), pairs)


def key_order(key: str) -> tuple[int, bytes]:
    """What the keys of an object are sorted by.

    >>> sorted(["b", "aa", "a"], key=key_order)
    ['a', 'b', 'aa']
    """
    encoded = key.encode()
    return len(encoded), encoded


def decode_jsonb(text: str) -> Jsonb:
    """What Postgres prints: the keys of objects are in order."""
    try:
        return Jsonb(_DECODER.decode(text))
    except RecursionError:
        raise Unreadable("JSON is nested too deeply") from None


def encode_jsonb(value: Jsonb) -> str:
    """As Postgres prints it.

    >>> encode_jsonb(Jsonb({"a": [Decimal("1.50"), None], "b": 'x"y'}))
    '{"a": [1.50, null], "b": "x\\\\"y"}'
    """
    return _written(value.value)


def _written(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return encode_numeric(value)
        case list():
            return "[" + ", ".join(map(_written, value)) + "]"
        case dict():
            pairs = (
                f"{json.dumps(key, ensure_ascii=False)}: {_written(item)}"
                for key, item in value.items()
            )
            return "{" + ", ".join(pairs) + "}"


def _no_constant(word: str) -> Json:
    raise ValueError(word)


def _number(text: str) -> Decimal:
    return Decimal(canonical_numeric(text))


def _sorted_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Of duplicate keys the last one stays."""
    return dict(sorted(dict(pairs).items(), key=lambda pair: key_order(pair[0])))


_DECODER = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal, parse_constant=_no_constant)
_LITERAL_DECODER = json.JSONDecoder(
    object_pairs_hook=_sorted_object,
    parse_int=_number,
    parse_float=_number,
    parse_constant=_no_constant,
)


def canonical_jsonb(text: str) -> str:
    """Any JSON (RFC 8259) without NUL characters or halves of surrogate pairs.

    >>> canonical_jsonb('{"bb":1e2, "a":0, "a":[ ]}')
    '{"a": [], "bb": 100}'
    """
    written = encode_jsonb(Jsonb(_parse(text)))
    if not is_text(written) or "\\u0000" in text:
        raise ValueError(text)
    return written


def canonical_json(text: str) -> str:
    """Any JSON stays as it is; one with ``\\u`` escapes is refused: what those may be depends on the version."""
    _parse(text)
    if not is_text(text) or "\\u" in text:
        raise ValueError(text)
    return text


def _parse(text: str) -> Json:
    if max(text.count("["), text.count("{")) > _DEEPEST and _depth(text) > _DEEPEST:
        raise ValueError("JSON is nested too deeply")
    parsed: Json = _LITERAL_DECODER.decode(text)
    return parsed


def _depth(text: str) -> int:
    """No less than how deep arrays and objects are nested."""
    deepest = depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}" and depth:
            depth -= 1
    return deepest

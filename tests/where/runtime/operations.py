"""Tables of operations, each compared with Postgres on many values in one query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple

from django_electric.postgres.relation import quote_literal
from django_electric.postgres.values import TYPES, ValueType, array_type
from django_electric.where.errors import Undecided
from tests.support.oracle import Oracle, differences, outcome
from tests.where.runtime.samples import SAMPLES

ELEMENTS = ("bool", "int4", "int8", "float8", "numeric", "text", "date", "timestamp", "jsonb")
ALL_TYPES: Mapping[str, ValueType] = {
    **TYPES,
    # Short texts that occur as keys and items.
    "key": TYPES["text"],
    **{f"{element}[]": array_type(TYPES[element]) for element in ELEMENTS},
}


class Operation(NamedTuple):
    """``{0}`` and ``{1}`` in *sql* are the arguments, each of its type; *function* takes their values."""

    sql: str
    arguments: str
    result: str
    function: Callable[..., Any]
    least_decided: float = 0.5
    """Which part of the answers is ours, at least."""


def encode(type_name: str, value: Any) -> str | None:
    """As a cast to text prints it."""
    if value is None:
        return None
    if type_name == "bool":
        return "true" if value else "false"
    return ALL_TYPES[type_name].encode(value)


def literal(type_name: str, text: str) -> str:
    return f"({quote_literal(text)}::{'text' if type_name == 'key' else type_name})"


def check(oracle: Oracle, operation: Operation, *, count: int = 60, seed: int = 1) -> None:
    """Our answers on *count* random choices of samples are Postgres's."""
    check_on(oracle, operation, chosen(operation.arguments.split(), count, Random(seed)))


def check_on(oracle: Oracle, operation: Operation, rows: Sequence[tuple[str, ...]]) -> None:
    """The same on these rows of arguments, as texts."""
    types = operation.arguments.split()
    ours: dict[str, Any] = {}
    for texts in rows:
        literals = [literal(kind, text) for kind, text in zip(types, texts, strict=True)]
        answer = outcome(partial(_answer, operation, types, texts), Undecided)
        ours[operation.sql.format(*literals)] = answer
    found = differences(ours, oracle)
    assert not found, f"ours, and Postgres's: {found}"
    decided = sum(answer is not ... for answer in ours.values())
    assert decided >= operation.least_decided * len(ours), f"only {decided} of {len(ours)} decided"


def _answer(operation: Operation, types: Sequence[str], texts: Sequence[str]) -> str | None:
    values = [ALL_TYPES[kind].decode(text) for kind, text in zip(types, texts, strict=True)]
    return encode(operation.result, operation.function(*values))


def chosen(types: Sequence[str], count: int, random: Random) -> list[tuple[str, ...]]:
    """Rows of samples; every sample of a lone argument."""
    if len(types) == 1:
        return [(text,) for text in SAMPLES[types[0]]]
    return [tuple(random.choice(SAMPLES[kind]) for kind in types) for _ in range(count)]

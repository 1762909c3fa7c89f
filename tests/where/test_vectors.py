"""Every vector of the specification: Postgres's answer, or a refusal; never another answer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from django_electric.where import EvaluationError, Undecided, WhereError, parse_where
from django_electric.where.types import EnumName, array_of

DATA = Path(__file__).parent.parent / "data"
FILES = {"where_vectors.jsonl": 1459, "where_fuzz_vectors.jsonl": 1995}
ANSWERED_AT_LEAST = {"where_vectors.jsonl": 1260, "where_fuzz_vectors.jsonl": 1910}
OTHERWISE = {"cast-137": "the row is out of range, not the clause: it fails, and other rows do not"}
MUST_REJECT = ("both_reject", "must_reject", "electric_accepts")


def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def answer(vector: dict[str, Any]) -> bool | str | None:
    """True, False, None, "refused" or "failed"; what is left to Postgres counts as refused."""
    columns = {name: type_named(kind, vector) for name, kind in vector["columns"].items()}
    try:
        where = parse_where(vector["where"], columns, vector.get("params"))
    except WhereError:
        return "refused"
    row = tuple(vector["row"][name] for name in columns) if vector.get("row") else ()
    try:
        return where.compile({name: position for position, name in enumerate(columns)})(row)
    except EvaluationError:
        return "failed"
    except Undecided:
        return "refused"


def type_named(kind: str, vector: dict[str, Any]) -> str:
    """As the catalogue names it; an enum knows its labels."""
    labels = vector.get("enums", {}).get(kind.removesuffix("[]"))
    if labels is None:
        return kind
    enum = EnumName(kind.removesuffix("[]"), tuple(labels))
    return array_of(enum) if kind.endswith("[]") else enum


def verdict(vector: dict[str, Any]) -> str:
    got = answer(vector)
    if got == "refused":
        return "refused"
    if "error" in vector:
        return "wrong"
    if "runtime_error" in vector:
        return "right" if got in ("failed", False, None) else "wrong"
    return "right" if got is vector["expect"] else "wrong"


@pytest.mark.parametrize("name", FILES)
def test_no_vector_is_answered_otherwise_than_postgres_does(name: str) -> None:
    verdicts = {vector["id"]: verdict(vector) for vector in vectors(name)}
    counts = Counter(verdicts.values())
    print(name, dict(counts))
    assert len(verdicts) == FILES[name]
    assert [key for key, value in verdicts.items() if value == "wrong"] in ([], list(OTHERWISE))
    assert counts["right"] >= ANSWERED_AT_LEAST[name]

"""Every vector of the specification: Postgres's answer, or a refusal; never another answer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from django_electric.where import EvaluationError, WhereError, parse_where

DATA = Path(__file__).parent.parent / "data"
FILES = {"where_vectors.jsonl": 1459, "where_fuzz_vectors.jsonl": 1995}
ANSWERED_AT_LEAST = {"where_vectors.jsonl": 616, "where_fuzz_vectors.jsonl": 846}
MUST_REJECT = ("both_reject", "must_reject", "electric_accepts")


def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def answer(vector: dict[str, Any]) -> bool | str | None:
    """True, False, None, "refused" or "failed"."""
    columns = vector["columns"]
    try:
        where = parse_where(vector["where"], columns, vector.get("params"))
    except WhereError:
        return "refused"
    row = tuple(vector["row"][name] for name in columns) if vector.get("row") else ()
    try:
        return where.compile({name: position for position, name in enumerate(columns)})(row)
    except EvaluationError:
        return "failed"


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
    assert [key for key, value in verdicts.items() if value == "wrong"] == []
    assert counts["right"] >= ANSWERED_AT_LEAST[name]

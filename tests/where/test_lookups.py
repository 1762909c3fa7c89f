"""FILTER.md sections 3 and 8: which clauses are found by an index, and what is left to evaluate."""

from __future__ import annotations

import pytest

from django_electric.where import Lookup, parse_where
from django_electric.where.sql import sql_of

COLUMNS = {
    "a": "int4", "b": "int8", "c": "int4", "t": "text", "v": "varchar", "u": "uuid", "flag": "bool", "flag2": "bool",
    "d": "date", "ts": "timestamp", "tz": "timestamptz", "n": "numeric", "f": "float8", "j": "jsonb",
}  # fmt: skip

Plan = list[tuple[str, str | None, str | None]]


def plan(text: str) -> Plan | None:
    lookups = parse_where(text, COLUMNS).lookups()
    if lookups is None:
        return None
    return [
        (one.column, one.key, sql_of(one.residual) if one.residual else None) for one in lookups
    ]


EXACT: dict[str, Plan] = {
    "a = 7": [("a", "7", None)],
    "7 = a": [("a", "7", None)],
    "a = '007'": [("a", "7", None)],
    "a = 7.0": [("a", "7", None)],
    "a = 7::int8": [("a", "7", None)],
    "a = 5000000000": [("a", "5000000000", None)],
    "t = 'x'": [("t", "x", None)],
    "v = 'x'": [("v", "x", None)],
    "u = '{550E8400E29B41D4A716446655440000}'": [
        ("u", "550e8400-e29b-41d4-a716-446655440000", None)
    ],
    "d = '2024-1-2'": [("d", "2024-01-02", None)],
    "ts = '2024-01-02T10:00'": [("ts", "2024-01-02 10:00:00", None)],
    "tz = '2024-01-02 10:00+02'": [("tz", "2024-01-02 08:00:00+00", None)],
    "a IN (2, 1)": [("a", "1", None), ("a", "2", None)],
    "a IN (1, 2, NULL)": [("a", "1", None), ("a", "2", None)],
    "a IN (1.0, 2.5, 3)": [("a", "1", None), ("a", "3", None)],
    "a IS NOT DISTINCT FROM 7": [("a", "7", None)],
    "flag": [("flag", "t", None)],
    "NOT flag": [("flag", "f", None)],
    "flag = true": [("flag", "t", None)],
    "flag IS TRUE": [("flag", "t", None)],
    "flag IS FALSE": [("flag", "f", None)],
    "flag IS NOT TRUE": [("flag", "f", None), ("flag", None, None)],
    "flag IS NOT FALSE": [("flag", "t", None), ("flag", None, None)],
    "flag IN (true, false)": [("flag", "f", None), ("flag", "t", None)],
    "a IS NULL": [("a", None, None)],
    "j IS NULL": [("j", None, None)],
    "a = 1 OR t = 'x'": [("a", "1", None), ("t", "x", None)],
    "NOT (a <> 1 AND flag)": [("a", "1", None), ("flag", "f", None)],
}


@pytest.mark.parametrize("text", EXACT)
def test_a_hit_is_a_match(text: str) -> None:
    assert plan(text) == EXACT[text]


RESIDUAL: dict[str, Plan] = {
    "a = 7 AND c > 5": [("a", "7", '"c" > 5')],
    "c > 5 AND a = 7": [("a", "7", '"c" > 5')],
    "a IN (1, 2) AND c = 5": [("c", "5", '"a" IN (1, 2)')],
    "a IN (1, 2) AND c > 5": [("a", "1", '"c" > 5'), ("a", "2", '"c" > 5')],
    "flag AND a IS NULL": [("a", None, '"flag"')],
    "flag AND a IN (1, 2)": [("a", "1", '"flag"'), ("a", "2", '"flag"')],
    "a IS NULL AND t = 'x' AND flag": [("t", "x", '("a" IS NULL) AND "flag"')],
    "flag AND flag2": [("flag", "t", '"flag2"')],
    "(a = 1 AND c > 5) OR t = 'x'": [("a", "1", '"c" > 5'), ("t", "x", None)],
    "((a = 1 AND c > 5) OR t = 'x') AND flag": [
        ("a", "1", '("c" > 5) AND "flag"'),
        ("t", "x", '"flag"'),
    ],
    "a IN (1, 2) AND c IN (1, 2, 3)": [("a", "1", '"c" IN (1, 2, 3)'), ("a", "2", '"c" IN (1, 2, 3)')],
}  # fmt: skip


@pytest.mark.parametrize("text", RESIDUAL)
def test_the_most_selective_arm_drives(text: str) -> None:
    assert plan(text) == RESIDUAL[text]


def test_what_an_exact_lookup_covers_is_not_looked_up_twice() -> None:
    assert plan("a = 1 OR (a = 1 AND c > 5)") == [("a", "1", None)]
    assert plan("(a = 1 AND c > 5) OR (a = 1 AND c > 5)") == [("a", "1", '"c" > 5')]


@pytest.mark.parametrize(
    "text",
    [
        "false", "NULL", "a = NULL", "a = 1.5", "a IN (1.5, 2.5)", "a IS NOT DISTINCT FROM 1.5", "a = 'NaN'::numeric",
        "c > 5 AND a = 1.5", "flag AND NULL", "a = 1 AND b = NULL",
    ],
)  # fmt: skip
def test_what_is_never_true_has_no_lookups(text: str) -> None:
    assert plan(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "true", "a > 7", "a <> 7", "a NOT IN (1, 2)", "a = c", "t LIKE 'x%'", "a BETWEEN 1 AND 3", "a::text = '7'",
        "a = 1 OR c > 5", "n = 1", "f = 1", "a = 1::float8", "a IS NOT NULL", "ts = '2024-01-01'::date",
        "(a = 1) IS TRUE", "flag = flag2", "a = n", "a IS DISTINCT FROM 7", "(a = 1) = flag",
        "n = 1 AND a > 5", "f = 1.5", "n = 1.5", "a::float8 IN (1::float8, 2::float8)", "n::float8 = 1", "a = c OR flag",
    ],
)  # fmt: skip
def test_what_must_be_evaluated(text: str) -> None:
    assert plan(text) is None


def test_the_residual_has_an_evaluator() -> None:
    where = parse_where("a = 7 AND c > 5", COLUMNS)
    ((lookup,), positions) = (where.lookups() or ()), {"a": 0, "c": 1}
    residual = where.residual_evaluator(lookup, positions)
    assert residual is not None
    assert (residual(("7", "6")), residual(("7", "5")), residual(("7", None))) == (
        True,
        False,
        None,
    )
    assert where.residual_evaluator(Lookup("a", "7"), positions) is None

"""FILTER.md sections 3 and 8: which clauses are found by an index, and what is left to evaluate."""

from __future__ import annotations

from decimal import Decimal

import pytest

from django_electric.where import Key, Lookup, Part, Prefix, Same, Span, parse_where
from django_electric.where.lookups import ABOVE, BELOW, Holds, Present, plans_of
from django_electric.where.sql import sql_of

COLUMNS = {
    "a": "int4", "b": "int8", "c": "int4", "t": "text", "v": "varchar", "u": "uuid", "flag": "bool", "flag2": "bool",
    "d": "date", "ts": "timestamp", "tz": "timestamptz", "n": "numeric", "f": "float8", "j": "jsonb",
}  # fmt: skip

Plan = list[tuple[str, Key, str | None]]


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
    "a IS NOT NULL": [("a", Present(), None)],
    "a IS NOT NULL OR c = 1": [("a", Present(), None), ("c", "1", None)],
    "a = 1 OR t = 'x'": [("a", "1", None), ("t", "x", None)],
    "NOT (a <> 1 AND flag)": [("a", "1", None), ("flag", "f", None)],
    "n = 1.50": [("n", Same("numeric", Decimal("1.5")), None)],
    "f = 1": [("f", Same("float8", 1.0), None)],
    "ts = '2024-01-01'::date": [("ts", Same("timestamp", 1_704_067_200_000_000), None)],
    "n IN (1, NULL)": [("n", Same("numeric", Decimal(1)), None)],
    "a > 7": [("a", Span("int4", (7, ABOVE), None), None)],
    "7 >= a": [("a", Span("int4", None, (7, ABOVE)), None)],
    "a > 7.5": [("a", Span("int4", (Decimal("7.5"), ABOVE), None), None)],
    "NOT (a >= 7)": [("a", Span("int4", None, (7, BELOW)), None)],
    "a BETWEEN 1 AND 3": [("a", Span("int4", (1, BELOW), (3, ABOVE)), None)],
    "a > 1 AND a >= 2 AND a < 9": [("a", Span("int4", (2, BELOW), (9, BELOW)), None)],
    "t >= 'b'": [("t", Span("text", ("b", BELOW), None), None)],
    "tz < '2024-01-01'": [("tz", Span("timestamptz", None, (1_704_067_200_000_000, BELOW)), None)],
    "a < 1 OR a > 9": [
        ("a", Span("int4", None, (1, BELOW)), None), ("a", Span("int4", (9, ABOVE), None), None),
    ],
    "t LIKE 'x%'": [("t", Prefix("x", False), None)],
    "t ILIKE 'Ab%'": [("t", Prefix("ab", True), None)],
    "t LIKE 'a\\%b'": [("t", "a%b", None)],
    "t LIKE '%mid%'": [("t", Part("mid", False), None)],
    "v ILIKE '%MID%'": [("v", Part("mid", True), None)],
    "a = 1 OR c > 5": [("a", "1", None), ("c", Span("int4", (5, ABOVE), None), None)],
}  # fmt: skip


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
    "t LIKE 'abc_'": [("t", Prefix("abc", False), "\"t\" LIKE 'abc_'::text")],
    "t LIKE 'a%b'": [("t", Prefix("a", False), "\"t\" LIKE 'a%b'::text")],
    "t LIKE '%long_lo%'": [("t", Part("long", False), "\"t\" LIKE '%long_lo%'::text")],
    "t LIKE 'a%longer%'": [("t", Part("longer", False), "\"t\" LIKE 'a%longer%'::text")],
    "t LIKE '_b'": [("t", Part("b", False), "\"t\" LIKE '_b'::text")],
    "a = 1 AND t ILIKE '%mid%'": [("a", "1", "\"t\" ILIKE '%mid%'::text")],
    "a BETWEEN 1 AND 9 AND t ILIKE '%mid%'": [
        ("t", Part("mid", True), '("a" >= 1) AND ("a" <= 9)'),
    ],
    "a > 1 AND a < 5 AND c > 1": [("a", Span("int4", (1, ABOVE), (5, BELOW)), '"c" > 1')],
    "a > 1 AND flag": [("a", Span("int4", (1, ABOVE), None), '"flag"')],
    "a IS NOT NULL AND c > 1": [("c", Span("int4", (1, ABOVE), None), '"a" IS NOT NULL')],
    "n = 1 AND a > 5": [("n", Same("numeric", Decimal(1)), '"a" > 5')],
    "a IN (1, 2) AND c IN (1, 2, 3)": [("a", "1", '"c" IN (1, 2, 3)'), ("a", "2", '"c" IN (1, 2, 3)')],
}  # fmt: skip


@pytest.mark.parametrize("text", RESIDUAL)
def test_the_most_selective_arm_drives(text: str) -> None:
    assert plan(text) == RESIDUAL[text]


def test_what_an_exact_lookup_covers_is_not_looked_up_twice() -> None:
    assert plan("a = 1 OR (a = 1 AND c > 5)") == [("a", "1", None)]
    assert plan("(a = 1 AND c > 5) OR (a = 1 AND c > 5)") == [("a", "1", '"c" > 5')]


def test_arms_that_are_found_by_one_key_are_evaluated_together() -> None:
    """A shape is found by a key once."""
    clause = "(a = 1 AND c > 5) OR (a = 2 AND flag) OR (a = 1 AND flag)"
    assert plan(clause) == [("a", "1", '("c" > 5) OR "flag"'), ("a", "2", '"flag"')]


def test_beside_an_arm_that_can_fail_the_whole_is_evaluated_on_a_hit() -> None:
    clause = "(a = 1 AND 10 / c = 2) OR t = 'x'"
    whole = parse_where(clause, COLUMNS).sql
    assert plan(clause) == [("a", "1", whole), ("t", "x", whole)]


@pytest.mark.parametrize(
    "text",
    [
        "false", "NULL", "a = NULL", "a = 1.5", "a IN (1.5, 2.5)", "a IS NOT DISTINCT FROM 1.5", "a = 'NaN'::numeric",
        "c > 5 AND a = 1.5", "flag AND NULL", "a = 1 AND b = NULL", "a > 5 AND a < 5", "a BETWEEN 3 AND 1",
        "a > 5 AND a < 5.5 AND a = 1.5",
    ],
)  # fmt: skip
def test_what_is_never_true_has_no_lookups(text: str) -> None:
    assert plan(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "true", "a <> 7", "a NOT IN (1, 2)", "a = c", "a::text = '7'", "a = 1::float8", "a IS NOT NULL AND c <> 1",
        "(a = 1) IS TRUE", "flag = flag2", "a = n", "a IS DISTINCT FROM 7", "(a = 1) = flag", "n::float8 = 1",
        "a::float8 IN (1::float8, 2::float8)", "a = c OR flag", "a > c", "a > 1::float8", "d > '2024-01-01'::timestamp",
        "t LIKE '%'", "t LIKE '_'", "t NOT LIKE 'a%'", "a::text LIKE '1%'", "a > 7 OR a = c", "a > 7 IS TRUE",
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


def test_every_arm_that_could_drive_is_a_plan_and_the_best_is_the_first() -> None:
    where = parse_where("flag AND a = 1 AND t ILIKE '%mid%' AND a <> 9", COLUMNS)
    plans = plans_of(where.tree)
    assert [[one.column for one in plan] for plan in plans] == [["a"], ["t"], ["flag"]]
    assert plans[0] == where.lookups()
    assert plans_of(parse_where("a <> 7", COLUMNS).tree) == ()
    assert len(plans_of(parse_where("a = 7", COLUMNS).tree)) == 1


ARRAYS: dict[tuple[str, str], list[Key]] = {
    ("@>", "{2,1,2}"): [Holds("int4", frozenset((1, 2)))],
    ("@>", "{}"): [Holds("int4", frozenset())],
    ("@>", "{1,NULL}"): [],
    ("&&", "{1,NULL,2}"): [Holds("int4", frozenset((1,))), Holds("int4", frozenset((2,)))],
    ("&&", "{{1,2},{2,1}}"): [Holds("int4", frozenset((1,))), Holds("int4", frozenset((2,)))],
    ("&&", "{}"): [],
}


@pytest.mark.parametrize(("operator", "text"), ARRAYS)
def test_arrays_are_found_by_their_elements(operator: str, text: str) -> None:
    swapped = {"@>": "<@", "&&": "&&"}[operator]
    for clause in (f"xs {operator} '{text}'", f"'{text}' {swapped} xs"):
        lookups = parse_where(clause, {"xs": "int4[]"}).lookups()
        assert lookups is not None
        assert [one.key for one in lookups] == ARRAYS[operator, text]
        assert all(one.column == "xs" and one.residual is None for one in lookups)


def test_an_element_is_looked_up_in_an_array() -> None:
    for clause, key in (
        ("1 = ANY (xs)", Holds("int4", frozenset((1,)))),
        ("'a' = ANY (tags)", Holds("text", frozenset(("a",)))),
        ("1.50 = ANY (ns)", Holds("numeric", frozenset((Decimal("1.5"),)))),
    ):
        types = {"xs": "int4[]", "tags": "text[]", "ns": "numeric[]"}
        assert parse_where(clause, types).lookups() == (Lookup(clause.split("(")[1][:-1], key),)


@pytest.mark.parametrize(
    "clause",
    ["xs <@ '{1}'", "xs @> ys", "j @> '{}'", "1 = ALL (xs)", "a = ANY (xs)", "1 <> ANY (xs)", "NOT (xs && '{1}')", "2.5 = ANY (xs)"],
)  # fmt: skip
def test_what_no_index_of_elements_helps_is_evaluated(clause: str) -> None:
    types = {"xs": "int4[]", "ys": "int4[]", "j": "jsonb", "a": "int4"}
    assert parse_where(clause, types).lookups() is None

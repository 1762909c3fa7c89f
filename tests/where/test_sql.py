"""Canonical text: one for each meaning that we can tell, and parsed back to the same tree."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings

from django_electric.where import WhereError, parse_where
from tests.where.expressions import COLUMNS, clauses


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(clause=clauses())
@example(clause="ts = ANY (ARRAY['2024-02-29', '2024-01-01'::date])")
@example(clause="tz <> ALL (ARRAY['2024-02-29', '2024-01-01'::date])")
def test_the_text_parses_back_to_the_tree_it_was_made_of(clause: str) -> None:
    try:
        where = parse_where(clause, COLUMNS)
    except WhereError:
        return
    again = parse_where(where.sql, COLUMNS)
    assert (again.tree, again.sql, again.columns) == (where.tree, where.sql, where.columns)


SAME = [
    [
        "i4 = 1",
        "I4  =  (1)",
        '"i4"=1',
        "1 = i4",
        "i4 = '1'",
        "i4 IN (1)",
        "i4 = 1.0",
        "NOT i4 <> 1",
    ],
    ["b", "b = true", "true = b", "NOT NOT b", "b = 't'", "b <> false", "b AND true", "b OR false"],
    ["NOT b", "b = false", "b <> true", "b = 'no'"],
    ["i4 IN (1, 2)", "i4 = 2 OR i4 = 1", "i4 IN (2, 1, 2)", "NOT (i4 NOT IN (1, 2))"],
    ["i4 BETWEEN 1 AND 5", "i4 >= 1 AND i4 <= 5", "NOT (i4 < 1 OR i4 > 5)"],
    ["t = 'a' AND b AND d IS NULL", "t = 'a' AND (b AND d IS NULL)"],
    ["b IS UNKNOWN", "b IS NULL", "NOT (b IS NOT NULL)", "b IS NOT DISTINCT FROM NULL"],
    ["b IS TRUE", "b IS NOT DISTINCT FROM true", "NOT (b IS NOT TRUE)"],
    ["t NOT LIKE 'a\\%'", "NOT t LIKE 'a!%' ESCAPE '!'"],
    ["true", "1 = 1", "'a' = 'a'", "NULL IS NULL", "b OR true", "t IS NULL OR 2 > 1"],
    [
        "NULL::bool",
        "NULL",
        "i4 = NULL",
        "t LIKE NULL",
        "t LIKE 'a' ESCAPE NULL",
        "t IN (NULL)",
        "NULL < 'a'",
    ],
]


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_these_are_one_shape(texts: list[str]) -> None:
    assert {parse_where(text, COLUMNS).sql for text in texts} == {
        parse_where(texts[0], COLUMNS).sql
    }


PRINTED = {
    "i4 = 1": '"i4" = 1',
    "i8 = 5000000000": '"i8" = 5000000000',
    "t = 'it''s'": "\"t\" = 'it''s'::text",
    "t = 'a\\b'": "\"t\" = E'a\\\\b'::text",
    "n = 1.50": "\"n\" = '1.50'::numeric",
    "tz > '2024-01-01'": "\"tz\" > '2024-01-01 00:00:00+00'::timestamptz",
    "b AND (i4 = 1 OR NOT b2)": '"b" AND (("i4" = 1) OR (NOT "b2"))',
    "i4 NOT IN (1, NULL)": '"i4" NOT IN (1, NULL)',
    "(i4 = 1) IS NOT NULL": '("i4" = 1) IS NOT NULL',
    "b IS NOT FALSE": '"b" IS NOT FALSE',
    "t NOT ILIKE 'a'": "\"t\" NOT ILIKE 'a'::text",
    "i4 IS DISTINCT FROM i8": '"i4" IS DISTINCT FROM "i8"',
    "i4 = f": '"i4"::float8 = "f"',
    "b OR NULL": '"b" OR NULL::bool',
}


@pytest.mark.parametrize("text", PRINTED)
def test_how_it_is_printed(text: str) -> None:
    assert parse_where(text, COLUMNS).sql == PRINTED[text]


def test_names_are_quoted() -> None:
    columns = {'we"ird': "int4", "Select": "bool"}
    where = parse_where('"we""ird" = 1 AND "Select"', columns)
    assert where.sql == '("we""ird" = 1) AND "Select"'
    assert parse_where(where.sql, columns) == where

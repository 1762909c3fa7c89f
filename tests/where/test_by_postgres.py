"""Conditions that only Postgres will evaluate (PROTOCOL section 11.1): what it alone knows is left to it."""

from __future__ import annotations

import pytest

from django_electric.where import Locale, WhereError, parse_where

COLUMNS = {
    "a": "int4",
    "t": "text",
    "v": "varchar",
    "flag": "bool",
    "mood": "mood",
    "other": "mood",
    "small": "float4",
    "span": "interval",
    "tags": "text[]",
}


def sql(text: str, params: dict[str, str] | None = None) -> str:
    return parse_where(
        text, COLUMNS, params, locale=Locale(collation_is_c=False), by_postgres=True
    ).sql


LEFT = {
    "mood = 'ok'": "\"mood\" = 'ok'",
    "'it''s' <> mood": "'it''s' <> \"mood\"",
    "mood = E'a\\\\b'": "\"mood\" = E'a\\\\b'",
    "mood = other": '"mood" = "other"',
    "mood = NULL": '"mood" = NULL',
    "mood < 'ok'": "\"mood\" < 'ok'",
    "mood BETWEEN 'a' AND 'b'": "(\"mood\" >= 'a') AND (\"mood\" <= 'b')",
    "mood IN ('a')": "\"mood\" = 'a'",
    "mood IN ('a', 'b', NULL)": '("mood" = \'a\') OR ("mood" = \'b\') OR ("mood" = NULL)',
    "mood IS DISTINCT FROM 'a'": "\"mood\" IS DISTINCT FROM 'a'",
    "small > 1.5": "\"small\" > '1.5'::numeric",
    "small = 2": '"small" = 2',
    "span >= '1 day'": "\"span\" >= '1 day'",
    "tags = '{a}'": "\"tags\" = '{a}'",
    # An operator may have no counterpart that says the opposite.
    "NOT (mood < 'a')": "NOT (\"mood\" < 'a')",
    "NOT (mood = 'a' OR a = 1)": '(NOT ("mood" = \'a\')) AND ("a" <> 1)',
    "mood NOT IN ('a', 'b')": "(NOT (\"mood\" = 'a')) AND (NOT (\"mood\" = 'b'))",
    # A boolean beside another type is no condition by itself.
    "mood = true": '"mood" = true',
    "(mood = 'a') = flag": '("mood" = \'a\') = "flag"',
    # What the evaluator knows is brought into its normal form as ever.
    "a = 1 OR mood = 'a' OR a = 2": '("a" IN (1, 2)) OR ("mood" = \'a\')',
    "NOT (a < 5)": '"a" >= 5',
    # The collation is the column's.
    "t > 'x'": "\"t\" > 'x'::text",
    "v BETWEEN 'a' AND t": '("v" >= \'a\'::text) AND ("v" <= "t")',
    "t ILIKE 'É%'": "\"t\" ILIKE 'É%'::text",
}


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left_to_postgres_is_left_as_written(text: str) -> None:
    assert sql(text) == LEFT[text]


def test_a_parameter_stands_there_as_a_literal() -> None:
    assert (
        sql("mood = $1 AND t = $1", {"1": "o'k"})
        == "(\"mood\" = 'o''k') AND (\"t\" = 'o''k'::text)"
    )


@pytest.mark.parametrize("text", [text for text in LEFT if "mood" in text])
def test_a_shape_must_be_able_to_evaluate_it_itself(text: str) -> None:
    with pytest.raises(WhereError):
        parse_where(text, COLUMNS, locale=Locale(collation_is_c=False))


@pytest.mark.parametrize(
    "text",
    [
        "mood LIKE 'a%'",  # whether there is such an operator depends on extensions
        "mood",
        "mood AND flag",
        "mood IS TRUE",
        "nosuch = 'a'",
        # Constants are compared here, and nobody knows by which collation.
        "'a' < 'B'",
        "'É' ILIKE 'é'",
    ],
)
def test_the_rest_is_refused_all_the_same(text: str) -> None:
    with pytest.raises(WhereError):
        sql(text)


def test_its_canonical_text_means_itself() -> None:
    for text in LEFT.values():
        assert sql(text) == text

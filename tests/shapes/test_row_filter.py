"""What Postgres may be told to leave out of the stream: PROTOCOL section 10.2 leaves it open."""

from __future__ import annotations

import pytest

from django_electric.shapes.row_filter import MOST_BYTES, MOST_CLAUSES, is_plain, row_filter
from django_electric.where import Analysis, Locale, Where, delegated_where, parse_where

TYPES = {
    "n": "int4", "small": "int2", "price": "numeric", "score": "float8", "title": "text", "flag": "bool",
    "day": "date", "seen": "timestamp", "tags": "text[]", "data": "jsonb",
}  # fmt: skip


def where(text: str) -> Where:
    return parse_where(text, TYPES)


@pytest.mark.parametrize(
    "clause",
    [
        "n = 7", "n IN (1, 2, NULL)", "n BETWEEN 1 AND 3", "n = small", "price < 1.5 AND n IS NOT NULL",
        "title LIKE 'a%' OR title ILIKE '%b%'", "NOT flag", "flag IS NOT TRUE", "n IS DISTINCT FROM 3",
        "day > '2024-01-01'", "seen <= '2024-01-01 10:00'", "score = 'NaN'", "n = 1.5", "small = 70000", "tags = '{a}'",
    ],
)  # fmt: skip
def test_comparisons_are_plain(clause: str) -> None:
    assert is_plain(where(clause))


@pytest.mark.parametrize(
    "clause",
    [
        "n + 1 = 2", "10 / n = 2", "length(title) > 3", "title::int4 = 1", "tags[1] = 'a'", "'a' = ANY (tags)", "price::float8 > 1",
        "coalesce(n, 0) = 0", "CASE WHEN flag THEN n END = 1", "data ->> 'a' = 'b'", "greatest(n, 2) = 2", "n > 1 AND 10 / n > 2",
    ],
)  # fmt: skip
def test_what_computes_or_can_fail_is_not(clause: str) -> None:
    """An error while Postgres decodes would stop the stream."""
    assert not is_plain(where(clause))
    assert row_filter([where("n = 1"), where(clause)]) is None


def test_what_postgres_evaluates_is_not() -> None:
    delegated = delegated_where(Analysis("(n = 1)", ("n",)), TYPES, Locale())
    assert row_filter([delegated]) is None


def test_a_whole_table_is_not_filtered() -> None:
    assert row_filter([where("n = 1"), None]) is None
    assert row_filter([]) is None


def test_each_condition_stands_once_in_an_order_of_its_own() -> None:
    wheres = [where("n = 2"), where("flag"), where("n  =  2")]
    assert row_filter(wheres) == row_filter(wheres[::-1]) == '("flag") OR ("n" = 2)'


def test_many_and_long_ones_are_not_filtered() -> None:
    few = [where(f"n = {n}") for n in range(MOST_CLAUSES)]
    assert row_filter(few) is not None
    assert row_filter([*few, where("n = -1")]) is None
    assert row_filter([where(f"title = '{'x' * MOST_BYTES}'")]) is None
    assert row_filter([where(f"title = '{'ü' * (MOST_BYTES // 2)}'")]) is None

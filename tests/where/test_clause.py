"""Where, as the rest of the package uses it."""

from __future__ import annotations

import pytest

from django_electric.where import WhereError, parse_where
from django_electric.where.clause import MAX_BYTES


def test_columns_are_those_that_the_normal_form_refers_to() -> None:
    columns = {"a": "int4", "b": "int4", "c": "bool"}
    assert parse_where("a = 1 AND (b > a OR c)", columns).columns == {"a", "b", "c"}
    assert parse_where("a = 1 OR true", columns).columns == frozenset()


def test_a_clause_may_not_be_too_big() -> None:
    with pytest.raises(WhereError, match="bigger than maximum size"):
        parse_where("a = 1" + " " * MAX_BYTES, {"a": "int4"})


def test_canonical_text_may_be_as_big_as_it_becomes() -> None:
    """A parameter, or the types of constants, can make it bigger than what was asked for."""
    columns = {"a": "int4", "t": "text"}
    for text, params in {"t = $1": {"1": "x" * MAX_BYTES}, " OR ".join(["a>1"] * 8000): {}}.items():
        where = parse_where(text, columns, params)
        assert len(where.sql) > MAX_BYTES
        assert parse_where(where.sql, columns) == where


def test_a_list_of_ten_thousand_is_one_set() -> None:
    where = parse_where(f"a IN ({','.join(map(str, range(10_000)))})", {"a": "int4"})
    matches = where.compile({"a": 0})
    assert (matches(("9999",)), matches(("10000",)), matches((None,))) == (True, False, None)
    assert len(where.lookups() or ()) == 10_000
    assert parse_where(where.sql, {"a": "int4"}) == where


def test_ten_thousand_alternatives_are_no_depth() -> None:
    where = parse_where(" OR ".join(f"a>{n}" for n in range(5_000)), {"a": "int4"})
    assert where.compile({"a": 0})(("0",)) is False
    assert where.compile({"a": 0})(("5000",)) is True


def test_equal_clauses_are_equal_values() -> None:
    one, two = (parse_where(text, {"a": "int4"}) for text in ("a=1", "1 = (a)"))
    assert one == two
    assert len({one, two}) == 1

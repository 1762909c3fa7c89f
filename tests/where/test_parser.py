"""WHERE.md section 2: what is refused before types are looked at, with the exact message."""

from __future__ import annotations

import pytest

from django_electric.where import SortKey, WhereError
from django_electric.where.nodes import (
    Junction,
    Likeness,
    Literal,
    Number,
    Operation,
    Reference,
    Truth,
)
from django_electric.where.parser import parse, parse_order_by

REFUSED = {
    "1 x 1": 'At location 17: syntax error at or near "x"',
    "x = = 1": 'At location 19: syntax error at or near "="',
    "x =": "At location 18: syntax error at end of input",
    " ": "At location 16: syntax error at end of input",
    "x = 'a": 'At location 19: unterminated quoted string at or near "\'a"',
    "x = 1)": 'At location 20: syntax error at or near ")"',
    "a = 1; DROP TABLE x": 'unescaped ";" causing statement split',
    "x = 1;": 'At location 20: syntax error at or near ";"',
    "a = 1 ORDER BY a": "malformed query ending with SQL clauses",
    "a = 1 GROUP BY a": "malformed query ending with SQL clauses",
    "a = 1 HAVING true": "malformed query ending with SQL clauses",
    "a = 1 FOR UPDATE": "malformed query ending with SQL clauses",
    "a = 1 LIMIT 1": "malformed query ending with SQL clauses",
    "a = 1 OFFSET 1": "malformed query ending with SQL clauses",
    "a = 1 WINDOW w AS ()": "malformed query ending with SQL clauses",
    "a = 1 UNION SELECT 1": "malformed query ending with SQL clauses",
    "count(*) > 1": "At location 0: aggregation is not supported in this context",
    "count(DISTINCT x) > 1": "At location 0: aggregation is not supported in this context",
    "count(x) FILTER (WHERE y) > 1": "At location 0: aggregation is not supported in this context",
    "row_number() OVER () = 1": "At location 0: aggregation is not supported in this context",
    "concat(VARIADIC x) = 'a'": "At location 0: explicit VARIADIC function calls are not currently supported",
    "x = B'101'": "At location 4: BitString values are not supported",
    "d > current_date": "At location 4: SQLValueFunction is not supported in this context",
    'x COLLATE "C" = 1': "At location 2: CollateClause is not supported in this context",
    "(x).y = 1": "At location 0: A_Indirection is not supported in this context",
    "x.* = 1": "At location 0: A_Star is not supported in this context",
    "EXISTS (SELECT 1)": "At location 0: only `value IN (SELECT ...)` sublinks are supported right now",
    "x = (SELECT 1)": "At location 4: only `value IN (SELECT ...)` sublinks are supported right now",
    "x = ALL (SELECT 1)": "At location 2: only `value IN (SELECT ...)` sublinks are supported right now",
    "x = ANY (SELECT 1)": "At location 2: only `value IN (SELECT ...)` sublinks are supported right now",
    "x IN (SELECT y FROM z)": "At location 2: SubLink is not supported in this context",
    "(x, y) NOT IN (SELECT y, x FROM a.z AS t WHERE true)": "At location 7: SubLink is not supported in this context",
    "x IN (SELECT y FROM z ORDER BY y)": "SELECT statement must not contain any clauses",
    "x IN (SELECT DISTINCT y FROM z)": "SELECT statement must not contain any clauses",
    "x IN (SELECT y FROM z GROUP BY y)": "SELECT statement must not contain any clauses",
    "x IN (SELECT y FROM z LIMIT 1)": "SELECT statement must not contain any clauses",
    "x IN (SELECT y FROM z FOR UPDATE)": "SELECT statement must not contain any clauses",
    "x IN (WITH q AS (SELECT 1) SELECT y FROM q)": "SELECT statement must not contain any clauses",
    "x IN (SELECT y FROM z UNION SELECT 1)": "Expected a single table reference",
    "x IN (VALUES (1))": "Expected a single table reference",
    "x IN (SELECT y)": "Expected a single table reference",
    "x IN (SELECT y FROM z, w)": "Expected a single table reference",
    "x IN (SELECT y FROM z JOIN w ON true)": "Expected a single table reference",
    "x IN (SELECT y FROM (SELECT 1) q)": "Expected a single table reference",
    "x IN (SELECT y + 1 FROM z)": "At location 28: Expected a plain column reference",
    "x IN (SELECT y, 1 FROM z)": "At location 31: Expected a plain column reference",
    "x IN (SELECT * FROM z)": "At location 28: Expected a plain column reference",
    "x + 1 IN (SELECT y FROM z)": "currently, left side of `IN (SELECT ...)` can only be a column reference or a list of column references",
    "(x, 1) IN (SELECT y FROM z)": "currently, left side of `IN (SELECT ...)` can only be a column reference or a list of column references",
    "x IN (TABLE z)": "At location -1: Expected a plain column reference",
    "é = 1 AND x.*": "At location 11: A_Star is not supported in this context",
    "d = 'x'::interval day": "At location 9: unsupported type interval with a modifier",
    "x = 'a\0b'": 'invalid byte sequence for encoding "UTF8"',
    "x = '\ud800'": 'invalid byte sequence for encoding "UTF8"',
}


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_is_refused_is_refused_in_these_words(text: str) -> None:
    with pytest.raises(WhereError) as caught:
        parse(text)
    assert str(caught.value) == REFUSED[text]
    assert caught.value.field == "where"


@pytest.mark.parametrize(
    "text",
    [
        "NOT " * 10_000 + "x",
        "(" * 10_000 + "x" + ")" * 10_000,
        "x" + "::int8" * 10_000 + " = 1",
        "x" + " + 1" * 10_000 + " = 1",
        "x AND (" * 3_000 + "y" + ")" * 3_000,
        "(" * 3_000 + "x" + " IS NULL)" * 3_000,
        "x = (" * 60 + "y" + ")" * 60,
    ],
    ids=["not", "parentheses", "casts", "sums", "and", "tests", "comparisons"],
)
def test_deep_nesting_is_an_error_like_any_other(text: str) -> None:
    with pytest.raises(WhereError, match=r"nested too deeply|memory exhausted"):
        parse(text)


def test_comments_and_spaces_are_not_part_of_the_condition() -> None:
    assert parse("x /* why */ = 1 -- so") == Operation(
        "=", (Reference("x", 0), Number("1", 14)), 12
    )


def test_members_that_hold_their_default_are_absent_from_the_json() -> None:
    assert parse("0 = 0") == Operation("=", (Number("0", 0), Number("0", 4)), 2)
    assert parse("false") == Truth(False, 0)
    assert parse("NULL") == Literal(None, 0)


def test_names_are_folded_unless_quoted() -> None:
    assert parse('FOO = "Foo" AND "we ""ird"') == Junction(
        "AND",
        (Operation("=", (Reference("foo", 0), Reference("Foo", 6)), 4), Reference('we "ird', 16)),
        12,
    )


def test_like_with_escape() -> None:
    pattern, escape = Literal("a!%", 7), Literal("!", 20)
    assert parse("x LIKE 'a!%' ESCAPE '!'") == Likeness(
        Reference("x", 0), pattern, escape, False, False, 2
    )
    assert parse("x !~~* 'a'") == Likeness(Reference("x", 0), Literal("a", 7), None, True, True, 2)


# --- ORDER BY (WHERE.md section 17) -------------------------------------------------------------


NAMES = {"id", "name", "é", 'a "b', "t.id"}

REFUSED_ORDERS = {
    "nope": "At location 0: unknown reference nope",
    "id, ID, Nope DESC": "At location 8: unknown reference nope",
    '"Id"': "At location 0: unknown reference Id",
    "t.id": "At location 0: unknown reference t.id",
    "t.*": "At location 0: unknown reference t.*",
    "é, nope": "At location 4: unknown reference nope",
    "$1": "At location 0: parameter $1 is not supported in ORDER BY clauses",
    "pg_sleep(5)": "At location 0: FuncCall expressions are not allowed in ORDER BY clauses",
    "id, id::text": "At location 6: TypeCast expressions are not allowed in ORDER BY clauses",
    "(SELECT 1)": "At location 0: SubLink expressions are not allowed in ORDER BY clauses",
    "CASE WHEN true THEN 1 END": "At location 0: CaseExpr expressions are not allowed in ORDER BY clauses",
    "id + 1": "At location 3: A_Expr expressions are not allowed in ORDER BY clauses",
    "name IS NULL": "At location 5: NullTest expressions are not allowed in ORDER BY clauses",
    "NOT id": "At location 0: BoolExpr expressions are not allowed in ORDER BY clauses",
    "(id, name)": "At location 0: RowExpr expressions are not allowed in ORDER BY clauses",
    'name COLLATE "C"': "At location 5: CollateClause expressions are not allowed in ORDER BY clauses",
    "(name).x": "At location 0: A_Indirection expressions are not allowed in ORDER BY clauses",
    "random": "At location 0: unknown reference random",
    "current_user": "At location 0: SQLValueFunction expressions are not allowed in ORDER BY clauses",
    "id USING >": "At location 0: USING is not supported in ORDER BY clauses",
    "id; DROP TABLE x": "Unexpected `;` in order by",
    "id;": "Unexpected `;` in order by",
    "id LIMIT 1": "malformed query ending with SQL clauses",
    "id OFFSET 1": "malformed query ending with SQL clauses",
    "id FOR UPDATE": "malformed query ending with SQL clauses",
    "id UNION SELECT 1": 'At location 3: syntax error at or near "UNION"',
    "id x": 'At location 3: syntax error at or near "x"',
    "id NULLS": 'At location 3: syntax error at or near "NULLS"',
    "id,": "At location 3: syntax error at end of input",
    "-- id": "At location 5: syntax error at end of input",
    "id\0": 'invalid byte sequence for encoding "UTF8"',
    "\ud800": 'invalid byte sequence for encoding "UTF8"',
    "id" + ",id" * 25_000: "clause is bigger than maximum size of 65536 bytes",
}


@pytest.mark.parametrize("text", REFUSED_ORDERS, ids=lambda text: ascii(text)[:40])
def test_an_order_that_is_refused_is_refused_in_these_words(text: str) -> None:
    with pytest.raises(WhereError) as caught:
        parse_order_by(text, NAMES)
    assert str(caught.value) == REFUSED_ORDERS[text]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("id", [("id", "", "")]),
        ("ID asc, é desc", [("id", "ASC", ""), ("é", "DESC", "")]),
        ('"a ""b" NULLS FIRST', [('a "b', "", "FIRST")]),
        ("(id) DESC NULLS LAST -- so", [("id", "DESC", "LAST")]),
        ('"t.id"', [("t.id", "", "")]),
        ("id DESC, name, id ASC", [("id", "DESC", ""), ("name", "", "")]),
        ("1, -2 DESC, 1.5, 'id', NULL, true, B'1'", []),
    ],
)
def test_what_an_order_says(text: str, keys: list[tuple[str, str, str]]) -> None:
    assert parse_order_by(text, NAMES) == tuple(SortKey(*key) for key in keys)

"""PROTOCOL section 2.5 and WHERE.md sections 6 and 7: types, parameters, and what is said of them."""

from __future__ import annotations

import re

import pytest

from django_electric.where import Locale, WhereError, parse_where
from tests.where.expressions import VALUES, quote

COLUMNS = {
    "a": "int4",
    "small": "int2",
    "big": "int8",
    "f": "float8",
    "n": "numeric",
    "t": "text",
    "v": "varchar",
    "u": "uuid",
    "flag": "bool",
    "d": "date",
    "ts": "timestamp",
    "tz": "timestamptz",
    "j": "jsonb",
    "xs": "int4[]",
    "pair": "record",
    "Quoted": "text",
}


def refusal(text: str, params: dict[str, str] | None = None, **options: Locale) -> WhereError:
    with pytest.raises(WhereError) as caught:
        parse_where(text, COLUMNS, params, **options)
    return caught.value


def canonical(text: str, params: dict[str, str] | None = None) -> str:
    return parse_where(text, COLUMNS, params).sql


REFUSED = {
    "foo = 1": "At location 0: unknown reference foo",
    "a = 1 AND t.a = 1": "At location 10: unknown reference t.a",
    "quoted = 'a'": "At location 0: unknown reference quoted",
    "1": "WHERE clause must return a boolean",
    "a": "WHERE clause must return a boolean",
    "'abc'": "WHERE clause must return a boolean",
    "$1 > 5": "At location 0: parameter $1 was not provided",
    "big = 'abc'": "At location 6: invalid syntax for type int8: abc",
    "a = ''": "At location 4: invalid syntax for type int4: ",
    "a = '2147483648'": "At location 4: invalid syntax for type int4: 2147483648",
    "flag = 'a'": "At location 7: invalid syntax for type bool: a",
    "d = 'today'": "At location 4: invalid syntax for type date: today",
    "tz > 'now'": "At location 5: invalid syntax for type timestamptz: now",
    "t = 5": "At location 2: Could not select an operator overload",
    "a = true": "At location 2: Could not select an operator overload",
    "d = 5": "At location 2: Could not select an operator overload",
    "u = t": "At location 2: Could not select an operator overload",
    "a > '2024-01-01'::date": "At location 2: Could not select an operator overload",
    "t LIKE 5": "At location 2: Could not select an operator overload",
    "a LIKE '1%'": "At location 2: Could not select an operator overload",
    "a IN (1, 'x'::text)": "At location 2: Could not select an operator overload",
    "a IN (1, true)": "At location 2: Could not select an operator overload",
    "d IN (1, 2)": "At location 2: Could not select an operator overload",
    "a::money = 1": "At location 3: unsupported type money",
    "a::nosuch = 1": "At location 3: unsupported type nosuch",
    "'x'::int4 = 5": 'At location 0: could not cast value "x" from text to int4',
    "date 'x' = d": 'At location 5: could not cast value "x" from text to date',
    "70000::int2 = 5": 'At location 0: could not cast value "70000" from int4 to int2',
    "f = '1e400'::numeric": "At location 0: Failed to apply function to constant arguments",
    "NOT a": "At location 4: reference a of type int4 is not castable to bool",
    "t AND true": "At location 0: reference t of type text is not castable to bool",
    "NOT 5": "At location 4: expression of type int4 is not castable to bool",
    "a IS TRUE": "At location 2: argument of IS TRUE must be bool, not int4",
    "a IS NOT UNKNOWN": "At location 2: argument of IS NOT UNKNOWN must be bool, not int4",
    "u IN ('a'::text, 'b'::text)": "At location 2: Could not select an operator overload",
    "t LIKE 'a\\'": "At location 7: LIKE pattern must not end with escape character",
    "t LIKE 'a' ESCAPE 'ab'": "At location 7: invalid escape string",
    "pair IS NULL": "At location 5: IS NULL of a composite value is not supported",
    "a < 1e2000": "invalid syntax for type numeric: 1e2000",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_is_refused_in_these_words(text: str) -> None:
    assert str(refusal(text)) == REFUSED[text]


class TestParameters:
    @pytest.mark.parametrize("keys", [("a",), ("1", "x"), ("-1",), ("1.5",), ("",), ("\u0661",)])
    def test_keys_are_numbers(self, keys: tuple[str, ...]) -> None:
        error = refusal("a = 1", dict.fromkeys(keys, "1"))
        assert (str(error), error.field) == ("Parameters can only use numbers as keys", "params")

    @pytest.mark.parametrize("keys", [("2",), ("0", "1"), ("1", "3"), ("1", "01")])
    def test_keys_are_contiguous_from_one(self, keys: tuple[str, ...]) -> None:
        error = refusal("a = 1", dict.fromkeys(keys, "1"))
        message = "Parameters must be numbered sequentially, starting from 1"
        assert (str(error), error.field) == (message, "params")

    @pytest.mark.parametrize("value", ["a\0b", "\ud800"])
    def test_values_are_text_that_postgres_can_hold(self, value: str) -> None:
        assert refusal("t = $1", {"1": value}).field == "params"

    def test_a_parameter_takes_the_type_of_its_place(self) -> None:
        assert canonical("t = $1 AND a = $2", {"1": "5", "2": "5"}) == canonical(
            "t = '5' AND a = 5"
        )

    def test_an_unused_one_is_allowed(self) -> None:
        assert canonical("a = $2", {"1": "x", "2": "5"}) == canonical("a = 5")

    def test_it_keeps_the_type_that_it_was_given_first(self) -> None:
        message = "At location 13: Could not select an operator overload"
        assert str(refusal("a = $1 AND t = $1", {"1": "5"})) == message
        assert canonical("a = $1 AND big = $1", {"1": "5"}) == canonical("a = 5 AND big = 5")
        message = "At location 4: invalid syntax for type int4: 5.5"
        assert str(refusal("a = $1 AND n = $1", {"1": "5.5"})) == message

    def test_a_cast_gives_it_a_type(self) -> None:
        assert canonical("$1::int8 = a", {"1": "5"}) == canonical("a = 5")
        message = 'At location 0: could not cast value "x" from text to int8'
        assert str(refusal("$1::int8 = a", {"1": "x"})) == message
        assert str(refusal("$1::text = t AND a = $1", {"1": "5"})).endswith("operator overload")

    def test_its_text_is_data(self) -> None:
        text = "' OR true --\\"
        where = parse_where("t = $1", COLUMNS, {"1": text})
        assert where.compile({"t": 0})((text,)) is True
        assert where.compile({"t": 0})(("x",)) is False

    def test_where_no_type_is_asked_for_it_is_text(self) -> None:
        assert canonical("$1 = $2", {"1": "a", "2": "a"}) == "true"
        assert canonical("$1 IS NULL", {"1": "a"}) == "false"


class TestTextOrder:
    MESSAGE = "text is ordered here by a collation that only Postgres knows"

    @pytest.mark.parametrize("text", ["t < 'b'", "'b' >= v", "t BETWEEN 'a' AND 'b'", "t > v"])
    def test_needs_collation_c(self, text: str) -> None:
        assert self.MESSAGE in str(refusal(text, locale=Locale(collation_is_c=False)))
        assert parse_where(text, COLUMNS, locale=Locale(collation_is_c=True))

    @pytest.mark.parametrize("text", ["'a' < 'b'", "a::text < '5'", "'a'::text > $1"])
    def test_without_a_text_column_the_databases_own_collation_counts(self, text: str) -> None:
        assert self.MESSAGE in str(refusal(text, {"1": "x"}, locale=Locale(collation_is_c=True)))

    @pytest.mark.parametrize(
        "text", ["t = 'b'", "t <> v", "t IN ('a', 'b')", "t LIKE 'a%'", "t < NULL", "u < u"]
    )
    def test_equality_and_like_do_not(self, text: str) -> None:
        assert parse_where(text, COLUMNS, locale=Locale(collation_is_c=False))


class TestIlike:
    def test_patterns_are_ascii(self) -> None:
        message = "At location 8: ILIKE of such letters depends on the database's locale"
        assert str(refusal("t ILIKE 'É%'")).startswith(message)
        assert parse_where("t LIKE 'É%'", COLUMNS)

    def test_in_turkish_nothing_is_said_about_the_letter_i(self) -> None:
        assert "locale" in str(refusal("t ILIKE '%I%'", locale=Locale(lowers_ascii=False)))
        assert parse_where(
            "t ILIKE '%a%' AND t LIKE '%i%'", COLUMNS, locale=Locale(lowers_ascii=False)
        )


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "normal"),
        [
            ("a = 1.0", "a = 1"),
            ("1.00 = a", "a = 1"),
            ("a = 5000000000", "a = 5000000000"),
            ("a = -2147483648", "a = -2147483648"),
            ("a > 1e2", "a > 100"),
            ("a = '7'", "a = 7"),
            ("a = 7::int8", "a = 7"),
            ("a::int8 = 7", "a = 7"),
            ("a = 0x1F", "a = 31"),
            ("a = 1_000", "a = 1000"),
            ("a IN (1.0, 2, 2.5)", "a IN (1, 2)"),
            ("a IN (2, 1, 2, 1.0)", "a IN (1, 2)"),
            ("n = 7", "n = '7'::numeric"),
            ("f = 7", "f = '7'::float8"),
            ("f = 1.5", "f = '1.5'"),
            ("a > 1.5", "a::numeric > 1.5"),
            ("a = 1::float8", "a::float8 = 1::float8"),
            ("a < 0xFFFFFFFFFFFFFFFFFF", "a < 4722366482869645213695"),
        ],
    )
    def test_a_constant_is_brought_to_the_columns_type_if_that_is_exact(
        self, written: str, normal: str
    ) -> None:
        assert canonical(written) == canonical(normal)

    def test_an_in_list_has_one_type(self) -> None:
        """2^53 + 1 is 2^53 as float8, and it is as float8 that the whole list is compared."""
        where = parse_where("big IN (9007199254740992, 1::float8)", COLUMNS)
        assert where.compile({"big": 0})(("9007199254740993",)) is True
        where = parse_where("big IN (9007199254740992, 1.5)", COLUMNS)
        assert where.compile({"big": 0})(("9007199254740993",)) is False


@pytest.mark.parametrize("name", [name for name, kind in COLUMNS.items() if kind in VALUES])
def test_quoted_literals_and_parameters_take_the_type_of_any_column(name: str) -> None:
    if COLUMNS[name] == "jsonb":
        return
    one, two = VALUES[COLUMNS[name]][:2]
    column = f'"{name}"'
    lists = (f"{quote(one)}, {quote(two)}", "$1, $2", f"{quote(one)}, $2, NULL", f"{quote(two)}")
    for items in lists:
        for form in (f"{column} IN ({items})", f"{column} NOT IN ({items})"):
            matches = parse_where(form, COLUMNS, {"1": one, "2": two}).compile({name: 0})
            assert matches((two,)) is (" NOT " not in form)
    for operator in ("=", "<>", "<", "<=", ">", ">="):
        assert canonical(f"{column} {operator} $1", {"1": one}) == canonical(
            f"{column} {operator} {quote(one)}"
        )
    assert parse_where(f"{column} BETWEEN $1 AND $2", COLUMNS, {"1": one, "2": two})
    assert parse_where(f"{column} IS DISTINCT FROM $1", COLUMNS, {"1": one})


def test_null_tests_are_for_every_type() -> None:
    for name in ("j", "xs", "u"):
        where = parse_where(f"{name} IS NULL", COLUMNS)
        assert (where.compile({name: 0})((None,)), where.compile({name: 0})(("x",))) == (
            True,
            False,
        )
    assert canonical("j IS DISTINCT FROM NULL") == canonical("j IS NOT NULL")


def test_what_only_looks_deep_is_not() -> None:
    assert canonical("NOT " * 40 + "flag") == '"flag"'


def test_a_tree_too_deep_for_the_compiler_is_refused() -> None:
    assert str(refusal("flag <> (" * 45 + "flag" + ")" * 45)) == "expression is nested too deeply"


@pytest.mark.parametrize(
    "text",
    [
        "flag AND (a = 1 OR (" * 19 + "flag" + "))" * 19,
        "flag <> (" * 38 + "flag" + ")" * 38,
        "(a > 1) <> (" * 38 + "flag" + ")" * 38,
        "(d::timestamp = ts) <> (" * 37 + "flag" + ")" * 37,
        "flag IS DISTINCT FROM (" * 38 + "flag" + ")" * 38,
        "(" * 19 + "flag" + " <> (a = 1)) IS NULL" * 19,
        "a" + "::bool::int4" * 19 + " = 1",
    ],
)
def test_the_deepest_trees_allowed_can_be_compiled_and_parsed_again(text: str) -> None:
    where = parse_where(text, COLUMNS)
    positions = {"a": 0, "flag": 1, "d": 2, "ts": 3}
    where.compile(positions)(("1", "t", "2024-01-01", "2024-01-01 00:00:00"))
    assert parse_where(where.sql, COLUMNS) == where


@pytest.mark.parametrize(
    "text",
    [
        "nullif(" * 18 + "a" + ", 0)" * 18 + " = 1",
        "(" * 18 + "flag" + " BETWEEN SYMMETRIC true AND false)" * 18,
        "CASE " * 18 + "a" + " WHEN 1 THEN 2 WHEN 2 THEN 3 END" * 18 + " = 1",
        "(" * 15 + "flag" + " IN (flag, NOT flag))" * 15,
    ],
)
def test_what_is_evaluated_several_times_does_not_multiply(text: str) -> None:
    assert "so long is left to Postgres" in str(refusal(text))


NESTED = {
    "upper": ("upper(", "t", ")", " = 'A'"),
    "plus": ("(1 + ", "a", ")", " > 0"),
    "case": ("CASE WHEN flag THEN ", "a", " ELSE 0 END", " > 0"),
    "condition": ("CASE WHEN ", "flag", " THEN flag ELSE NOT flag END", ""),
    "coalesce": ("coalesce(", "a", ", 0)", " > 0"),
    "greatest": ("greatest(", "a", ", 0)", " > 0"),
    "subscript": ("xs[", "a", "]", " > 0"),
    "array": ("(", "xs", " || a)", " = '{1}'"),
    "divide": ("(a / ", "a", ")", " > 0"),
}


@pytest.mark.parametrize("name", NESTED)
def test_deep_expressions_can_be_compiled_or_are_refused(name: str) -> None:
    before, inner, behind, rest = NESTED[name]
    where = parse_where(before * 38 + inner + behind * 38 + rest, COLUMNS)
    positions = {"a": 0, "flag": 1, "t": 2, "xs": 3}
    where.compile(positions)
    where.compile_scan(positions)
    assert parse_where(where.sql, COLUMNS) == where
    for depth in (45, 3_000):
        text = before * depth + inner + behind * depth + rest
        assert re.search("nested too deeply|memory exhausted", str(refusal(text)))

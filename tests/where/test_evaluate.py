"""Three-valued logic, lazy decoding, and rows on which Postgres would fail."""

from __future__ import annotations

from itertools import product

import pytest

from django_electric.postgres.values import Value, decode_numeric
from django_electric.where import EvaluationError, decoding, parse_where
from django_electric.where.evaluate import Evaluator, compile_node

TRUTHS = {"t": True, "f": False, None: None}


def evaluator(text: str, **columns: str) -> Evaluator:
    positions = {name: position for position, name in enumerate(columns)}
    return parse_where(text, columns).compile(positions)


def both(one: bool | None, two: bool | None) -> bool | None:
    return False if one is False or two is False else None if None in (one, two) else True


def either(one: bool | None, two: bool | None) -> bool | None:
    return True if one is True or two is True else None if None in (one, two) else False


class TestLogic:
    """WHERE.md section 8."""

    @pytest.mark.parametrize(("one", "two"), list(product(TRUTHS, TRUTHS)))
    def test_and_or_not(self, one: str | None, two: str | None) -> None:
        columns = {"a": "bool", "b": "bool"}
        expected = both(TRUTHS[one], TRUTHS[two])
        assert evaluator("a AND b", **columns)((one, two)) is expected
        assert evaluator("NOT (NOT a OR NOT b)", **columns)((one, two)) is expected
        assert evaluator("a OR b", **columns)((one, two)) is either(TRUTHS[one], TRUTHS[two])

    @pytest.mark.parametrize(
        ("test", "true", "false", "null"),
        [
            ("IS TRUE", True, False, False),
            ("IS NOT TRUE", False, True, True),
            ("IS FALSE", False, True, False),
            ("IS NOT FALSE", True, False, True),
            ("IS UNKNOWN", False, False, True),
            ("IS NOT UNKNOWN", True, True, False),
        ],
    )
    def test_truth_tests(self, test: str, true: bool, false: bool, null: bool) -> None:
        for text in (f"a {test}", f"(a = b) {test}", f"(NOT NOT a) {test}"):
            matches = evaluator(text, a="bool", b="bool")
            rows = (("t", "t"), ("f", "t"), (None, "t"))
            assert tuple(map(matches, rows)) == (true, false, null)

    def test_in_a_list_with_null_nothing_is_missing_for_certain(self) -> None:
        matches = evaluator("x IN (1, NULL)", x="int4")
        assert (matches(("1",)), matches(("2",)), matches((None,))) == (True, None, None)
        matches = evaluator("x NOT IN (1, NULL)", x="int4")
        assert (matches(("1",)), matches(("2",)), matches((None,))) == (False, None, None)

    def test_arms_that_are_never_null(self) -> None:
        matches = evaluator("x IS NULL AND y IS NULL", x="int4", y="int4")
        assert (matches((None, None)), matches((None, "1"))) == (True, False)
        matches = evaluator("x IS NULL OR y IS NOT NULL", x="int4", y="int4")
        assert (matches(("1", None)), matches(("1", "1"))) == (False, True)
        matches = evaluator("x IS NULL OR y > 1", x="int4", y="int4")
        assert (matches(("1", None)), matches((None, "1")), matches(("1", "1"))) == (
            None,
            True,
            False,
        )

    def test_distinct(self) -> None:
        matches = evaluator("x IS DISTINCT FROM y", x="int4", y="int8")
        rows = (("1", "1"), ("1", "2"), ("1", None), (None, "1"), (None, None))
        assert tuple(map(matches, rows)) == (False, True, True, True, False)
        matches = evaluator("x IS NOT DISTINCT FROM 1.5", x="numeric")
        assert (matches(("1.50",)), matches((None,))) == (True, False)

    def test_conditions_are_values_too(self) -> None:
        matches = evaluator("(x > 1) = (y IS NULL)", x="int4", y="int4")
        assert (matches(("2", None)), matches(("2", "1")), matches((None, "1"))) == (
            True,
            False,
            None,
        )
        matches = evaluator("a <> (b <> (a < b))", a="bool", b="bool")
        assert matches(("t", "t")) is False


class TestTypes:
    """WHERE.md section 4: values, not texts, are compared wherever that makes a difference."""

    @pytest.mark.parametrize(
        ("kind", "clause", "true", "false"),
        [
            ("bool", "x", "true", "false"),
            ("bool", "x = (x IS NOT NULL)", "t", "f"),
            ("int4", "x < 10", "9", "10"),
            ("int4", "x > 1.5", "2", "1"),
            ("int8", "x = 1::float8", "1", "2"),
            ("numeric", "x = 1.5", "1.500", "1.501"),
            ("numeric", "x > 'Infinity'", "NaN", "Infinity"),
            ("numeric", "x = 'NaN'", "NaN", "1"),
            ("float8", "x = 0", "-0", "1"),
            ("float8", "x >= 'NaN'", "NaN", "Infinity"),
            ("float8", "x > 1e300", "Infinity", "-Infinity"),
            ("text", "x > 'Z'", "a", "A"),
            (
                "uuid",
                "x < '550e8400-e29b-41d4-a716-446655440001'",
                "550e8400-e29b-41d4-a716-446655440000",
                "f" * 8,
            ),
            ("date", "x < '2024-01-01'", "0044-03-15 BC", "12345-01-01"),
            ("date", "x < '2024-01-01'", "2023-12-31", "2024-01-01"),
            ("date", "x < 'infinity'", "5874897-12-31", "infinity"),
            ("date", "x > '0044-03-15 BC'", "0044-03-16 BC", "0044-03-14 BC"),
            ("date", "x = '2024-01-01'::timestamp", "2024-01-01", "2024-01-02"),
            ("date", "x IN ('2024-01-01'::timestamp, 'infinity')", "infinity", "2024-01-02"),
            (
                "timestamp",
                "x > '2024-01-01 10:00:00.45'",
                "2024-01-01 10:00:00.5",
                "2024-01-01 10:00:00",
            ),
            (
                "timestamp",
                "x <= '0001-01-01'",
                "0001-01-01 00:00:00 BC",
                "0001-01-01 00:00:00.000001",
            ),
            ("timestamp", "x >= '2024-01-01'::date", "2024-01-01 00:00:00", "-infinity"),
            ("timestamp", "x::date = '2024-01-01'", "2024-01-01 23:59:59", "2024-01-02 00:00:00"),
            (
                "timestamptz",
                "x > '2024-01-01 12:00+02'",
                "2024-01-01 10:00:00.1+00",
                "2024-01-01 10:00:00+00",
            ),
            (
                "timestamptz",
                "x = '2024-01-01 12:00+02'",
                "2024-01-01 10:00:00+00",
                "2024-01-01 12:00:00+00",
            ),
            (
                "timestamptz",
                "x < '12345-01-01'",
                "12344-12-31 23:59:59+00",
                "12345-01-01 00:00:00+00",
            ),
            ("int4", "x::text LIKE '1%'", "12", "21"),
            ("bool", "x::text = 'true'", "t", "f"),
            ("bool", "x::int4 = 1", "t", "f"),
            ("int4", "x::bool", "5", "0"),
            ("date", "x::timestamptz < '2024-01-01'", "2023-12-31", "2024-01-01"),
        ],
    )
    def test_comparison(self, kind: str, clause: str, true: str, false: str) -> None:
        matches = evaluator(clause, x=kind)
        assert (matches((true,)), matches((false,))) == (True, False)
        if "IS NOT NULL" not in clause:
            assert matches((None,)) is None

    def test_columns_of_different_types(self) -> None:
        assert evaluator("x = y", x="int2", y="int8")(("5", "5")) is True
        assert evaluator("x = y", x="int4", y="numeric")(("5", "5.0")) is True
        assert evaluator("x = y", x="numeric", y="float8")(("0.1", "0.1")) is True
        assert (
            evaluator("x < y", x="date", y="timestamp")(("2024-01-01", "2024-01-01 00:00:01"))
            is True
        )
        assert evaluator("x = y", x="date", y="timestamptz")(("infinity", "infinity")) is True
        assert evaluator("x > y", x="date", y="timestamp")(("5874897-12-31", "infinity")) is False
        assert evaluator("x = y", x="text", y="varchar")(("a", "a")) is True


class TestErrors:
    def test_a_row_on_which_postgres_fails(self) -> None:
        matches = evaluator("x > y", x="numeric", y="float8")
        with pytest.raises(EvaluationError):
            matches(("1e400", "1"))
        with pytest.raises(EvaluationError):
            evaluator("x::timestamp IS NULL", x="date")(("5874897-12-31",))

    def test_it_fails_beside_null_too(self) -> None:
        matches = evaluator("(y = x::timestamp) IS NULL", x="date", y="timestamp")
        assert matches(("2024-01-01", None)) is True
        with pytest.raises(EvaluationError):
            matches(("5874897-12-31", None))
        matches = evaluator("(y = (x = z)) IS NULL", x="numeric", y="bool", z="float8")
        assert matches(("1", None, "1")) is True
        assert matches((None, "t", "1")) is True
        with pytest.raises(EvaluationError):
            matches(("1e400", None, "1"))

    def test_what_is_not_reached_does_not_fail(self) -> None:
        assert evaluator("y > 5 AND x > y", x="numeric", y="float8")(("1e400", "1")) is False
        assert evaluator("y < 5 OR x > y", x="numeric", y="float8")(("1e400", "1")) is True

    def test_a_text_that_is_not_of_the_type_fails(self) -> None:
        with pytest.raises(EvaluationError):
            evaluator("x > 5", x="int4")(("five",))


def test_a_column_is_decoded_when_it_is_needed_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def decode(text: str) -> Value:
        decoded.append(text)
        return decode_numeric(text)

    monkeypatch.setitem(decoding.DECODERS, "decode_numeric", decode)
    matches = evaluator("x > 1 AND y > 1 AND (x < 9 OR y < 9) AND x <> y", x="numeric", y="numeric")
    assert matches(("0", "5")) is False
    assert decoded == ["0"]
    decoded.clear()
    assert matches(("2", "5")) is True
    assert decoded == ["2", "5"]


def test_positions_say_where_the_columns_stand() -> None:
    where = parse_where("a = 1 AND b = 2", {"a": "int4", "b": "int4"})
    assert where.compile({"b": 0, "a": 3})(("2", "x", "x", "1")) is True
    with pytest.raises(KeyError):
        where.compile({"a": 0})


def test_clauses_that_differ_in_constants_share_their_code() -> None:
    one, two = (evaluator(f"x = {n} AND y > {n}", x="int4", y="int4") for n in (1, 2))
    assert one.__code__ is two.__code__
    assert (one(("1", "2")), two(("1", "2"))) == (True, False)


def test_any_node_can_be_compiled() -> None:
    where = parse_where("a = 1 AND b > 2", {"a": "int4", "b": "int4"})
    assert compile_node(where.tree, {"a": 0, "b": 1})(("1", "3")) is True


def test_constants() -> None:
    assert [evaluator(text)(()) for text in ("true", "1 > 2", "NULL")] == [True, False, None]

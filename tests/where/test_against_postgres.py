"""Random clauses over random rows: our answer is the one that a real Postgres gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, event, example, given, settings

from django_electric.postgres.relation import quote_literal
from django_electric.postgres.values import TYPES
from django_electric.shapes.indexes import index_for
from django_electric.where import EvaluationError, Undecided, Where, WhereError, parse_where
from tests.where.expressions import COLUMNS, VALUES, clauses

POSITIONS = {name: position for position, name in enumerate(COLUMNS)}
SESSION = (
    "SET DateStyle = 'ISO, DMY'",
    "SET TimeZone = 'UTC'",
    "SET extra_float_digits = 1",
    "SET IntervalStyle = 'iso_8601'",
)
Connection = psycopg.Connection[Any]
Answer = bool | str | None
FAILURES = (psycopg.errors.DataError, psycopg.errors.FeatureNotSupported)
"""On a row; some arrays are not supported everywhere."""


@pytest.fixture(scope="module")
def postgres(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection under the session settings of PROTOCOL section 4.8."""
    try:
        connection: Connection = request.getfixturevalue("pg")
    except pytest.FixtureLookupError:
        pytest.skip("needs a real Postgres: there is no `pg` fixture in conftest.py")
    for statement in SESSION:
        connection.execute(statement)
    yield connection
    connection.execute("RESET ALL")


@pytest.fixture(scope="module")
def table(postgres: Connection) -> Iterator[list[tuple[str | None, ...]]]:
    """The rows of a table ``sample`` with NULLs and every special value."""
    types = ", ".join(map(_column_definition, COLUMNS.items()))
    postgres.execute(f"CREATE TEMP TABLE sample (id serial, {types})")
    random = Random(7)
    for _ in range(60):
        row = [random.choice((None, *VALUES[kind], *VALUES[kind])) for kind in COLUMNS.values()]
        values = ", ".join("NULL" if value is None else quote_literal(value) for value in row)
        postgres.execute(f"INSERT INTO sample ({', '.join(COLUMNS)}) VALUES ({values})")
    texts = ", ".join(f"{name}::text" for name in COLUMNS)
    yield postgres.execute(f"SELECT {texts} FROM sample ORDER BY id").fetchall()
    postgres.execute("DROP TABLE sample")


def _column_definition(column: tuple[str, str]) -> str:
    name, kind = column
    return (
        f'{name} {kind} COLLATE "C"'
        if kind in ("text", "varchar", "bpchar", "text[]")
        else f"{name} {kind}"
    )


def ask_postgres(connection: Connection, clause: str, count: int) -> list[Answer]:
    """What Postgres says of every row; "failed" where it fails."""
    try:
        found = connection.execute(f"SELECT ({clause}) AND true FROM sample ORDER BY id").fetchall()
        return [answer for (answer,) in found]
    except FAILURES:
        return [_ask_about(connection, clause, number) for number in range(1, count + 1)]


def _ask_about(connection: Connection, clause: str, number: int) -> Answer:
    try:
        row = connection.execute(
            f"SELECT ({clause}) AND true FROM sample WHERE id = {number}"
        ).fetchone()
        return row[0] if row else "no such row"
    except FAILURES:
        return "failed"


def ask_ourselves(where: Where, rows: list[tuple[str | None, ...]]) -> list[Answer]:
    """What we say of every row."""
    evaluate = where.compile(POSITIONS)
    answers: list[Answer] = []
    for row in rows:
        try:
            answers.append(evaluate(row))
        except EvaluationError:
            answers.append("failed")
        except Undecided:
            answers.append("undecided")
    return answers


def agrees(ours: Answer, theirs: Answer) -> bool:
    """A row on which Postgres fails must not match; Postgres is asked about one that is undecided."""
    if ours == "undecided":
        return True
    return ours is not True if theirs == "failed" else ours is theirs


def ask_the_index(where: Where, row: tuple[str | None, ...]) -> bool:
    """Whether the row matches by way of the lookups."""
    lookups = where.lookups()
    if lookups is None:
        return _is_true(where.compile(POSITIONS), row)
    for lookup in lookups:
        text = row[POSITIONS[lookup.column]]
        if COLUMNS[lookup.column] == "bool" and text is not None:
            text = text[0]
        _, make = index_for(lookup.key)
        index = make()
        index.bucket(lookup.key, lambda: "found")
        residual = where.residual_evaluator(lookup, POSITIONS)
        if [*index.find(text)] and (residual is None or _is_true(residual, row)):
            return True
    return False


def _is_true(evaluate: Callable[..., bool | None], row: tuple[str | None, ...]) -> bool:
    try:
        return evaluate(row) is True
    except EvaluationError:
        return False


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(clause=clauses())
@example(clause="i8 IN (9007199254740992, 1.0::float8)")
@example(clause="t LIKE 'a\\%' OR v ILIKE '%B_'")
@example(clause="d < ts OR d = tz")
@example(clause="i4 IN (1, 1.5, NULL) IS UNKNOWN")
@example(clause="NOT (b BETWEEN SYMMETRIC b2 AND true)")
@example(clause="i2 IS NULL AND (i2 = n::int4 OR (i2 IS NULL) IS NOT UNKNOWN)")
@example(clause="i4 = 1 OR i4 = n::int4 OR i4 IN (2, -2147483648)")
@example(clause="i4 = n::int4 OR i4 <> ALL (ARRAY[]::int4[])")
@example(clause="n::int4 = ANY (ARRAY[]::int4[]) OR i2 = 1")
@example(clause="n::int4 = ANY (NULL::int4[]) OR i2 IS NOT NULL")
@example(clause="n::int4 IN (NULL, NULL) OR i2 IS NOT NULL")
@example(clause="i4 = n::int4 OR true")
@example(clause="i4 = n::int4 AND NOT ((i2 IS NULL) IS UNKNOWN)")
def test_the_answer_is_the_one_of_postgres(
    postgres: Connection, table: list[tuple[str | None, ...]], clause: str
) -> None:
    try:
        where = parse_where(clause, COLUMNS)
    except WhereError:
        event("refused")
        return
    event("answered")
    theirs = ask_postgres(postgres, clause, len(table))
    ours = ask_ourselves(where, table)
    canonical = ask_postgres(postgres, where.sql, len(table))
    assert [(o, t) for o, t in zip(ours, canonical, strict=True) if not agrees(o, t)] == [], (
        where.sql
    )
    wrong = [(row, o, t) for row, o, t in zip(table, ours, theirs, strict=True) if not agrees(o, t)]
    assert wrong == [], where.sql
    keys = [(one.column, one.key) for one in where.lookups() or ()]
    assert len(keys) == len(set(keys)), "a shape is found by a key once"
    for row, answer in zip(table, ours, strict=True):
        if answer != "undecided":
            assert ask_the_index(where, row) == (answer is True), (where.lookups(), row)


LITERALS = {
    "bool": ("t", " YES ", "of", "o", "1", "01", "", "tRuE", "on", "2"),
    "int2": ("32767", "32768", "-32768", " 5 ", "+5", "-0", "5\n", "- 5", "", "0x1F", "1_000", "\u00a05", "\uff15"),
    "int4": ("2147483647", "-2147483648", "2147483648", "007", "1e3", "1.0"),
    "int8": ("9223372036854775807", "9223372036854775808", "0000000000000000000000001"),
    "float8": (
        "1.5", " .5 ", "5.", "1e1000", "1e-400", "nan", "-NaN", "+inf", "-Infinity", "Infinit", "1e", "4.9e-324",
        "2e-324", "3e-324", "1e15", "1e14", "123456789012345678", "0.0001", "0.00001", "-0", "1.7976931348623157e308",
        "0.1", "100000", "1e-5", "123456.789e3", "e5", "1.5 2", "2.2250738585072011e-308",
    ),
    "numeric": (
        "1.50", "1e5", "1.e5", ".5", "5.", "1e-20", "NaN", "+NaN", "inf", "-Infinity", "-0.00", "00012.50", "1 2",
        "1E+3", "-1e-3", "", "1e", "infinity ", "1.5e2", "100e-2",
    ),
    "text": ("a", "", "it's", "back\\slash", "日本"),
    "uuid": (
        "550E8400-e29b-41d4-a716-446655440000", "{550e8400e29b41d4a716446655440000}", "550e8400e29b41d4a716446655440000",
        "550E-8400-e29b-41d4-a716-4466-5544-0000", "55-0e8400e29b41d4a716446655440000",
        " 550e8400e29b41d4a716446655440000", "{550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g",
    ),
    "date": (
        "2024-01-01", " 2024-01-01 ", "2024-1-9", "2024-02-30", "2023-02-29", "1900-02-29", "2000-02-29", "0001-01-01",
        "0000-01-01", "0044-03-15 BC", "0001-02-29 BC", "infinity", "-Infinity", "inf", "epoch", "12345-01-01",
        "5874897-12-31", "5874898-01-01", "4713-01-01 BC", "4714-11-24 BC", "4714-11-23 BC", "2024-01-01 10:00:00",
        "2024-01-01T10:00", "2024-01-01 25:00", "2024-12-31 24:00:00", "2024-01-01 10:00+05", "2024-13-01", "2024-00-01",
        "2024-01-00", "2024-01-32", "now", "today", "2024-01-01T10:00:00.5Z", "2024-12-31 24:00:01", "0044-03-15 10:00 BC",
    ),
    "timestamp": (
        "2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00", "2024-01-01 10", "2024-01-01 10:00:00.1234567",
        "2024-01-01 10:00:00.1234565", "2024-01-01 10:00:00.1234575", "2024-01-01 10:00:00.9999999",
        "2024-01-01 23:59:59.9999999", "2024-01-01 23:59:60", "2024-01-01 23:59:60.5", "2024-01-01 24:00:00",
        "2024-01-01 24:00:00.0000001", "2024-01-01 24:00:00.1", "2024-01-01 10:00:00+02", "2024-01-01 10:00:00Z",
        "0044-03-15 10:00:00 BC", "294276-12-31 23:59:59.999999", "294276-12-31 23:59:59.9999999", "294277-01-01",
        "2024-01-01 10:60:00", "2024-01-01 10:00:61", "2024-01-01 1:2:3", "2024-01-01 10:00:00.", "-infinity",
        "4714-11-24 00:00:00 BC", "4714-11-23 23:59:59 BC", "2024-01-01  10:00:00", "epoch", "2024-01-01 10:00:00.12345",
    ),
    "timestamptz": (
        "2024-01-01", "2024-01-01 10:00", "2024-01-01 10:00:00+02", "2024-01-01 10:00:00+0230", "2024-01-01 10:00:00+02:30",
        "2024-01-01 10:00:00-02:30:15", "2024-01-01 10:00:00Z", "2024-01-01T10:00:00.123z", "2024-01-01 10:00:00 +02",
        "2024-01-01 10:00:00 Z", "2024-01-01 10:00:00+15:59:59", "2024-01-01 10:00:00+16", "2024-01-01 10:00:00+02:60",
        "infinity", "epoch", "0044-03-15 10:00:00+00 BC", "0001-01-01 00:00:00+02", "294276-12-31 23:59:59.999999-01",
        "4714-11-24 00:00:00+01 BC", "2024-01-01 10:00+02", "2024-01-01 10:00:00.5-00", "2024-01-01 10:00:00+02 BC",
        "2024-01-01 10:00:00 +02:30:15", "now", "4714-11-24 00:00:00-01 BC",
    ),
}  # fmt: skip
MAY_BE_REFUSED = {
    ("date", "now"), ("date", "today"), ("timestamptz", "now"),
    # Postgres 16 and later read these.
    ("int2", "0x1F"), ("int2", "1_000"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LITERALS)
def test_a_literal_is_read_as_postgres_reads_it(postgres: Connection, kind: str) -> None:
    for text in LITERALS[kind]:
        try:
            ours = TYPES[kind].canonical(text)
        except ValueError:
            ours = None
        try:
            cast = f"{quote_literal(text)}::{kind}"
            found = postgres.execute(f"SELECT ({cast})::text").fetchone()
            theirs = found and (found[0][0] if kind == "bool" else found[0])
        except psycopg.errors.DataError:
            theirs = None
        assert ours == theirs or (ours is None and (kind, text) in MAY_BE_REFUSED), (kind, text)

"""Delegate: Postgres evaluates conditions on rows that it never stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from django.db import connections

from django_electric import analysis
from django_electric.catalogue import find_relation
from django_electric.errors import ReplicationLost
from django_electric.postgres.relation import Column, Relation
from django_electric.replication import delegate as module
from django_electric.replication.delegate import Delegate
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.transactions import Question
from django_electric.where import Analysis, Locale, Undecided, delegated_where, parse_where

Connection = psycopg.Connection[tuple[object, ...]]


class NoSink:
    """These shapes are never written."""

    last_tx = 0

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None: ...

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None: ...

    def discard(self) -> None: ...


@pytest.fixture
def delegate(dsn: str) -> Iterator[Delegate]:
    one = Delegate(dsn)
    yield one
    one.close()


def shape(sql: str, handle: str = "", **read_as: str) -> RoutedShape:
    """A shape of a table with the columns *read_as*, whose condition Postgres evaluates."""
    columns = (
        Column(name, 25, "text", evaluator_type="text", sql_type=kind)
        for name, kind in read_as.items()
    )
    relation = Relation(1, "public", "t", tuple(columns))
    where = delegated_where(Analysis(sql, tuple(read_as)), dict.fromkeys(read_as, "text"), Locale())
    definition = ShapeDefinition.build(relation, where=where)
    return RoutedShape(handle or sql, definition, NoSink())


def answers_to(
    delegate: Delegate,
    columns: tuple[str, ...],
    pairs: Sequence[tuple[RoutedShape, tuple[str | None, ...]]],
) -> list[bool | None]:
    """Whether each row belongs to the shape beside it; None if the shape's condition is broken."""
    answers = delegate.ask(columns, [Question(row, (one,)) for one, row in pairs])
    return [
        None if one in answers.broken else list(found) == [one]
        for (one, _), found in zip(pairs, answers.matching, strict=True)
    ]


ROWS = [("1", "cats"), ("2", None), (None, "a cat"), ("-3", "50%")]
COLUMNS = ("n", "s")


def ask(delegate: Delegate, *clauses: str) -> list[list[bool | None]]:
    """A row of answers for each of *clauses* on the table's rows."""
    shapes = [shape(clause, n="integer", s="text") for clause in clauses]
    questions = [(one, row) for one in shapes for row in ROWS]
    answers = answers_to(delegate, COLUMNS, questions)
    return [answers[at : at + len(ROWS)] for at in range(0, len(answers), len(ROWS))]


def test_every_row_is_answered_for_every_condition(delegate: Delegate) -> None:
    assert ask(
        delegate,
        "(to_tsvector('english'::regconfig, s) @@ '''cat'''::tsquery)",
        "((n % 2) = 1)",
        "(s IS NULL)",
        "(s ~~ '%\\%'::text)",
        "(n > 0) -- and nothing else",
    ) == [
        [True, False, True, False],
        [True, False, False, False],
        [False, True, False, False],
        [False, False, False, True],
        [True, True, False, False],
    ]  # fmt: skip


def test_only_the_pairs_that_were_asked_about_are_evaluated(delegate: Delegate) -> None:
    """Twenty conditions, each on one row: together they would fail on other rows."""
    shapes = [shape(f"((10 / (n - {n})) > 0)", n="integer") for n in range(20)]
    questions = [(one, (str(n + 1),)) for n, one in enumerate(shapes)]
    assert answers_to(delegate, ("n",), questions) == [True] * 20
    questions = [(one, (str(n - 1),)) for n, one in enumerate(shapes)]
    assert answers_to(delegate, ("n",), questions) == [False] * 20


def test_more_conditions_than_a_query_takes(
    delegate: Delegate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CLAUSES", 7)
    shapes = [shape(f"((n % 30) = {n})", n="integer") for n in range(30)]
    questions = [(one, (str(row),)) for one in shapes for row in range(30)]
    expected = [number == row for number in range(30) for row in range(30)]
    assert answers_to(delegate, ("n",), questions) == expected


def test_a_row_that_makes_a_condition_fail_does_not_match_and_the_others_do(
    delegate: Delegate,
) -> None:
    one, other = shape("((10 / n) > 1)", n="integer"), shape("(n IS NOT NULL)", n="integer")
    rows: list[tuple[str | None]] = [("5",), ("0",), ("3",), ("0",), (None,), ("2",)]
    questions = [(s, row) for row in rows for s in (one, other)]
    answers = answers_to(delegate, ("n",), questions)
    assert answers[::2] == [True, False, True, False, False, True]
    assert answers[1::2] == [True, True, True, True, False, True]


def test_a_condition_that_is_broken_is_told_apart(delegate: Delegate) -> None:
    good, broken = shape("(n > 1)", n="integer"), shape("public.gone(n)", n="integer")
    questions = [(one, (str(n),)) for n in range(4) for one in (broken, good)]
    answers = answers_to(delegate, ("n",), questions)
    assert answers[::2] == [None] * 4
    assert answers[1::2] == [False, False, True, True]


def test_a_condition_that_takes_too_long_is_told_apart(
    delegate: Delegate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATEMENT_TIMEOUT_MS", 50)
    slow = shape("(pg_sleep(n) IS NOT NULL)", n="integer")
    assert answers_to(delegate, ("n",), [(slow, ("0",)), (slow, ("9",))]) == [None, None]


def test_a_connection_that_broke_is_made_anew(delegate: Delegate, connection: Connection) -> None:
    assert ask(delegate, "(n > 1)") == [[False, True, False, False]]
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%electric_row%'"
    )
    assert ask(delegate, "(n > 1)") == [[False, True, False, False]]


def test_a_postgres_that_is_away_ends_the_session() -> None:
    with pytest.raises(ReplicationLost):
        ask(Delegate("host=/nowhere dbname=app"), "(n > 1)")


# -- from a clause to an answer --------------------------------------------------------------------------

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad');
CREATE TABLE things (
  id int PRIMARY KEY, c text COLLATE "C", e text COLLATE "ucs_basic", m mood, tags text[], r int4range,
  d short, b bytea, f float4, n numeric(5,2), ts timestamptz, i interval, fix char(4), "We %ird" int
);
INSERT INTO things VALUES
  (1, 'a', 'a', 'sad', '{a,"b c"}', '[1,5)', 'x', '\\x00ff', 1.1, 1.10, '2024-02-29 12:00+02', '1 day', 'ab', 1),
  (2, 'B', 'B', 'ok', '{}', 'empty', 'yz', '', 'NaN', -7, 'infinity', '25 hours', 'abcd', 2),
  (3, 'é', 'é', 'happy', '{NULL}', '(,)', NULL, NULL, '-0', 'NaN', NULL, '-1 mon', '', NULL),
  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
CLAUSES = [
    "c < 'b'", "e < 'b'", "e > 'A' AND e < 'C'", "m >= 'ok'", "'b c' = ANY (tags)", "r @> 3", "r << '[7,9)'",
    "upper(d) = 'YZ'", "b = '\\x00ff'", "f = 1.1", "f = 1.1::real", "n = 1.1", "n > 0",
    "ts AT TIME ZONE 'Europe/Berlin' = '2024-02-29 11:00'", "i > '1 day'", "fix = 'ab'", "fix LIKE 'ab'",
    "length(fix) = 2", "\"We %ird\" % 2 = 0", "id::bit(3) = B'010'", "to_jsonb(tags) ? 'a'", "(id, n) > (1, 1)",
    "CASE WHEN id = 2 THEN c = 'B' ELSE id / (id - 2) = -1 END", "regexp_replace(c, 'a', 'b') = 'b'",
    "extract(year FROM ts) = 2024", "tags[2] = 'b c' OR array_position(tags, NULL) = 1",
]  # fmt: skip


def test_the_answers_are_those_of_a_select(
    delegate: Delegate, connection: Connection, dsn: str
) -> None:
    connection.execute(TYPES)
    cursor = connection.cursor()
    relation = find_relation(cursor, "public", "things")
    assert relation is not None
    types = {c.name: c.evaluator_type for c in relation.columns}
    connection.execute(module.DISPLAY_SETTINGS)
    columns = tuple(c.name for c in relation.columns)
    listed = ", ".join(f'"{name}"::text'.replace("%", "%%") for name in columns)
    rows = connection.execute(f"SELECT {listed} FROM things ORDER BY id", ()).fetchall()
    questions, expected = [], []
    for clause in CLAUSES:
        with connection.transaction(force_rollback=True):
            found = analysis.analyse(cursor, relation, clause)
        where = delegated_where(found, types, Locale(collation_is_c=False))
        one = RoutedShape(clause, ShapeDefinition.build(relation, where=where), NoSink())
        questions += [(one, tuple(row)) for row in rows]  # type: ignore[arg-type]  # texts
        expected += [
            (clause, row[0])
            for row in connection.execute(
                f"SELECT ({clause}) IS TRUE FROM things ORDER BY id".encode()
            )
        ]
    answers = answers_to(delegate, columns, questions)
    assert [(q.handle, a) for (q, _), a in zip(questions, answers, strict=True)] == expected
    connections.close_all()


def test_an_enum_is_compared_here_and_a_label_that_came_later_is_asked_about(
    delegate: Delegate, connection: Connection
) -> None:
    connection.execute("CREATE TYPE feeling AS ENUM ('sad', 'ok')")
    connection.execute("CREATE TABLE feelings (f feeling)")
    relation = find_relation(connection.cursor(), "public", "feelings")
    assert relation is not None
    where = parse_where("f > 'sad'", {c.name: c.evaluator_type for c in relation.columns})
    assert where.sql == '"f" > \'sad\'::"public"."feeling"'
    stored = json.loads(json.dumps(ShapeDefinition.build(relation, where=where).to_json()))
    one = RoutedShape("one", ShapeDefinition.from_json(stored), NoSink())
    assert one.where is not None
    evaluate = one.where.compile({"f": 0})
    assert [evaluate((text,)) for text in ("sad", "ok", None)] == [False, True, None]
    connection.execute("ALTER TYPE feeling ADD VALUE 'fine' AFTER 'ok'")
    connection.execute("ALTER TYPE feeling ADD VALUE 'awful' BEFORE 'sad'")
    for text in ("fine", "awful"):
        with pytest.raises(Undecided):
            evaluate((text,))
    assert answers_to(delegate, ("f",), [(one, ("fine",)), (one, ("awful",))]) == [True, False]

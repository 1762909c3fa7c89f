"""What Postgres is asked about a clause that is not understood here, and what it may not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection as django_connection

from django_electric.catalogue import find_relation
from django_electric.postgres.relation import Relation
from django_electric.web.clauses import Clauses
from django_electric.where import Analysis, WhereError

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = """
CREATE TABLE "Analysed %s" (
  id int PRIMARY KEY, s text, "Odd ""name" int, d date, ts timestamptz, tags text[], r int4range,
  doubled int GENERATED ALWAYS AS (id * 2) STORED
)
"""


@pytest.fixture
def relation() -> Iterator[Relation]:
    with django_connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("CREATE SCHEMA IF NOT EXISTS apart")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION apart.kind(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'"
        )
        found = find_relation(cursor, "public", "Analysed %s")
        assert found is not None
        yield found
        cursor.execute('DROP TABLE "Analysed %s"')
        cursor.execute("DROP SCHEMA apart CASCADE")


@pytest.fixture
def asked(relation: Relation) -> Callable[[str], Analysis | None]:
    """``asked(clause)``: what Postgres makes of it."""
    clauses = Clauses("default")
    return lambda text: clauses.analyse(relation, text, {})


@pytest.mark.parametrize(
    ("text", "sql", "columns"),
    [
        ("r @> 5 AND id > 3", "((r @> 5) AND (id > 3))", ("id", "r")),
        ('"Odd ""name" % 2 = 1', '(("Odd ""name" % 2) = 1)', ("Odd \"name",)),
        ("s LIKE '50%' -- half", "(s ~~ '50%'::text)", ("s",)),
        ("s LIKE '%electric_row.s%'", "(s ~~ '%electric_row.s%'::text)", ("s",)),
        ("ts > 'Feb 29 2024'", "(ts > '2024-02-29 00:00:00+00'::timestamp with time zone)", ("ts",)),
        ("apart.kind(s) = 1", "(apart.kind(s) = 1)", ("s",)),
        ("s = 'now'", "(s = 'now'::text)", ("s",)),
        ("ts::date = d", "((ts)::date = d)", ("d", "ts")),
        ("tags::text = '{}'", "((tags)::text = '{}'::text)", ("tags",)),
        ("1 = 1", "(1 = 1)", ()),
        ("s::date > '2024-01-01'", "((s)::date > '2024-01-01'::date)", ("s",)),
    ],
)  # fmt: skip
def test_a_clause_comes_back_with_everything_resolved(
    asked: Callable[[str], Analysis | None], text: str, sql: str, columns: tuple[str, ...]
) -> None:
    assert asked(text) == Analysis(sql, columns)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ts > now()", "function now is stable"),
        ("id > random()", "function random is volatile"),
        ("to_tsvector(s) @@ 'a'", "function to_tsvector is stable"),
        ("d > current_date", "current_date, .* stable"),
        ("s = current_user", "stable"),
        ("d > 'today'", "present date or time"),
        ("d = ANY ('{2024-01-01, tomorrow}')", "present date or time"),
        ("ts > ' NoW '", "present date or time"),
        ("pg_sleep(1) IS NULL", "function pg_sleep is volatile"),
        ("(id, ts) > (1, now())", "function now is stable"),
        ("ctid = '(0,1)'", "system columns"),
        ("electric_row IS NULL", "whole rows"),
        ("id IN (SELECT 1)", "subqueries"),
        ("pg_read_file('/etc/passwd') = s", "function pg_read_file"),
    ],
)
def test_a_clause_whose_answer_may_change_is_refused_by_name(
    asked: Callable[[str], Analysis | None], text: str, reason: str
) -> None:
    with pytest.raises(WhereError, match=reason):
        asked(text)


def test_a_column_that_the_stream_does_not_carry_is_refused(
    asked: Callable[[str], Analysis | None],
) -> None:
    if django_connection.pg_version >= 180000:  # type: ignore[attr-defined]  # Postgres's
        assert asked("doubled % 4 = 2") == Analysis("((doubled % 4) = 2)", ("doubled",))
    else:
        with pytest.raises(WhereError, match='column "doubled" is generated'):
            asked("doubled % 4 = 2")


@pytest.mark.parametrize(
    "text", ["nosuch = 1", "id = 'a'", "id @@ 3", "nosuch(id)", "id", "sum(id) > 1", "1/0 = 1 AND"]
)
def test_what_postgres_refuses_has_no_analysis(
    asked: Callable[[str], Analysis | None], text: str
) -> None:
    assert asked(text) is None


def test_parameters_have_the_types_that_postgres_infers(relation: Relation) -> None:
    clauses = Clauses("default")
    found = clauses.analyse(relation, "id % $2 = 1 AND s || $1 ~ '^$1'", {1: "it's \\", 2: "7"})
    assert found == Analysis(
        "(((id % 7) = 1) AND ((s || 'it''s \\'::text) ~ '^$1'::text))", ("id", "s")
    )
    assert clauses.analyse(relation, "id % $1 = 1 AND s ~ $1", {1: "7"}) is None
    assert clauses.analyse(relation, "id % $1 = 1", {1: "seven"}) is None
    with pytest.raises(WhereError, match=r"parameter \$2 was not provided"):
        clauses.analyse(relation, "id % $2 = $1", {1: "7"})


def test_what_fails_on_every_row_is_refused(asked: Callable[[str], Analysis | None]) -> None:
    assert asked("1 / 0 = 1") is None
    assert asked("id > 5 AND '3' || '4' = substring('34', 1, -1)") is None


def test_what_is_beyond_a_limit_of_postgres_is_refused_and_the_server_not_given_up(
    asked: Callable[[str], Analysis | None],
) -> None:
    assert asked(f"{'ARRAY[' * 7}1{']' * 7} IS NULL") is None, "arrays have six dimensions at most"
    assert asked("length(s) = 1") is not None


def test_what_takes_long_to_look_at_is_refused(relation: Relation) -> None:
    clauses = Clauses("default")
    with pytest.raises(WhereError, match="more than 2 s"):
        clauses.analyse(relation, "length(repeat('x', 1000000000)) > length(s)", {})
    assert clauses.analyse(relation, "length(s) = 1", {}) is not None


def test_nothing_is_left_behind(asked: Callable[[str], Analysis | None]) -> None:
    assert asked("id % 2 = 1") is not None
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname = 'electric_clause'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() != ("",)


def test_an_answer_is_remembered_for_a_minute(relation: Relation) -> None:
    now = [0.0]
    clauses = Clauses("default", lambda: now[0])
    assert clauses.analyse(relation, "length(s) = 1", {}) is not None
    with django_connection.cursor() as cursor:
        cursor.execute('ALTER TABLE "Analysed %s" DROP COLUMN s')
    assert clauses.analyse(relation, "length(s) = 1", {}) is not None
    now[0] = 61.0
    assert clauses.analyse(relation, "length(s) = 1", {}) is None


def test_a_role_that_may_not_ask_is_told_what_to_grant(relation: Relation) -> None:
    name = psycopg.sql.Identifier(str(django_connection.settings_dict["NAME"]))
    with django_connection.cursor() as cursor:
        revoke = psycopg.sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM public").format(name)
        cursor.execute(revoke)
        cursor.execute("CREATE ROLE modest")
        cursor.execute('GRANT SELECT ON "Analysed %s" TO modest')
        cursor.execute("SET ROLE modest")
        try:
            with pytest.raises(WhereError, match="GRANT TEMPORARY"):
                Clauses("default").analyse(relation, "length(s) = 1", {})
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY modest; DROP ROLE modest")
            cursor.execute(psycopg.sql.SQL("GRANT TEMPORARY ON DATABASE {} TO public").format(name))

"""Postgres as the oracle of single expressions: many at once, each with its answer or its failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

SESSION = (
    "SET DateStyle = 'ISO, DMY'",
    "SET TimeZone = 'UTC'",
    "SET extra_float_digits = 1",
    "SET IntervalStyle = 'iso_8601'",
    "SET bytea_output = 'hex'",
)
"""PROTOCOL section 4.8."""

FAILED = "failed"
"""Stands for an error of Postgres's, and of ours."""

_ATTEMPT = f"""
CREATE OR REPLACE FUNCTION pg_temp.attempt(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE 'SELECT (' || expression || ')::text' INTO answer;
    RETURN answer;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR feature_not_supported
    OR wrong_object_type OR array_subscript_error THEN
    RETURN '{FAILED}';
END $$
"""


class Oracle:
    """Asks a connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def answers(self, expressions: Sequence[str]) -> list[str | None]:
        """The text of each expression's value, None for NULL, FAILED."""
        query = "SELECT pg_temp.attempt(e) FROM unnest(%s::text[]) WITH ORDINALITY AS t(e, n) ORDER BY n"
        return [text for (text,) in self._connection.execute(query, [list(expressions)])]


@contextmanager
def asking(connection: psycopg.Connection[Any]) -> Iterator[Oracle]:
    """An oracle under the session settings of the stream."""
    for statement in (*SESSION, _ATTEMPT):
        connection.execute(statement)  # type: ignore[arg-type]  # ours
    yield Oracle(connection)
    connection.execute("RESET ALL")


def outcome(function: Callable[[], str | None], undecided: type[Exception] | None = None) -> Any:
    """What *function* gives; FAILED where it raises as Postgres does; Ellipsis where it leaves it to Postgres."""
    try:
        return function()
    except (ValueError, ArithmeticError):
        return FAILED
    except Exception as error:
        if undecided is None or not isinstance(error, undecided):
            raise
        return ...


def differences(ours: Mapping[str, Any], oracle: Oracle) -> dict[str, tuple[Any, str | None]]:
    """The expressions on which Postgres says otherwise; those left to it (Ellipsis) cannot differ."""
    answers = oracle.answers(list(ours))
    pairs = zip(ours.items(), answers, strict=True)
    return {
        text: (own, theirs) for (text, own), theirs in pairs if own is not ... and own != theirs
    }

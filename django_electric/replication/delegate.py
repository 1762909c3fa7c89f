"""Delegate: has Postgres evaluate the conditions that only it can, on the rows of the stream.

All questions of a batch go in one query: the rows as arrays of texts, read as the types of their
columns, and for each row the answers of all conditions as bits. If a row makes a condition fail the
batch is halved until it stands alone: that row does not match, as it could not be in a snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

import psycopg

from django_electric.errors import ReplicationLost
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.failures import ROW_FAULTS
from django_electric.postgres.relation import quote_identifier
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.transactions import Answers, Question

logger = logging.getLogger("django_electric.worker")

STATEMENT_TIMEOUT_MS: Final = 30_000
MOST_CLAUSES: Final = 400
"""In one query."""
_BITS: Final = 32
"""Conditions whose answers come as one number."""

Texts = tuple[str | None, ...]
_Asked = Mapping[int, frozenset[int]]
"""By the numbers of rows, the numbers of the conditions that are asked about them."""


class _Clause(NamedTuple):
    """A condition, and how the columns that it refers to are read."""

    sql: str
    read_as: tuple[tuple[str, str], ...]


class _Batch:
    """Questions on rows of one layout, each condition and each row once."""

    def __init__(self, columns: tuple[str, ...], questions: Sequence[Question]) -> None:
        positions = {name: at for at, name in enumerate(columns)}
        clauses: dict[_Clause, int] = {}
        shapes = dict.fromkeys(shape for question in questions for shape in question.shapes)
        self.numbers = {shape: clauses.setdefault(_clause(shape), len(clauses)) for shape in shapes}
        """The condition of each shape."""
        self.clauses = list(clauses)
        read_as = dict(pair for clause in self.clauses for pair in clause.read_as)
        self.read_as = {name: read_as[name] for name in columns if name in read_as}
        places = [positions[name] for name in self.read_as]
        rows: dict[Texts, int] = {}
        self.row_of: list[int] = []
        """The row of each question."""
        asked: dict[int, frozenset[int]] = {}
        for row, about in questions:
            number = rows.setdefault(tuple([row[place] for place in places]), len(rows))
            self.row_of.append(number)
            wanted = frozenset(map(self.numbers.__getitem__, about))
            asked[number] = asked[number] | wanted if number in asked else wanted
        self.asked: _Asked = asked
        self.rows = list(rows)

    @property
    def source(self) -> str:
        """The rows, to be selected from: the columns under their names, and ``electric_row`` from 0 on."""
        names = [quote_identifier(name) for name in self.read_as]
        values = (
            f"electric_text{at}::{kind} AS {name}"
            for at, (name, kind) in enumerate(zip(names, self.read_as.values(), strict=True))
        )
        texts = ", ".join(["%s::text[]"] * len(names) + ["%s::int4[]"])
        columns = ", ".join([f"electric_text{at}" for at in range(len(names))] + ["electric_row"])
        listed = ", ".join(["electric_row", *values])
        source = f"(SELECT {_escaped(listed)} FROM unnest({texts}) AS electric_texts({columns}))"  # noqa: S608  # quoted
        return f"{source} AS electric_rows"

    def condition(self, number: int) -> str:
        """A clause by its number, in parentheses; it may end in a comment."""
        return f"({_escaped(self.clauses[number].sql)}\n)"

    def arrays(self, rows: Sequence[int]) -> list[object]:
        """The parameters of `source` for *rows*."""
        columns = [[self.rows[row][at] for row in rows] for at in range(len(self.read_as))]
        return [*columns, list(rows)]


def _escaped(text: str) -> str:
    """As part of a query with parameters."""
    return text.replace("%", "%%")


def _clause(shape: RoutedShape) -> _Clause:
    where = shape.where
    assert where is not None, "a shape without a condition has no questions"
    columns = shape.definition.relation_columns
    return _Clause(
        where.sql, tuple((c.name, c.sql_type) for c in columns if c.name in where.columns)
    )


class Delegate:
    """One connection, opened when the first question comes."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, columns: tuple[str, ...], questions: Sequence[Question]) -> Answers:
        """Which of the shapes that each question names its row belongs to.

        *columns* names the values of every row. Raises ReplicationLost if Postgres cannot be asked.
        """
        batch = _Batch(columns, questions)
        found: dict[int, set[int]] = {}
        broken: set[int] = set()
        for start in range(0, len(batch.clauses), MOST_CLAUSES):
            few = frozenset(range(start, start + MOST_CLAUSES))
            self._answer(batch, _among(batch.asked, few), found, broken)
        matching: list[Sequence[RoutedShape]] = []
        for number, (_, shapes) in zip(batch.row_of, questions, strict=True):
            true = found.get(number)
            matching.append([s for s in shapes if batch.numbers[s] in true] if true else ())
        return Answers(matching, [s for s, number in batch.numbers.items() if number in broken])

    def _answer(
        self, batch: _Batch, asked: _Asked, found: dict[int, set[int]], broken: set[int]
    ) -> None:
        """Add the conditions that are true to *found*, by row, and those that cannot be evaluated to *broken*."""
        try:
            for row, clauses in self._matching(batch, asked):
                found.setdefault(row, set()).update(clauses & asked[row])
        except psycopg.Error as error:
            if _is_lost(error):
                self.close()
                raise ReplicationLost(str(error).strip()) from error
            if error.sqlstate is None:
                raise
            halves = _halves(asked)
            for half in halves:
                self._answer(batch, half, found, broken)
            if not halves and error.sqlstate[:2] not in ROW_FAULTS:
                ((number,),) = asked.values()
                clause = batch.clauses[number].sql
                text = str(error).strip()
                logger.warning("a condition cannot be evaluated: %s: %s", clause, text)
                broken.add(number)

    def _matching(self, batch: _Batch, asked: _Asked) -> Iterator[tuple[int, set[int]]]:
        """Rows, and conditions that are true of them: perhaps more than were asked about."""
        if not asked:
            return iter(())
        clauses = sorted(frozenset[int]().union(*asked.values()))
        if sum(map(len, asked.values())) * 3 >= len(clauses) * len(asked):
            return self._by_row(batch, clauses, list(asked))
        return self._by_pair(batch, clauses, asked)

    def _by_row(
        self, batch: _Batch, clauses: list[int], rows: list[int]
    ) -> Iterator[tuple[int, set[int]]]:
        """Every condition on every row: some numbers for each row, whose bits are the answers."""
        words = [clauses[at : at + _BITS] for at in range(0, len(clauses), _BITS)]
        numbers = ", ".join(_word(map(batch.condition, word)) for word in words)
        query = f"SELECT electric_row, {numbers} FROM {batch.source}"  # noqa: S608  # Postgres's text
        for row, *answers in self._execute(query, batch.arrays(rows)):
            if any(answers):
                pairs = zip(words, cast("list[int]", answers), strict=True)
                yield (
                    cast(int, row),
                    {word[bit] for word, answer in pairs for bit in _bits_of(answer)},
                )

    def _by_pair(
        self, batch: _Batch, clauses: list[int], asked: _Asked
    ) -> Iterator[tuple[int, set[int]]]:
        """Each condition on its rows only."""
        arms = " ".join(f"WHEN {number} THEN {batch.condition(number)}" for number in clauses)
        query = (
            "SELECT electric_place, electric_clause FROM unnest(%s::int4[], %s::int4[])"  # noqa: S608  # Postgres's text
            " AS electric_pair(electric_clause, electric_place)"
            f" JOIN {batch.source} ON electric_row = electric_place"
            f" WHERE CASE electric_clause {arms} END"
        )
        pairs = [(number, row) for row, numbers in asked.items() for number in numbers]
        numbers, places = [number for number, _ in pairs], [row for _, row in pairs]
        for row, number in self._execute(query, [numbers, places, *batch.arrays(list(asked))]):
            yield cast(int, row), {cast(int, number)}

    def _execute(self, query: str, arrays: Sequence[object]) -> list[tuple[object, ...]]:
        """The rows of the answer. A connection that turns out to be broken is made anew, once."""
        connection = self._connection
        if connection is not None:
            try:
                return _run(connection, query, arrays)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        self._connection = psycopg.connect(self._conninfo, autocommit=True)
        self._connection.execute(DISPLAY_SETTINGS)
        self._connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        return _run(self._connection, query, arrays)


def _among(asked: _Asked, clauses: frozenset[int]) -> _Asked:
    """What is asked about some conditions only."""
    kept = ((row, numbers & clauses) for row, numbers in asked.items())
    return {row: numbers for row, numbers in kept if numbers}


def _halves(asked: _Asked) -> list[_Asked]:
    """Two parts of what is asked; none if that is one condition of one row.

    The conditions apart first: one that is broken is found without asking for every row.
    """
    clauses = sorted(frozenset[int]().union(*asked.values()))
    if len(clauses) > 1:
        middle = len(clauses) // 2
        return [_among(asked, frozenset(half)) for half in (clauses[:middle], clauses[middle:])]
    rows = list(asked)
    middle = len(rows) // 2
    halves = (rows[:middle], rows[middle:]) if middle else ()
    return [{row: asked[row] for row in half} for half in halves]


def _word(conditions: Iterable[str]) -> str:
    """SQL of a number with a bit for each of some conditions."""
    bits = (
        f"CASE WHEN {condition} THEN {1 << at}::int8 ELSE 0::int8 END"
        for at, condition in enumerate(conditions)
    )
    return " | ".join(bits)


def _bits_of(number: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _is_lost(error: psycopg.Error) -> bool:
    """Whether it is Postgres that fails, and not a condition."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate != "57014" and error.sqlstate[:2] in ("08", "53", "57")


def _run(
    connection: psycopg.Connection[tuple[object, ...]], query: str, arrays: Sequence[object]
) -> list[tuple[object, ...]]:
    # Prepared once it has come some times: which conditions are asked together may differ from batch to batch.
    return connection.execute(query.encode(), arrays).fetchall()

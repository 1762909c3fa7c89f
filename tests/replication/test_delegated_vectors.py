"""Every vector of the specification by both roads: evaluated here, or explained and evaluated by Postgres."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import psycopg
import pytest

from django_electric import analysis
from django_electric.catalogue import find_relation
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.relation import Relation, quote_identifier
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest, ShapeParams
from django_electric.protocol.resolve import resolve
from django_electric.replication.delegate import Delegate
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.transactions import Question
from django_electric.where import Analysis, EvaluationError, Undecided
from tests.replication.test_delegate import NoSink
from tests.where.test_vectors import FILES, vectors

Connection = psycopg.Connection[tuple[object, ...]]

MUST_BE_REFUSED = ("must_reject", "both_reject")
OTHERWISE = {
    "numeric-074": "from Postgres 16 on, 0x1F is a number",
    "timezone-015": "AT LOCAL is new in Postgres 17",
    "reject-128": "AT LOCAL is new in Postgres 17",
    "cast-137": "the row is out of range, not the clause: other rows of such a table can be told",
    "like-052": "the vector's database folds É, and the tests' (locale C) does not",
    "reject-075": "XML is not supported",
    "reject-098": "longer than a clause may be (section 2)",
    "reject-142": "two halves of conditions are not one",
}
"""Vectors that are not answered as they say, and why."""


class Tables:
    """A table for each set of columns that vectors have."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Relation] = {}
        self._enums: set[str] = set()
        connection.execute(DISPLAY_SETTINGS)
        connection.execute("CREATE DOMAIN posint_domain AS int CHECK (VALUE > 0)")
        connection.execute("CREATE DOMAIN email_domain AS text CHECK (VALUE LIKE '%@%')")

    def of(self, vector: dict[str, Any]) -> Relation:
        key = json.dumps([vector["columns"], vector.get("enums")])
        if key not in self._known:
            self._known[key] = self._create(vector, f"v{len(self._known)}")
        return self._known[key]

    def _create(self, vector: dict[str, Any], name: str) -> Relation:
        for enum, labels in (vector.get("enums") or {}).items():
            listed = ", ".join(f"'{label}'" for label in labels)
            if enum in self._enums:
                continue
            self._enums.add(enum)
            self._connection.execute(f'CREATE TYPE "{enum}" AS ENUM ({listed})'.encode())
        columns = ", ".join(
            f"{quote_identifier(n)} {kind}" for n, kind in vector["columns"].items()
        )
        self._connection.execute(f"CREATE TABLE {name} ({columns or 'nothing int'})".encode())
        relation = find_relation(self._connection.cursor(), "public", name)
        assert relation is not None
        return relation


def analyse(
    connection: Connection, relation: Relation, text: str, params: Mapping[int, str]
) -> Analysis | None:
    with connection.transaction(force_rollback=True):
        try:
            return analysis.analyse(connection.cursor(), relation, text, params)
        except psycopg.Error:
            return None


def define(connection: Connection, relation: Relation, vector: dict[str, Any]) -> ShapeDefinition:
    """Raises InvalidRequest."""
    params = vector.get("params")
    shape = ShapeParams(
        table=TableName("public", relation.name),
        where=vector["where"],
        params=tuple(params.items()) if params else None,
    )
    return resolve(shape, relation, partial(analyse, connection, relation))


def answer(
    connection: Connection, tables: Tables, delegate: Delegate, vector: dict[str, Any]
) -> tuple[str, bool | str | None]:
    """The road, and True, False, None or "refused"."""
    relation = tables.of(vector)
    try:
        definition = define(connection, relation, vector)
    except InvalidRequest:
        return "refused", "refused"
    # As it is after a restart of the worker.
    shape = RoutedShape(
        "h", ShapeDefinition.from_json(json.loads(json.dumps(definition.to_json()))), NoSink()
    )
    assert shape.where is not None
    columns = tuple(c.name for c in relation.columns)
    values = vector.get("row") or {}
    row = tuple(values.get(name) for name in columns)
    try:
        belongs = shape.where.compile({name: at for at, name in enumerate(columns)})(row)
        return "here", belongs
    except EvaluationError:
        return "here", False
    except Undecided:
        answers = delegate.ask(columns, [Question(row, (shape,))])
        return "Postgres", None if answers.broken else bool(answers.matching[0])


@pytest.fixture
def delegate(dsn: str) -> Iterator[Delegate]:
    one = Delegate(dsn)
    yield one
    one.close()


@pytest.mark.parametrize("name", FILES)
def test_every_vector_is_answered_as_postgres_does(
    connection: Connection, delegate: Delegate, name: str
) -> None:
    connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    tables = Tables(connection)
    roads: Counter[str] = Counter()
    wrong: list[str] = []
    for vector in vectors(name):
        road, got = answer(connection, tables, delegate, vector)
        roads[road] += 1
        if "expect" in vector:
            is_right = (got is True) == (vector["expect"] is True) and got != "refused"
        elif "runtime_error" in vector:
            is_right = got is not True
        else:
            is_right = got == "refused" or vector["class"] not in MUST_BE_REFUSED
        if not is_right:
            wrong.append(
                f"{vector['id']} {vector['class']} {vector['where'][:200]}: {got} ({road})"
            )
    print(name, dict(roads))
    assert [one for one in wrong if one.split()[0] not in OTHERWISE] == []

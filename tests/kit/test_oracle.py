"""Random writes in a test's transaction, and shapes with random conditions: each has the rows of its SELECT."""

from __future__ import annotations

from collections import Counter

import psycopg
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from django_electric.postgres.display import LOCAL_DISPLAY_SETTINGS
from django_electric.test import ClientShape, ElectricClient, sandbox
from tests.oracle.clauses import Shape, quote, shapes
from tests.oracle.tables import TABLES
from tests.oracle.writers import Writer

NAMES = {table.name: f"kit_{table.name}" for table in TABLES}


class OneConnection(Writer):
    """What fails must not spoil the transaction of the test."""

    def _execute(self, connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
        try:
            with connection.transaction():
                connection.execute(statement)  # type: ignore[call-overload]
        except psycopg.errors.UniqueViolation:
            pass


def selected(shape: Shape, columns: list[str]) -> Counter[tuple[str | None, ...]]:
    """The rows that Postgres says the shape has."""
    where = shape.where or "true"
    for number, value in reversed(list(enumerate(shape.params, 1))):
        where = where.replace(f"${number}", quote(value))
    texts = ", ".join(f'"{name}"::text' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {texts} FROM {NAMES[shape.table.name]} WHERE {where}")
        return Counter(cursor.fetchall())


def held(shape: ClientShape) -> Counter[tuple[str | None, ...]]:
    return Counter(tuple(row.values()) for row in shape.rows)


# Nothing is shrunk: that takes minutes, and the seed says enough.
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(chosen=st.lists(shapes(), min_size=8, max_size=16, unique=True), seed=st.integers(0, 2**31))
def test_every_shape_equals_its_select(db: None, chosen: list[Shape], seed: int) -> None:
    note(f"seed {seed}")
    writer = OneConnection(NAMES, seed, large=200)
    with transaction.atomic(), sandbox() as electric, connection.cursor() as cursor:
        cursor.execute(LOCAL_DISPLAY_SETTINGS)
        for table in TABLES:
            cursor.execute(table.create(NAMES[table.name]))
        write(writer)
        followed = follow(electric.client(), chosen)
        for _ in range(3):
            write(writer)
            for shape, client_shape in followed.items():
                client_shape.sync()
                assert client_shape.refetches == 0
                columns = list(client_shape.schema)
                assert held(client_shape) == selected(shape, columns), f"{shape!r}"
        transaction.set_rollback(True)


def write(writer: Writer) -> None:
    for _ in range(25):
        writer.transaction(connection.connection)


def follow(client: ElectricClient, chosen: list[Shape]) -> dict[Shape, ClientShape]:
    return {shape: client.shape(**shape.query(NAMES[shape.table.name])) for shape in chosen}

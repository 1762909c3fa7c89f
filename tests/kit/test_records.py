"""A record as Postgres writes it (Postgres docs, section 8.16.6)."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_electric.test.records import read_record

VALUES = ("", "a", ",", "(", ")", '"', "\\", '""', "\\\\", '"\\', " ", "\n", "a b", "x,y", "(1,2)", "NULL", None)  # fmt: skip


def written(values: tuple[str | None, ...]) -> str:
    """As Postgres writes them, all of them in quotes."""
    fields = (
        "" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '""') + '"' for v in values
    )
    return f"({','.join(fields)})"


@given(st.lists(st.none() | st.text(), min_size=1).map(tuple))
def test_what_was_written_is_read(values: tuple[str | None, ...]) -> None:
    assert read_record(written(values)) == values


@pytest.mark.parametrize("value", VALUES)
def test_postgres_writes_what_is_read(
    pg: psycopg.Connection[tuple[object, ...]], value: str | None
) -> None:
    for values in ((value,), (value, "x"), ("x", value), (value, None, value)):
        texts = ", ".join(["%s::text"] * len(values))
        row = pg.execute(f"SELECT row({texts})::text", values).fetchone()  # type: ignore[arg-type]
        assert row is not None
        assert read_record(str(row[0])) == values

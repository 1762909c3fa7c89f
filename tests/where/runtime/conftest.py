"""The oracle of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.oracle import Oracle, asking


@pytest.fixture(scope="module")
def oracle(pg: psycopg.Connection[Any]) -> Iterator[Oracle]:
    """Postgres, under the session settings of the stream."""
    with asking(pg) as answers:
        yield answers

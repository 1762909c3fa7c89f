"""What an error of Postgres becomes (PROTOCOL section 7.5); the whole table is in tests/replication/test_snapshotter.py."""

from __future__ import annotations

import doctest

from django_electric.postgres import failures


def test_the_examples_are_right() -> None:
    assert doctest.testmod(failures).failed == 0

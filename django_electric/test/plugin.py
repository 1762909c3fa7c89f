"""Fixtures for pytest-django; pytest finds them by an entry point.

What they need is imported when a test uses one: in a project without Django they cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from django_electric import test
from django_electric.errors import ConfigurationError

if TYPE_CHECKING:
    from django_electric.test.client import ElectricClient
    from django_electric.test.sandboxes import Sandbox


@pytest.fixture
def electric(db: None) -> Iterator[Sandbox]:
    """Shapes for this test. Its writes are captured, or read from a temporary replication slot if it commits
    (``transactional_db``, ``django_db(transaction=True)``)."""
    yield from _sandbox()


@pytest.fixture
def electric_live(transactional_db: None) -> Iterator[Sandbox]:
    """Shapes for a test that commits, as the replication stream brings them."""
    yield from _sandbox()


@pytest.fixture
def electric_client(electric: Sandbox) -> ElectricClient:
    """A client of the protocol that is not logged in."""
    return electric.client()


def _sandbox() -> Iterator[Sandbox]:
    try:
        with test.sandbox() as sandbox:
            yield sandbox
    except ConfigurationError as error:
        pytest.skip(str(error))

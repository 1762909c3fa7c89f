"""The example project's tests of itself, as a host project would write them, with the private Postgres."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def open_mode(settings: Any, postgres_cluster: object) -> None:
    """The table-named endpoint serves every table to everybody."""
    settings.ELECTRIC = {"default": {"INSECURE": True}}

"""The values that the interface speaks in; ``cases.py`` has its promises."""

from __future__ import annotations

import pytest

from django_electric import storage
from django_electric.shapes.offset import SNAPSHOT_END, LogOffset
from django_electric.storage.base import Chunk, LogState, ShapeStorage


def test_a_chunk_is_as_long_as_its_range() -> None:
    assert Chunk(LogOffset(10, 0), "log", 100, 250).size == 150
    assert Chunk(LogOffset(10, 0), "log", 250, 250).size == 0


def test_a_log_without_transactions_ends_where_its_snapshot_ends() -> None:
    assert LogState(1, is_snapshot_complete=True).last_offset == SNAPSHOT_END


def test_the_interface_itself_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        ShapeStorage()  # type: ignore[abstract]  # that is the point


@pytest.mark.parametrize("name", storage.__all__)
def test_the_package_shows_what_it_names(name: str) -> None:
    assert hasattr(storage, name)

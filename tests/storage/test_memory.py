"""MemoryStorage keeps the promises of the interface, without a disk."""

from __future__ import annotations

import pytest

from django_electric.storage import MemoryStorage
from tests.storage.cases import HANDLE, StorageCases, Storages, complete_snapshot


class TestMemoryStorage(StorageCases):
    @pytest.fixture
    def make(self) -> Storages:
        return MemoryStorage


def test_what_was_published_is_decoded_for_the_tests_of_a_host_project() -> None:
    storage = MemoryStorage()
    writer = storage.writer(HANDLE)
    complete_snapshot(writer, rows=2)
    writer.append(10, [0], [b',{"key":"caf\xc3\xa9"}\n'])
    storage.publish()
    reader = storage.reader(HANDLE)
    assert reader.messages() == [{"row": "0"}, {"row": "1"}, {"key": "café"}]

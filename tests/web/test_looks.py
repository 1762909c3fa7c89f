"""Looks are shared by those who ask at one moment, and never older than the last thing heard."""

from __future__ import annotations

import asyncio
import os

import pytest

from django_electric.shapes.offset import LogOffset
from django_electric.storage import SHAPES, Chunk
from django_electric.storage.memory import MemoryLogReader
from django_electric.web.looks import SECONDS, Looks, look_at
from django_electric.web.service import ShapeService
from tests.web.conftest import Bench, entry


async def test_what_is_heard_ends_a_moment(bench: Bench) -> None:
    handle, _ = await bench.follow()
    looks, listener = bench.service.looks, bench.service.listener
    offset = LogOffset(0, 0)
    heard = listener.heard
    first = looks.at(handle, offset)
    if listener.heard == heard:
        assert looks.at(handle, offset) is first
    assert looks.at(handle, None) is not first
    bench.worker.append(handle, 7)
    while listener.heard == heard:
        await asyncio.sleep(0.001)
    again = looks.at(handle, offset)
    assert again is not None
    assert again.view.last_offset == LogOffset(7, 0)


async def test_a_moment_is_short_for_what_is_not_heard_of(bench: Bench) -> None:
    handle, _ = await bench.follow()
    looks = Looks(bench.storage, bench.service.ranges, bench.service.listener)
    assert looks.at(handle, LogOffset(0, 0)) is not None
    bench.worker.fills = False
    bench.storage.delete(handle)
    await asyncio.sleep(2 * SECONDS)
    assert looks.at(handle, LogOffset(0, 0)) is None


async def test_small_ranges_are_read_with_the_look(bench: Bench) -> None:
    handle, _ = await bench.follow()
    bench.worker.append(handle, 7)
    await asyncio.sleep(2 * SECONDS)
    look = bench.service.looks.at(handle, LogOffset(0, 0))
    assert look is not None
    assert look.range is not None
    assert look.range.entries == b',{"key":"7","value":{"value":"x"}}\n'


async def test_each_look_is_noted_where_somebody_asks(bench: Bench) -> None:
    handle, _ = await bench.follow()
    noted: list[str] = []
    looks = Looks(bench.storage, bench.service.ranges, bench.service.listener, noted.append)
    looks.at(handle, LogOffset(0, 0))
    assert noted == [handle]


@pytest.mark.parametrize("most", [None, 5])
async def test_reads_are_noted_only_if_shapes_have_to_go_some_day(
    bench: Bench, most: int | None
) -> None:
    bench.use(max_shapes=most)
    service = ShapeService(bench.settings, bench.storage)
    handle, _ = await bench.follow()
    folder = bench.settings.root / SHAPES / handle
    folder.mkdir(parents=True)
    os.utime(folder, (1, 1))
    service.looks.at(handle, LogOffset(0, 0))
    assert (folder.stat().st_mtime > 1) == (most is not None)


async def test_a_chunk_that_ends_inside_a_transaction_that_has_just_come_is_not_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log grows between two questions to its reader."""
    bench.use(shape_chunk_bytes_threshold=1)
    bench.storage.chunk_bytes = 1
    handle, _ = await bench.follow()
    log = bench.storage.writer(handle, durable_tx=0)
    ask = MemoryLogReader.chunk_after

    def grow(self: MemoryLogReader, offset: LogOffset) -> Chunk | None:
        log.append(7, [0, 2], [entry(7), entry(7)])
        bench.storage.publish()
        return ask(self, offset)

    monkeypatch.setattr(MemoryLogReader, "chunk_after", grow)
    look = look_at(bench.storage, bench.service.ranges, handle, LogOffset(0, 0))
    assert look is not None
    assert look.view.chunk_end == LogOffset(7, 0)
    assert look.view.last_offset == LogOffset(7, 2)

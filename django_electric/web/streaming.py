"""A range of a log → a body that is sent piece by piece, as an array or as server-sent events."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from django_electric.protocol.messages import (
    KEEP_ALIVE,
    OPEN,
    event,
    events,
    tail,
    up_to_date,
)
from django_electric.revocations import UNBOUND
from django_electric.shapes.offset import LogOffset
from django_electric.storage import Chunk, ShapeLogReader
from django_electric.web.looks import Look
from django_electric.web.ranges import LEVEL
from django_electric.web.service import ShapeService

PIECE: Final = 1 << 17
_GZIP: Final = 31
"""``wbits`` that makes zlib write gzip."""
STREAM_SECONDS: Final = 60.0
KEEP_ALIVE_SECONDS: Final = 21.0


class LogBody:
    """A large chunk as a JSON array, read piece by piece in a thread."""

    def __init__(
        self,
        reader: ShapeLogReader,
        chunk: Chunk,
        control: bytes | None,
        on_close: Callable[[], None],
        *,
        is_gzipped: bool,
    ) -> None:
        self._reader = reader
        self._chunk = chunk
        self._control = control
        self._on_close = on_close
        self._gzip = zlib.compressobj(LEVEL, wbits=_GZIP) if is_gzipped else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            yield self._encoded(OPEN)
            # The first byte is the comma before the first entry.
            for at in range(1, self._chunk.size, PIECE):
                yield await asyncio.to_thread(self._piece, at)
            yield self._encoded(tail(self._control, follows_entries=True))
            if self._gzip is not None:
                yield self._gzip.flush()
        finally:
            self.close()

    def _piece(self, at: int) -> bytes:
        return self._encoded(self._reader.read(self._chunk, at, PIECE))

    def _encoded(self, data: bytes) -> bytes:
        return data if self._gzip is None else self._gzip.compress(data)

    def close(self) -> None:
        """Harmless when called twice."""
        self._reader.close()
        self._on_close()


class EventBody:
    """A log as server-sent events (PROTOCOL section 7.2).

    What exists when the request arrives is sent and ends the stream; otherwise the stream stays open
    for a minute and sends what comes.
    """

    def __init__(
        self,
        service: ShapeService,
        handle: str,
        position: LogOffset,
        first: Look | None,
        on_close: Callable[[], None],
    ) -> None:
        self._service = service
        self._handle = handle
        self._position = position
        self._first = first
        self._on_close = on_close
        self.leave = UNBOUND
        """No longer than this is good does it go on."""
        if first is not None and not first.view.chunk_size:
            self._first = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[bytes]:
        try:
            if self._first is not None:
                for frame in self._take(self._first):
                    yield frame
                return
            # Sends the headers: nothing else is sent until something happens.
            yield b""
            async for frame in self._follow():
                yield frame
        finally:
            self.close()

    async def _follow(self) -> AsyncIterator[bytes]:
        listener = self._service.listener
        self._service.ending.follow()
        end = time.monotonic() + min(STREAM_SECONDS, self.leave.seconds)
        quiet_until = time.monotonic() + KEEP_ALIVE_SECONDS
        with (
            listener.subscribe(self._handle) as news,
            self._service.leaves.follow(self.leave, news.wake),
        ):
            while (now := time.monotonic()) < end and not self._is_over:
                news.clear()
                look = self._service.looks.at(self._handle, self._position)
                if look is None:
                    return
                has_news = look.view.chunk_size > 0
                for frame in self._take(look):
                    yield frame
                if has_news:
                    quiet_until = time.monotonic() + KEEP_ALIVE_SECONDS
                    continue
                if now >= quiet_until:
                    quiet_until = now + KEEP_ALIVE_SECONDS
                    yield KEEP_ALIVE
                self._service.note_waiting()
                await news.wait(min(end - now, quiet_until - now, listener.poll_seconds))

    @property
    def _is_over(self) -> bool:
        """The headers are sent, so that all there is to do is to end: who asks again is told why."""
        return self._service.is_closing or self.leave.is_revoked

    def _take(self, look: Look) -> Iterator[bytes]:
        """The frames of one chunk; afterwards the stream stands at the chunk's end."""
        chunk = look.chunk
        if chunk is None or not chunk.size:
            return
        if look.range is not None:
            yield b"".join(events(look.range.entries))
        else:
            yield from self._take_large(chunk)
        self._position = chunk.end
        if chunk.end >= look.view.last_offset:
            yield event(up_to_date(max(0, chunk.end.tx)))

    def _take_large(self, chunk: Chunk) -> Iterator[bytes]:
        reader = self._service.storage.reader(self._handle)
        try:
            for entries in _whole_entries(reader, chunk):
                yield b"".join(events(entries))
        finally:
            reader.close()

    def close(self) -> None:
        """Harmless when called twice."""
        self._on_close()


class EndedBody:
    """An event stream that ends at once."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        self._on_close = on_close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.close()
        yield b""

    def close(self) -> None:
        """Harmless when called twice."""
        self._on_close()


class NoBody:
    """In place of a stream that is not asked for."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    def close(self) -> None:
        """There is nothing to let go of."""


def _whole_entries(reader: ShapeLogReader, chunk: Chunk) -> Iterator[bytes]:
    rest = b""
    for at in range(0, chunk.size, PIECE):
        data = rest + reader.read(chunk, at, PIECE)
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield data[:end]

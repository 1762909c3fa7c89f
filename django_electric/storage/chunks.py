"""ChunkBuilder: cuts a log's entries into chunks and makes their index records."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from django_electric.storage.format import CONTINUES, pack_log_record

_FRAME = 2
"""Bytes of an entry that are not its JSON: the comma before, the newline after."""


class ChunkBuilder:
    """The running position in one shape's log.

    A chunk closes with the entry that brings its JSON to *threshold* bytes; it may close in the
    middle of a transaction (PROTOCOL section 3.5).
    """

    __slots__ = ("chunk", "chunk_size", "covered_crc", "stop")

    def __init__(self, stop: int = 0, chunk: int = 0, chunk_size: int = 0) -> None:
        self.stop = stop
        self.chunk = chunk
        self.chunk_size = chunk_size
        self.covered_crc = 0

    def copy(self) -> ChunkBuilder:
        """The same position, to go back to."""
        twin = ChunkBuilder(self.stop, self.chunk, self.chunk_size)
        twin.covered_crc = self.covered_crc
        return twin

    def add_one(self, tx: int, op: int, entry: bytes, threshold: int) -> bytes:
        """The record of a transaction that is a single entry: the common case, without a loop."""
        self.stop += len(entry)
        record = pack_log_record(tx, op, self.stop, self.chunk, crc32(entry))
        self.chunk_size += len(entry) - _FRAME
        if self.chunk_size >= threshold:
            self.chunk += 1
            self.chunk_size = 0
        return record

    def add(
        self, tx: int, ops: Sequence[int], entries: Sequence[bytes], threshold: int, *, ends: bool
    ) -> list[bytes]:
        """Records for *entries* of *tx*: one for each chunk that closes, one for the end if *ends*."""
        records: list[bytes] = []
        last = len(entries) - 1
        for i, entry in enumerate(entries):
            self.stop += len(entry)
            self.covered_crc = crc32(entry, self.covered_crc)
            self.chunk_size += len(entry) - _FRAME
            is_end = ends and i == last
            if self.chunk_size >= threshold or is_end:
                flag = 0 if is_end else CONTINUES
                records.append(
                    pack_log_record(tx, ops[i], self.stop, self.chunk | flag, self.covered_crc)
                )
                self.covered_crc = 0
            if self.chunk_size >= threshold:
                self.chunk += 1
                self.chunk_size = 0
        return records

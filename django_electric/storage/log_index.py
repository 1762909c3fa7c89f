"""LogIndex: ``log.index`` as a sequence of records, read where it is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable

from django_electric.errors import StorageError
from django_electric.shapes.offset import LogOffset
from django_electric.storage.format import LOG_RECORD, LogRecord, unpack_log_record


class LogIndex:
    """The records of the log; those that do not end a whole transaction are left out at its end."""

    __slots__ = ("_fd", "count")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.count = os.fstat(fd).st_size // LOG_RECORD.size
        while self.count and self[self.count - 1].continues:
            self.count -= 1

    def __getitem__(self, i: int) -> LogRecord:
        data = os.pread(self._fd, LOG_RECORD.size, i * LOG_RECORD.size)
        if len(data) != LOG_RECORD.size:
            raise StorageError(f"record {i} of an index is cut short")
        return unpack_log_record(data)

    def first_after(self, offset: LogOffset) -> int:
        """Number of the first record whose offset is greater; `count` if there is none."""
        return self._bisect(lambda record: (record.tx, record.op) > offset)

    def end_of_chunk(self, chunk: int) -> int:
        """Number of the last record of *chunk*."""
        if self[self.count - 1].chunk == chunk:
            return self.count - 1
        return self._bisect(lambda record: record.chunk > chunk) - 1

    def first_of_chunk(self, chunk: int) -> int:
        """Number of the first record of *chunk*."""
        return self._bisect(lambda record: record.chunk >= chunk)

    def first_beyond(self, tx: int) -> int:
        """Number of the first record of a transaction after *tx*."""
        # Zeros are what a file system may leave after a power cut: they come after everything.
        return self._bisect(lambda record: record.tx > tx or not record.tx)

    def _bisect(self, is_after: Callable[[LogRecord], bool]) -> int:
        # Most questions are about the end: a live client has all but the last transaction.
        low, high = 0, self.count
        if high > 1 and not is_after(self[high - 2]):
            low = high - 1
        while low < high:
            middle = (low + high) // 2
            if is_after(self[middle]):
                high = middle
            else:
                low = middle + 1
        return low

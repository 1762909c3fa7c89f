"""The messages of the wake-up: words → a line, bytes → lines, lines → payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

LONGEST_LINE: Final = 7_900
"""Bytes. A notification of Postgres carries less than 8000."""


def encode(verb: str, *words: str) -> bytes:
    """One message."""
    return " ".join((verb, *words)).encode("ascii") + b"\n"


def decode(line: bytes) -> tuple[str, str]:
    """The verb and the rest of a line."""
    verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
    return verb, rest


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that *data* completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return iter(lines)


def batches(handles: Iterable[str], size: int = LONGEST_LINE - 10) -> Iterator[list[str]]:
    """*handles* in lists of at most *size* characters with their spaces: each fits into a line."""
    batch: list[str] = []
    length = 0
    for handle in handles:
        if batch and length + len(handle) + 1 > size:
            yield batch
            batch, length = [], 0
        batch.append(handle)
        length += len(handle) + 1
    if batch:
        yield batch


def payloads(lines: Iterable[bytes], size: int) -> Iterator[str]:
    """*lines*, which have no end, joined to texts of at most *size* bytes, or of one line."""
    together: list[bytes] = []
    length = 0
    for line in lines:
        if together and length + len(line) + 1 > size:
            yield b"\n".join(together).decode("ascii")
            together, length = [], 0
        together.append(line)
        length += len(line) + 1
    if together:
        yield b"\n".join(together).decode("ascii")

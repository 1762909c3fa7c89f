"""Waiting for a condition instead of sleeping for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], what: str = "", *, seconds: float = 30.0) -> T:
    """The first true result of *probe*; an AssertionError that names *what* after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        assert time.monotonic() < end, f"not within {seconds} s: {what or probe}; last {result!r}"
        time.sleep(0.02)

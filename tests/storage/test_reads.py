"""Reads: which logs were read longest ago."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from django_electric.storage import reads
from django_electric.storage.reads import NOTED_SECONDS, Reads


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Logs that were read one after the other, long ago."""
    for at, name in enumerate(("c", "a", "b")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 + at, 1000 + at))
    return tmp_path


def test_those_read_longest_ago_come_first(directory: Path) -> None:
    assert Reads(directory).longest_unread(["a", "b", "c"], 2) == ["c", "a"]


def test_a_read_counts_wherever_it_is_noted(directory: Path) -> None:
    Reads(directory).note("c")
    assert Reads(directory).longest_unread(["a", "b", "c"], 3) == ["a", "b", "c"]


def test_a_log_that_is_not_there_yet_comes_last(directory: Path) -> None:
    assert Reads(directory).longest_unread(["new", "a", "b", "c"], 4) == ["c", "a", "b", "new"]


def test_a_log_that_is_gone_is_no_matter(directory: Path) -> None:
    Reads(directory).note("gone")
    assert not (directory / "gone").exists()


def test_what_is_read_all_the_time_is_noted_now_and_then(directory: Path) -> None:
    now = 5.0
    noting = Reads(directory, lambda: now)
    noting.note("a")
    os.utime(directory / "a", (1, 1))
    now += NOTED_SECONDS - 1
    noting.note("a")
    assert (directory / "a").stat().st_mtime == 1
    now += 1
    noting.note("a")
    assert (directory / "a").stat().st_mtime > 1


def test_what_is_remembered_has_an_end(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_MOST", 2)
    noting = Reads(directory)
    for name in ("a", "b", "c"):
        noting.note(name)
    assert list(noting._noted) == ["c"]

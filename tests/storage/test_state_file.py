"""Small files that are replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_electric.storage import state_file


def test_what_was_written_is_read_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    for value in ({"a": [1, "x"]}, []):
        state_file.replace(path, value)
        assert state_file.read(path) == value
    assert [p.name for p in tmp_path.iterdir()] == ["some.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    assert state_file.read(path) is None


def test_until_the_new_value_is_on_disk_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.json"
    state_file.replace(path, 1)
    seen: list[tuple[str, object]] = []

    def fsync(fd: int) -> None:
        seen.append((Path(f"/dev/fd/{fd}").readlink().name, state_file.read(path)))

    monkeypatch.setattr(state_file.os, "fsync", fsync)
    state_file.replace(path, 2)
    assert seen == [("some.new", 1), (tmp_path.name, 2)]

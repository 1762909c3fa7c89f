"""Memberships: a table that was out of the publication for a while is told from one that never was."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_electric.replication.memberships import Memberships


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "published.json"


def test_a_table_that_stays_in_has_not_been_out(path: Path) -> None:
    known = Memberships(path)
    for entries in ({1}, {1}, {1, 2}, {2}):
        assert not known.has_been_out(7, frozenset(entries))


def test_a_table_that_is_in_by_other_entries_altogether_has_been_out_once(path: Path) -> None:
    known = Memberships(path)
    known.has_been_out(7, frozenset({1, 2}))
    assert known.has_been_out(7, frozenset({3}))
    assert not known.has_been_out(7, frozenset({3}))


def test_what_is_known_outlasts_the_process(path: Path) -> None:
    Memberships(path).has_been_out(7, frozenset({1}))
    assert Memberships(path).has_been_out(7, frozenset({2}))


def test_tables_without_shapes_are_forgotten(path: Path) -> None:
    known = Memberships(path)
    for table in (7, 8, 9):
        known.has_been_out(table, frozenset({table}))
    known.forget(7)
    known.keep({7, 8})
    again = Memberships(path)
    assert [again.has_been_out(table, frozenset({1})) for table in (7, 8, 9)] == [False, True, False]  # fmt: skip


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"seven": [1]}', '{"7": 1}'])
def test_a_file_that_makes_no_sense_says_nothing(path: Path, text: str) -> None:
    path.write_text(text)
    assert not Memberships(path).has_been_out(7, frozenset({1}))

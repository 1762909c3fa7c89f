"""Partitions as the catalogue has them (PROTOCOL section 10.7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from django_electric.replication import partitions
from django_electric.replication.partitions import KnownLinks, Link, links_of, roots_of
from django_electric.shapes.definition import ShapeDefinition
from tests.replication.database import Connection, oid_of

TREE = (
    "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
    "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
    "CREATE TABLE t11 PARTITION OF t1 DEFAULT;"
    "CREATE TABLE t2 PARTITION OF t DEFAULT;"
    "CREATE TABLE u (id int NOT NULL)"
)


@pytest.fixture
def tree(connection: Connection, make_table: Callable[..., ShapeDefinition]) -> Connection:
    """``t`` over ``t1``, with ``t11`` below, and ``t2``; ``u`` stands alone."""
    make_table(TREE)
    return connection


def leaves(connection: Connection, *roots: str) -> list[set[int]]:
    oids = [oid_of(connection, root) for root in roots]
    found = links_of(connection, oids)
    return [{link.leaf for link in found[oid]} for oid in oids]


def test_leaves_and_roots_find_each_other_however_deep(tree: Connection) -> None:
    t, t1, t11, t2, u = (oid_of(tree, name) for name in ("t", "t1", "t11", "t2", "u"))
    assert leaves(tree, "t", "t1", "u") == [{t11, t2}, {t11}, set()]
    assert set(roots_of(tree, t11)) == {t1, t}
    assert roots_of(tree, t) == roots_of(tree, u) == ()


def test_a_table_that_is_gone_has_neither(tree: Connection) -> None:
    oid = oid_of(tree, "t")
    tree.execute("DROP TABLE t")
    assert links_of(tree, [oid]) == {oid: frozenset()}
    assert roots_of(tree, oid) == ()
    assert links_of(tree, []) == {}


def test_a_leaf_that_was_taken_out_and_put_back_has_another_link(tree: Connection) -> None:
    """So has one whose parent was: rows may have come and gone meanwhile."""
    t = oid_of(tree, "t")
    before = links_of(tree, [t])[t]
    assert links_of(tree, [t])[t] == before
    tree.execute(
        "ALTER TABLE t DETACH PARTITION t1; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (10)"
    )
    after = links_of(tree, [t])[t]
    assert {link.leaf for link in before} == {link.leaf for link in after}
    assert len(before & after) == 1


def test_a_leaf_that_is_being_detached_concurrently_is_not_one_any_more(
    tree: Connection, other: Connection
) -> None:
    """It waits for those who still use it; queries that begin do not see its rows."""
    tree.execute("CREATE TABLE t12 PARTITION OF t1 FOR VALUES FROM (0) TO (5); DROP TABLE t11")
    with other.transaction():
        other.execute("SELECT FROM t")
        tree.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            tree.execute("ALTER TABLE t1 DETACH PARTITION t12 CONCURRENTLY")
        tree.execute("RESET statement_timeout")
        assert leaves(tree, "t", "t1") == [{oid_of(tree, "t2")}, set()]


def test_leaves_whose_old_rows_are_not_whole_are_named(tree: Connection) -> None:
    names = ("t", "t1", "t11", "t2")
    oids = [oid_of(tree, name) for name in names]
    tree.execute("ALTER TABLE t2 REPLICA IDENTITY FULL")
    assert partitions.without_full_identity(tree, oids) == [oid_of(tree, "t11")]
    assert partitions.without_full_identity(tree, []) == []


def test_the_rows_of_a_leaf_are_counted_for_those_who_see_them(
    tree: Connection, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.execute("INSERT INTO t VALUES (1), (2), (3), (100)")
    t11 = oid_of(tree, "t11")
    with other.transaction():
        other.execute("INSERT INTO t VALUES (4)")
        row = other.execute("SELECT txid_current()::int8").fetchone()
        count = partitions.count_rows(tree, t11)
    assert row is not None
    assert count is not None
    assert count.rows == 3
    assert not count.snapshot.sees(int(str(row[0])))
    monkeypatch.setattr(partitions, "MOST_ROWS", 4)
    assert partitions.count_rows(tree, t11) is not None
    monkeypatch.setattr(partitions, "MOST_ROWS", 3)
    assert partitions.count_rows(tree, t11) is None, "more than are counted"
    tree.execute("DROP TABLE t11")
    assert partitions.count_rows(tree, t11) is None, "gone"


# -- what is known of them -------------------------------------------------------------------------------

A, B, C = Link(11, "700"), Link(12, "701/702"), Link(13, "703")


def test_what_is_known_outlives_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "partitions.json"
    known = KnownLinks(path)
    assert not known
    known.put(1, {A, B})
    known.put(2, ())
    known.add(1, C)
    again = KnownLinks(path)
    assert again
    assert (again.of(1), again.of(2), again.of(3)) == ({A, B, C}, frozenset(), frozenset())
    assert (1 in again, 2 in again, 3 in again) == (True, True, False)


def test_what_nobody_needs_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "partitions.json"
    known = KnownLinks(path)
    for root in (1, 2, 3):
        known.put(root, {A})
    known.forget(1)
    known.forget(7)
    known.keep({2, 7})
    for one in (known, KnownLinks(path)):
        assert [root in one for root in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize("text", ["", "[]", '{"1": 5}', '{"x": []}', '{"1": [[1, 2, 3]]}'])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "partitions.json"
    path.write_text(text)
    assert not KnownLinks(path)

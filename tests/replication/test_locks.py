"""Who may write: one worker, and the others are known to stand by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from django_electric.replication.connection import ReplicationConnection
from django_electric.replication.locks import FileLock, WriterLocks
from django_electric.wakeup import STANDBY_LOCK


def test_a_file_is_locked_by_one_at_a_time(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.try_acquire()
    assert one.try_acquire()
    assert not other.try_acquire()
    one.release()
    one.release()
    assert other.try_acquire()
    other.release()


def test_the_last_holder_is_known_by_its_signature(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    one.try_acquire()
    assert one.owner() == ""
    one.sign("a rather long name")
    one.sign("one")
    assert one.owner() == "one"
    one.release()
    other.try_acquire()
    assert other.owner() == "one"
    other.release()


@pytest.fixture
def connections(dsn: str) -> Iterator[list[ReplicationConnection]]:
    with ReplicationConnection(dsn) as one, ReplicationConnection(dsn) as other:
        yield [one, other]


def is_free(path: Path) -> bool:
    lock = FileLock(path)
    try:
        return lock.try_acquire()
    finally:
        lock.release()


def test_of_two_workers_one_writes_and_the_other_stands_by(
    tmp_path: Path, connections: list[ReplicationConnection]
) -> None:
    with WriterLocks(tmp_path, "slot_a") as one, WriterLocks(tmp_path, "slot_a") as other:
        assert one.try_acquire(connections[0])
        assert is_free(tmp_path / STANDBY_LOCK)
        assert not other.try_acquire(connections[1])
        assert not is_free(tmp_path / STANDBY_LOCK)
        connections[0].query("SELECT pg_advisory_unlock_all()")
        assert not other.try_acquire(connections[1]), "the first has not let go of the file yet"
        one.release()
        assert other.try_acquire(connections[1])
        assert is_free(tmp_path / STANDBY_LOCK)
    assert is_free(tmp_path / "writer.lock")
    connections[1].query("SELECT pg_advisory_unlock_all()")


def test_a_worker_that_does_not_get_the_file_gives_the_other_lock_back(
    tmp_path: Path, connections: list[ReplicationConnection]
) -> None:
    """Else a worker on another host would wait for one that waits itself."""
    holder = FileLock(tmp_path / "writer.lock")
    holder.try_acquire()
    with WriterLocks(tmp_path, "slot_b") as locks:
        assert not locks.try_acquire(connections[0])
    with WriterLocks(tmp_path / ".", "slot_b") as elsewhere:
        holder.release()
        assert elsewhere.try_acquire(connections[1])
    connections[1].query("SELECT pg_advisory_unlock_all()")


def test_streams_with_another_slot_do_not_wait_for_each_other(
    tmp_path: Path, connections: list[ReplicationConnection]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with (
        WriterLocks(tmp_path / "one", "slot_c") as one,
        WriterLocks(tmp_path / "other", "slot_d") as other,
    ):
        assert one.try_acquire(connections[0])
        assert other.try_acquire(connections[1])
    for connection in connections:
        connection.query("SELECT pg_advisory_unlock_all()")


def test_a_worker_knows_whether_another_wrote_since_it_last_did(
    tmp_path: Path, connections: list[ReplicationConnection]
) -> None:
    one, other = WriterLocks(tmp_path, "slot_e"), WriterLocks(tmp_path, "slot_e")
    expected = [(one, False), (one, True), (other, False), (one, False), (one, True)]
    for locks, is_mine in expected:
        assert locks.try_acquire(connections[0])
        assert locks.was_last_writer() is is_mine
        locks.release()
    connections[0].query("SELECT pg_advisory_unlock_all()")

"""SlotWait: who holds up the making of a slot, and what is done when nobody does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from django_electric.conf import ElectricSettings
from django_electric.replication import publication, slot_wait
from django_electric.replication.connection import ReplicationConnection
from django_electric.replication.slot_wait import LOOK_SECONDS, SlotWait, log_running_transactions
from tests.replication.database import Connection, one
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Making:
    """A slot that is being made, by a thread; how long that takes is up to others."""

    def __init__(self, dsn: str, settings: ElectricSettings) -> None:
        self.stream = ReplicationConnection(dsn)
        self.clock = Clock()
        self.wait = SlotWait(dsn, self.stream.backend_pid, self.clock)
        self.thread = threading.Thread(
            target=publication.ensure_slot, args=(self.stream, settings), kwargs={"renew": False}
        )

    def look(self) -> None:
        """After the time between two looks."""
        self.clock.now += LOOK_SECONDS
        self.wait.look()


@contextmanager
def making(dsn: str, connection: Connection, settings: ElectricSettings) -> Iterator[Making]:
    made = Making(dsn, settings)
    made.thread.start()
    try:
        yield made
        made.thread.join(10)
        assert not made.thread.is_alive()
    finally:
        with made.stream:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                [settings.slot_name],
            )


@pytest.fixture
def texts(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.INFO, "django_electric.worker"):
        yield lambda: [record.getMessage() for record in caplog.records]


def is_held_up(connection: Connection, making: Making) -> bool:
    query = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
    return bool(one(connection, query, making.stream.backend_pid))


def test_whose_transaction_is_waited_for_is_said_once(
    dsn: str,
    connection: Connection,
    settings: ElectricSettings,
    texts: Callable[[], list[str]],
) -> None:
    with psycopg.connect(dsn, application_name="holder") as holder:
        holder.execute("SELECT txid_current(), 'a long story'")
        with making(dsn, connection, settings) as made:
            eventually(lambda: is_held_up(connection, made), "it waits")
            made.wait.look()
            assert texts() == [], "it has not waited long yet"
            holders = f"process {holder.info.backend_pid} (holder, idle in transaction, for "
            # Somebody else's transaction may be in the way for a moment, in another database.
            eventually(lambda: made.look() or holders in "".join(texts()), "it is named")
            made.look()
            (text,) = [text for text in texts() if holders in text]
            holder.rollback()
    assert text.endswith("SELECT txid_current(), 'a long story'")


def test_a_database_that_cannot_be_asked_is_no_reason_to_give_up(
    dsn: str, texts: Callable[[], list[str]]
) -> None:
    clock = Clock()
    wait = SlotWait(make_conninfo(dsn, host="/nowhere"), 0, clock)
    clock.now += LOOK_SECONDS
    wait.look()
    assert "not made yet" in texts()[0]


def test_if_nobody_is_waited_for_postgres_is_given_a_push(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Connection] = []
    monkeypatch.setattr(slot_wait, "log_running_transactions", pushed.append)
    clock = Clock()
    with ReplicationConnection(dsn) as stream:
        wait = SlotWait(dsn, stream.backend_pid, clock)
        clock.now += LOOK_SECONDS
        wait.look()
        wait.look()
    assert len(pushed) == 1


def wal_records(connection: Connection, since: str) -> bool:
    """Whether something was written to the WAL, and reached the disk."""
    return bool(one(connection, "SELECT pg_current_wal_insert_lsn() > %s::pg_lsn", since))


def test_the_push_is_a_record_in_the_wal(connection: Connection) -> None:
    since = one(connection, "SELECT pg_current_wal_insert_lsn()::text")
    log_running_transactions(connection)
    assert wal_records(connection, since)


def test_a_role_that_may_not_push_writes_something(stranger: Connection) -> None:
    since = one(stranger, "SELECT pg_current_wal_insert_lsn()::text")
    log_running_transactions(stranger)
    assert wal_records(stranger, since)

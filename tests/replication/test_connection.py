"""ReplicationConnection: the streaming protocol, against a real server."""

from __future__ import annotations

import os
import resource
import select
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from django_electric.conf import ElectricSettings
from django_electric.errors import ConfigurationError, ReplicationLost, SlotLost
from django_electric.postgres.pgoutput import Begin, Commit, Insert, Message, decode
from django_electric.postgres.streaming import KEEPALIVE, PAYLOAD_AT, XLOG_DATA, decode_keepalive
from django_electric.replication import connection as module
from django_electric.replication import publication
from django_electric.replication.connection import ReplicationConnection
from tests.support.waiting import eventually

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def settings(
    connection: Connection, settings_of: Callable[..., ElectricSettings]
) -> Iterator[ElectricSettings]:
    """With a table ``t`` that is published."""
    settings = settings_of()
    connection.execute("SET synchronous_commit = on")
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    connection.execute(f"CREATE PUBLICATION {settings.publication_name} FOR TABLE t")
    yield settings
    connection.execute(f"DROP PUBLICATION {settings.publication_name}; DROP TABLE t")


@pytest.fixture
def stream(
    dsn: str, connection: Connection, settings: ElectricSettings
) -> Iterator[ReplicationConnection]:
    """Streaming from a slot that is new."""
    with ReplicationConnection(dsn) as stream:
        publication.ensure_slot(stream, settings, renew=False)
        stream.start_streaming(settings.slot_name, settings.publication_name)
        yield stream
    drop_slot(connection, settings)


def drop_slot(connection: Connection, settings: ElectricSettings) -> None:
    """Once its last reader is gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [settings.slot_name])
            return
        except psycopg.errors.ObjectInUse:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def take(stream: ReplicationConnection, is_enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Frames until there are enough."""
    frames: list[bytes] = []
    deadline = time.monotonic() + 10
    while not is_enough(frames):
        assert time.monotonic() < deadline, frames
        select.select([stream], [], [], 0.1)
        stream.receive()
        frames += stream.frames()
    return frames


def messages(frames: list[bytes]) -> list[Message]:
    return [decode(frame, PAYLOAD_AT) for frame in frames if frame[0] == XLOG_DATA]


def has_commit(frames: list[bytes]) -> bool:
    return any(isinstance(m, Commit) for m in messages(frames))


# -- queries -----------------------------------------------------------------------------------------


def test_a_query_brings_texts(dsn: str) -> None:
    with ReplicationConnection(dsn) as replication:
        assert replication.query("SELECT 1, NULL, 'é', true") == [("1", None, "é", "t")]
        assert replication.query("SELECT 1; SELECT 2") == [("2",)]
        assert replication.query("SET search_path = public") == []
        assert replication.query("SELECT WHERE false") == []
        assert str(replication.backend_pid) == replication.query("SELECT pg_backend_pid()")[0][0]


def test_a_query_that_fails_raises_what_psycopg_calls_it(dsn: str) -> None:
    with ReplicationConnection(dsn) as replication:
        with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
            replication.query("SELECT * FROM nowhere")
        assert replication.query("SELECT 1") == [("1",)]


def test_while_a_query_runs_the_caller_is_asked_again_and_again(dsn: str) -> None:
    calls: list[int] = []
    with ReplicationConnection(dsn, while_waiting=lambda: calls.append(1)) as replication:
        replication.query("SELECT pg_sleep(0.6)")
    assert len(calls) >= 2


def test_the_caller_may_give_a_query_up(dsn: str) -> None:
    class GivenUp(Exception):
        pass

    def give_up() -> None:
        raise GivenUp

    with ReplicationConnection(dsn, while_waiting=give_up) as replication, pytest.raises(GivenUp):
        replication.query("SELECT pg_sleep(30)")


def test_a_connection_that_breaks_during_a_query_is_lost(dsn: str, connection: Connection) -> None:
    with ReplicationConnection(dsn) as replication:
        connection.execute("SELECT pg_terminate_backend(%s)", [replication.backend_pid])
        with pytest.raises((ReplicationLost, psycopg.errors.AdminShutdown)):
            replication.query("SELECT pg_sleep(5)")
        with pytest.raises(ReplicationLost):
            replication.query("SELECT 1")


def test_a_connection_works_though_thousands_of_files_are_open(dsn: str) -> None:
    """select() takes descriptors up to 1023, and a worker holds two for each log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    null = os.open(os.devnull, os.O_RDONLY)
    opened = [null]
    try:
        while opened[-1] < 1100:
            opened.append(os.dup(null))
        with ReplicationConnection(dsn) as replication:
            assert replication.fileno() > 1023
            assert replication.query("SELECT pg_sleep(0.1)") == [("",)]
            assert not replication.has_more()
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SilentServer:
    """What libpq may do and a real server does not do on demand."""

    def send_query(self, sql: bytes) -> None:
        pass

    def is_busy(self) -> bool:
        return False

    def get_result(self) -> None:
        return None

    def get_copy_data(self, nowait: int) -> tuple[int, bytes]:
        raise psycopg.OperationalError("replication slot has been invalidated")


def test_no_answer_at_all_is_a_connection_lost(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplicationConnection(dsn) as replication:
        monkeypatch.setattr(replication, "_pgconn", SilentServer())
        with pytest.raises(ReplicationLost, match="no answer"):
            replication.query("SELECT 1")
        with pytest.raises(SlotLost):
            list(replication.frames())


# -- connecting ----------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_a_connection_lost(dsn: str) -> None:
    with pytest.raises(ReplicationLost):
        ReplicationConnection(make_conninfo(dsn, host="/nowhere"))


def test_a_database_that_does_not_exist_may_come(dsn: str) -> None:
    with pytest.raises(ReplicationLost, match="does not exist"):
        ReplicationConnection(make_conninfo(dsn, dbname="nowhere"))


def test_a_role_that_may_not_replicate_is_told_what_to_run(
    dsn: str, connection: Connection
) -> None:
    connection.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN PASSWORD 'plain'")
    try:
        with pytest.raises(ConfigurationError, match="ALTER ROLE <role> REPLICATION"):
            ReplicationConnection(make_conninfo(dsn, user="plain", password="plain"))
    finally:
        connection.execute("DROP ROLE plain")


@pytest.mark.parametrize(
    "text",
    [
        "FATAL:  must be superuser or replication role to start walsender",
        "FATAL:  permission denied to start WAL sender",
        "FATAL:  unsupported startup parameter: replication",  # PgBouncer
        'root certificate file "/nowhere" does not exist\nEither provide the file or change sslmode',
        'could not read root certificate file "/dev/null": no certificate or crl found',
        "SSL error: certificate verify failed",
        "server does not support SSL, but SSL was required",
        'FATAL:  no pg_hba.conf entry for host "::1", user "app", database "app", no encryption',
    ],
)
def test_every_version_of_the_server_says_it_in_its_own_words(text: str) -> None:
    error = module.connection_error(psycopg.OperationalError(text))
    assert isinstance(error, ConfigurationError)


# -- the stream ------------------------------------------------------------------------------------------


def test_the_stream_brings_what_is_committed(
    stream: ReplicationConnection, connection: Connection
) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    found = messages(take(stream, has_commit))
    assert [m.new for m in found if isinstance(m, Insert)] == [("1", "a"), ("2", None)]
    assert isinstance(found[0], Begin)
    assert isinstance(found[-1], Commit)


def test_values_are_shown_under_the_settings_of_the_specification(
    stream: ReplicationConnection, connection: Connection
) -> None:
    connection.execute(
        "ALTER TABLE t ADD COLUMN i interval, ADD COLUMN b bytea, ADD COLUMN d timestamptz"
    )
    connection.execute(
        "INSERT INTO t VALUES (1, 'a', '1 day 2 hours', '\\x01', '2024-01-31 12:00+02')"
    )
    (insert,) = [m for m in messages(take(stream, has_commit)) if isinstance(m, Insert)]
    assert insert.new[2:] == ("P1DT2H", "\\x01", "2024-01-31 10:00:00+00")


def test_logical_messages_are_part_of_it(
    stream: ReplicationConnection, connection: Connection
) -> None:
    connection.execute("SELECT pg_logical_emit_message(true, 'django_electric', 'token')")
    found = messages(take(stream, has_commit))
    assert [getattr(m, "content", None) for m in found] == [None, b"token", None]


def test_taking_never_waits(stream: ReplicationConnection) -> None:
    take(stream, lambda frames: not stream.has_more())
    began = time.monotonic()
    for _ in range(20):
        list(stream.frames())  # at most a keepalive
    assert time.monotonic() - began < 0.5


def test_there_is_more_when_something_arrived(
    stream: ReplicationConnection, connection: Connection
) -> None:
    take(stream, lambda frames: not stream.has_more())
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    assert select.select([stream], [], [], 10)[0]
    assert stream.has_more()


def test_what_is_confirmed_moves_the_slot(
    stream: ReplicationConnection, connection: Connection, settings: ElectricSettings
) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    commit = messages(take(stream, has_commit))[-1]
    assert isinstance(commit, Commit)
    stream.confirm(commit.end_lsn + 1, commit.end_lsn, wants_reply=True)
    answers = take(stream, lambda frames: any(f[0] == KEEPALIVE for f in frames))
    assert max(decode_keepalive(f).wal_end for f in answers if f[0] == KEEPALIVE) >= commit.end_lsn
    # A keepalive may have been on its way before the confirmation was read.
    query = "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::int8 FROM pg_replication_slots WHERE slot_name = %s"
    eventually(
        lambda: connection.execute(query, [settings.slot_name]).fetchone() == (commit.end_lsn,),
        "the slot has moved to what was confirmed",
    )


def test_another_thread_may_repeat_what_was_confirmed(
    stream: ReplicationConnection, connection: Connection, settings: ElectricSettings
) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    commit = messages(take(stream, has_commit))[-1]
    assert isinstance(commit, Commit)
    stream.confirm(commit.end_lsn, commit.end_lsn)
    confirmed_at = stream.confirmed_at
    last_reply = "SELECT reply_time FROM pg_stat_replication WHERE pid = %s"

    def reply_time() -> object:
        return connection.execute(last_reply, [stream.backend_pid]).fetchone()

    eventually(lambda: reply_time() != (None,), "it is heard")
    before = reply_time()
    stream.confirm_again(60)
    thread = threading.Thread(target=stream.confirm_again, args=(0,))
    thread.start()
    thread.join()
    eventually(lambda: reply_time() != before, "it is heard again")
    assert stream.confirmed_at == confirmed_at
    row = connection.execute(
        "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::int8 FROM pg_replication_slots WHERE slot_name = %s",
        [settings.slot_name],
    ).fetchone()
    assert row == (commit.end_lsn,)


def test_a_stream_that_breaks_is_lost(
    stream: ReplicationConnection, connection: Connection
) -> None:
    connection.execute("SELECT pg_terminate_backend(%s)", [stream.backend_pid])
    with pytest.raises(ReplicationLost):
        take(stream, lambda frames: False)
    with pytest.raises(ReplicationLost):
        take(stream, lambda frames: False)
    with pytest.raises(ReplicationLost):
        confirm_again_and_again(stream)


def confirm_again_and_again(stream: ReplicationConnection) -> None:
    """The first writes after the end may go into a buffer."""
    for _ in range(100):
        stream.confirm(1, 1)


def test_a_slot_that_another_worker_uses_may_become_free(
    stream: ReplicationConnection, dsn: str, settings: ElectricSettings
) -> None:
    with ReplicationConnection(dsn) as second, pytest.raises(ReplicationLost, match="is active"):
        second.start_streaming(settings.slot_name, settings.publication_name)


def test_a_slot_that_does_not_exist_is_not_found(dsn: str, settings: ElectricSettings) -> None:
    with ReplicationConnection(dsn) as replication, pytest.raises((ReplicationLost, SlotLost)):
        replication.start_streaming("nowhere", settings.publication_name)


def test_a_slot_whose_wal_is_gone_is_lost(
    dsn: str, connection: Connection, settings: ElectricSettings
) -> None:
    """A physical one stands in for it: the server refuses both for the state that they are in."""
    connection.execute("SELECT pg_create_physical_replication_slot(%s)", [settings.slot_name])
    try:
        with (
            ReplicationConnection(dsn) as replication,
            pytest.raises(SlotLost, match="cannot be read"),
        ):
            replication.start_streaming(settings.slot_name, settings.publication_name)
    finally:
        drop_slot(connection, settings)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('can no longer get changes from replication slot "s"', SlotLost),
        ('cannot read from logical replication slot "s"\nThis slot has been invalidated', SlotLost),
        ("requested WAL segment 00000001 has already been removed", SlotLost),
        ("server closed the connection unexpectedly", ReplicationLost),
        ("terminating walsender process due to replication timeout", ReplicationLost),
    ],
)
def test_an_error_of_the_stream_is_told_apart_by_its_words(
    text: str, kind: type[Exception]
) -> None:
    assert type(module._stream_error(text)) is kind

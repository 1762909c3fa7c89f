"""Stack: the example project as its users run it, worker and web as two processes on a database of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from benchmarks import data
from benchmarks.client import ShapeClient
from django_electric.storage import FileStorage
from example_project.embedded_postgres import Cluster, postgres

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90
STOP_SECONDS = 30

POSTGRES_SETTINGS: dict[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    # Off would delay what the walsender may send; the commit has to be as a real one.
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    # A worker that is paused while the backlog is written must not be taken for dead.
    "wal_sender_timeout": 0,
}


@contextmanager
def throw_away_postgres() -> Iterator[Cluster]:
    """A cluster for one run of the benchmarks."""
    with postgres(None, **POSTGRES_SETTINGS) as cluster:
        yield cluster


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def terminate(*processes: subprocess.Popen[bytes]) -> None:
    """SIGTERM to all of them, and no more patience than `STOP_SECONDS`."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Stack:
    """Used as a context manager; makes the tables of `data` before it starts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.database = f"bench_{uuid.uuid4().hex[:12]}"
        self.dsn = cluster.dsn(self.database)
        self.directory = Path(tempfile.mkdtemp(prefix="electric-bench-", dir="/tmp"))
        self.port = free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ELECTRIC_")},
            "DATABASE_URL": cluster.url(self.database),
            "ELECTRIC_STORAGE_DIR": str(self.directory / "storage"),
            "ELECTRIC_REPLICATION_STREAM_ID": self.database,
            "ELECTRIC_INSECURE": "true",
            "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true",
            "PYTHONUNBUFFERED": "1",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.cluster.create_database(self.database)
        self.sql(*data.TABLES)
        self._python("manage.py", "migrate", "--noinput", "-v0")
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.logs(), file=sys.stderr)
        self.stop()
        self._drop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- Processes --------------------------------------------------------------------------------

    @property
    def worker_pid(self) -> int:
        return self._processes["worker"].pid

    @property
    def web_pid(self) -> int:
        return self._processes["web"].pid

    def start(self) -> None:
        """Start both processes and wait until the health check says ``active``."""
        self._spawn("worker", "manage.py", "run_electric_replication")
        self._spawn("web", *web_command("example_project.asgi:application", self.port))
        self.wait_until_active()

    def stop(self) -> None:
        """SIGTERM to both."""
        terminate(*self._processes.values())
        self._processes.clear()

    def pause_worker(self) -> None:
        """The worker stands still until `resume_worker`."""
        os.kill(self.worker_pid, signal.SIGSTOP)

    def resume_worker(self) -> None:
        os.kill(self.worker_pid, signal.SIGCONT)

    def check_alive(self) -> None:
        """Raises RuntimeError with the logs if a process ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"the {name} ended with {process.returncode}\n{self.logs()}")

    def wait_until_active(self) -> None:
        end = time.monotonic() + START_SECONDS
        with ShapeClient(self.port, timeout=5) as client:
            while not client.is_active():
                self.check_alive()
                if time.monotonic() > end:
                    raise RuntimeError(f"not active after {START_SECONDS} s\n{self.logs()}")
                time.sleep(0.01)

    def logs(self) -> str:
        """The ends of both logs."""
        paths = sorted(self.directory.glob("*.log"))
        return "\n".join(
            f"--- {path.stem}\n{path.read_text(errors='replace')[-3000:]}" for path in paths
        )

    def module(self, name: str, *arguments: str) -> str:
        """Run a module of Python in the environment of the processes; what it printed."""
        return self._python("-m", name, *arguments)

    def _python(self, *arguments: str) -> str:
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(f"{arguments}: {finished.stdout}{finished.stderr}")
        return finished.stdout

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    # --- The logs and the database ------------------------------------------------------------------

    @property
    def storage(self) -> FileStorage:
        """The worker's logs, to be read."""
        return FileStorage(self.directory / "storage" / self.database)

    @property
    def publication(self) -> str:
        return f"electric_publication_{self.database}"

    def client(self) -> ShapeClient:
        return ShapeClient(self.port)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of its own, in autocommit mode."""
        return psycopg.connect(self.dsn, autocommit=True)

    def sql(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of one query."""
        with self.connect() as connection:
            return connection.execute(statement).fetchall()

    def make_slot(self, name: str) -> None:
        """A slot that starts here, for a floor to be read from."""
        self.sql(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")

    def drop_slot(self, name: str) -> None:
        """Drop a slot as soon as nobody reads it."""
        for _ in range(100):
            try:
                self.sql(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                    f" WHERE slot_name = '{name}'"
                )
                return
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)

    def _drop(self) -> None:
        try:
            self.drop_slot(f"electric_slot_{self.database}")
            with psycopg.connect(self.cluster.dsn("postgres"), autocommit=True) as connection:
                drop = f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)'
                connection.execute(drop)
        except psycopg.OperationalError:
            pass  # the cluster goes with all that is in it


def web_command(application: str, port: int) -> list[str]:
    """Arguments that make Python serve *application*: the same server for us and for the floor."""
    return [
        "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port),
        "--timeout-graceful-shutdown", "1", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip

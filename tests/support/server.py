"""ElectricServer: the example project as an outside tool starts it, worker and web as two processes."""

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
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx
import psycopg

from example_project.embedded_postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]
_TEMPLATES: dict[tuple[str, str, str], str] = {}
"""Migrated databases that are there to be copied, by cluster, role and settings."""
START_SECONDS = 60
STOP_SECONDS = 20


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ElectricServer:
    """A database, a worker and a web process of their own; used as a context manager."""

    application = "example_project.asgi:application"
    worker_command: tuple[str, ...] = ("manage.py", "run_electric_replication")
    is_migrated_anew = False
    """Whether its database may be no copy of another."""

    def __init__(
        self,
        cluster: Cluster,
        env: Mapping[str, str] | None = None,
        *,
        before_start: tuple[str, ...] = (),
    ) -> None:
        self.cluster = cluster
        self.database = f"t_{uuid.uuid4().hex[:12]}"
        self.database_url = cluster.url(self.database)
        self.dsn = cluster.dsn(self.database)
        self.directory = Path(tempfile.mkdtemp(prefix="electric-", dir="/tmp"))
        self.storage = self.directory / "storage"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Each server has a stream of its own: the slots of a cluster share their names.
        self.stream_id = self.database
        self.env = {
            **{
                k: v
                for k, v in os.environ.items()
                if not k.startswith(("ELECTRIC_", "DATABASE_URL"))
            },
            "DATABASE_URL": self.database_url,
            "ELECTRIC_STORAGE_DIR": str(self.storage),
            "ELECTRIC_REPLICATION_STREAM_ID": self.stream_id,
            "PYTHONUNBUFFERED": "1",
            **({"ELECTRIC_INSECURE": "true"} if "ELECTRIC_SECRET" not in (env or {}) else {}),
            **(env or {}),
        }
        self.before_start = before_start
        self.worker: subprocess.Popen[bytes] | None = None
        self.web: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self.before_start or self.is_migrated_anew:
            self.cluster.create_database(self.database)
            self.sql(*self.before_start)
            self.migrate()
        else:
            self._create_migrated()
        self.start_worker()
        self.start_web()
        self.wait_until_active()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_web()
        self.stop_worker()
        self._drop_slot()
        self._drop_database()
        shutil.rmtree(self.directory, ignore_errors=True)

    def migrate(self) -> None:
        self.manage("migrate", "--noinput", "-v0")

    def _create_migrated(self) -> None:
        """The database: a copy of the first one that was migrated like this, which takes far less time."""
        role = self.env["DATABASE_URL"].partition("@")[0]
        key = self.cluster.dsn("postgres"), role, self.env.get("DJANGO_SETTINGS_MODULE", "")
        template = _TEMPLATES.get(key)
        if template is not None:
            self._copy(template, self.database)
            return
        self.cluster.create_database(self.database)
        self.migrate()
        template = f"template_{self.database}"
        self._copy(self.database, template)
        _TEMPLATES[key] = template

    def _copy(self, template: str, database: str) -> None:
        with psycopg.connect(self.cluster.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {template}")  # type: ignore[call-overload]

    # -- processes ---------------------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py``; what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start_worker(self) -> subprocess.Popen[bytes]:
        self.worker = self.start("worker", *self.worker_command)
        return self.worker

    def start_web(self) -> subprocess.Popen[bytes]:
        self.web = self.start(
            "web", "-m", "uvicorn", self.application, "--host", "127.0.0.1",
            "--port", str(self.port), "--timeout-graceful-shutdown", "1", "--no-access-log",
        )  # fmt: skip
        return self.web

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python program with the environment of this server; its output goes to ``NAME.log``."""
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_worker(self) -> None:
        """kill -9, and nothing else."""
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def stop_worker(self) -> int | None:
        """SIGTERM; its exit code."""
        return self._stop(self.worker)

    def stop_web(self) -> int | None:
        return self._stop(self.web)

    @staticmethod
    def _stop(process: subprocess.Popen[bytes] | None) -> int | None:
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def wait_until_active(self) -> None:
        """Until the health check says that both processes are ready."""
        self.wait_for_health("active")

    def wait_for_health(self, status: str) -> None:
        end = time.monotonic() + START_SECONDS
        last = ""
        while time.monotonic() < end:
            assert self.web is None or self.web.poll() is None, (
                "the web process ended\n" + self.logs()
            )
            try:
                # To get ready for TLS, which is not spoken here, takes 40 ms of a core: again and again, it slows
                # down what is waited for.
                last = httpx.get(f"{self.url}/v1/health", timeout=5, verify=False).text
                if status in last:
                    return
            except httpx.HTTPError as error:
                last = repr(error)
            time.sleep(0.05)
        raise AssertionError(f"not {status} after {START_SECONDS} s but {last}\n{self.logs()}")

    def log(self, name: str = "worker") -> str:
        """What a process of this name has said since the server began."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def logs(self) -> str:
        """The ends of both logs."""
        parts = []
        for name in ("worker", "web"):
            path = self.directory / f"{name}.log"
            if path.exists():
                parts.append(f"--- {name}\n{path.read_text(errors='replace')[-4000:]}")
        return "\n".join(parts)

    # -- the database ------------------------------------------------------------------------------

    def connect(self, **options: object) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of its own, in autocommit mode."""
        return psycopg.connect(self.dsn, autocommit=True, **options)  # type: ignore[arg-type]

    def sql(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def query(self, statement: str, parameters: object = None) -> list[tuple[object, ...]]:
        with self.connect() as connection:
            return connection.execute(statement, parameters).fetchall()  # type: ignore[arg-type]

    psql = sql

    def _drop_slot(self) -> None:
        name = f"electric_slot_{self.stream_id}"
        for _ in range(50):
            try:
                self.query(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                    [name],
                )
                return
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
            except psycopg.OperationalError:
                return

    def _drop_database(self) -> None:
        try:
            with psycopg.connect(self.cluster.dsn("postgres"), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')  # type: ignore[arg-type]
        except psycopg.OperationalError:
            pass  # the cluster went first

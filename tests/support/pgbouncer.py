"""PgBouncer in transaction mode, in front of a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
import pytest

from example_project.embedded_postgres import Cluster, give_to_server, server_user
from tests.support.server import free_port
from tests.support.waiting import eventually

_CONFIGURATION = """
[databases]
* = host={socket} port={port} user=postgres
[pgbouncer]
pool_mode = transaction
auth_type = any
listen_addr =
unix_socket_dir = {folder}
listen_port = {number}
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer:
    """Used as a context manager; skips where there is none."""

    def __init__(self, cluster: Cluster) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("pgbouncer is not installed: pooled connections are NOT tested")
        self._program = program
        self._cluster = cluster
        self.folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgres://postgres@/{database}?host={quote(str(self.folder))}&port={self._port}"

    def __enter__(self) -> Self:
        file = self.folder / "pgbouncer.ini"
        file.write_text(
            _CONFIGURATION.format(
                socket=self._cluster.socket_folder,
                port=self._cluster.port,
                folder=self.folder,
                number=self._port,
            )
        )
        for path in (self.folder, file):
            give_to_server(path)
        user = server_user()
        self._process = subprocess.Popen(
            [self._program, str(file)],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
        eventually(self._answers, "PgBouncer answers")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

"""WebProcess: one more web process of a running server, started as docs/how-to/servers.md says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from tests.support.server import ROOT, ElectricServer, free_port
from tests.support.waiting import eventually

_PAGE: Final = ROOT / "docs" / "how-to" / "servers.md"
COMMANDS: Final = {
    line.split()[2]: line.split()[1:]
    for line in re.findall(r"^python -m \w+ .*$", _PAGE.read_text(), re.MULTILINE)
}
"""The program's name → the arguments of Python."""


class WebProcess:
    """Python with *arguments*, of which 8000 stands for a port that is free."""

    def __init__(self, server: ElectricServer, name: str, *arguments: str) -> None:
        self.server = server
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        words = [word.replace("8000", str(self.port)) for word in arguments]
        self._process = server.start(name, *words)

    def wait_until_active(self) -> None:
        eventually(self._is_active, f"{self.name} answers", seconds=60)

    def _is_active(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            return "active" in httpx.get(f"{self.url}/v1/health", timeout=10).text
        except httpx.HTTPError:
            return False

    @property
    def log(self) -> str:
        """What the process printed."""
        return (self.server.directory / f"{self.name}.log").read_text(errors="replace")

    @property
    def open_files(self) -> int:
        return self._count("fd")

    @property
    def threads(self) -> int:
        return self._count("task")

    def _count(self, kind: str) -> int:
        return sum(len(list(Path(f"/proc/{pid}/{kind}").iterdir())) for pid in self._pids())

    def _pids(self) -> list[int]:
        """The process and its descendants: some servers serve in a child."""
        pids = [self._process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(FileNotFoundError):  # it has ended meanwhile
                    pids += map(int, (task / "children").read_text().split())
        return pids

    def end(self, patience: float = 30) -> tuple[int, float]:
        """SIGTERM; the exit code, and after how many seconds. After *patience* nobody of it lives."""
        began = time.monotonic()
        pids = self._pids() if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
        return self._process.returncode, time.monotonic() - began


def serving(program: str, mount: str) -> list[str]:
    """The arguments of Python by which *program* serves one of the `mounts`."""
    words = {"myproject.asgi:application": f"tests.servers.mounts:{mount}"}
    if mount == "without_asgi":
        words["asgi"] = "wsgi"
    return [words.get(word, word) for word in COMMANDS[program]]

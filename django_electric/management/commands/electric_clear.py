"""``manage.py electric_clear``: delete every shape and its log."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from django_electric.conf import ElectricSettings
from django_electric.management.command import ElectricCommand
from django_electric.upkeep.clearing import clear


class Command(ElectricCommand):
    """Exit codes: 0 all is gone, 1 it is not, or nobody said yes, 2 wrong arguments."""

    help = "Delete every shape and its log. Clients sync anew; the rows of your tables are not touched."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--noinput", action="store_true", help="do not ask")

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        question = (
            f"Delete all shapes of the stream '{settings.replication_stream_id}' and their logs?"
        )
        if not given.noinput and not self.ask(question):
            self.stderr.write("Nothing was deleted.")
            return 1
        cleared = clear(settings)
        rest = "" if cleared.files else "; a worker is at work and deletes their logs"
        self.say(given, asdict(cleared), f"{cleared.shapes} shapes deleted{rest}")
        return 0

"""``manage.py electric_cleanup``: drop the replication slot and the publication."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from django_electric.conf import ElectricSettings
from django_electric.management.command import ElectricCommand
from django_electric.upkeep.clearing import clean_up


class Command(ElectricCommand):
    """Exit codes: 0 neither is there any more, 1 they are, or nobody said yes, 2 wrong arguments."""

    help = (
        "Drop the replication slot, which keeps WAL while no worker runs, and the publication. The next worker makes "
        "both anew, and clients sync anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--noinput", action="store_true", help="do not ask")

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        names = f"{settings.slot_name} and {settings.publication_name}"
        if not given.noinput and not self.ask(f"Drop {names}?"):
            self.stderr.write("Nothing was dropped.")
            return 1
        dropped = clean_up(settings)
        gone = [name for name in (dropped.slot, dropped.publication) if name]
        self.say(
            given, asdict(dropped), f"dropped: {', '.join(gone) or 'nothing, neither was there'}"
        )
        return 0

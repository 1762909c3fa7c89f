"""``manage.py electric_status``: how worker, slot and shapes are at the moment."""

from __future__ import annotations

from argparse import Namespace

from django_electric.conf import ElectricSettings
from django_electric.management.command import ElectricCommand
from django_electric.upkeep.examine import examine
from django_electric.upkeep.status import Status, status_of


class Command(ElectricCommand):
    """Exit codes: 0 a worker is at work, 1 none is, or the database cannot be asked, 2 wrong arguments."""

    help = "Say how the worker, its replication slot and the shapes are."

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        status = status_of(examine(settings), settings.root)
        self.say(given, status.to_json(), str(status))
        return self._code(status)

    @staticmethod
    def _code(status: Status) -> int:
        return 0 if status.is_working else 1

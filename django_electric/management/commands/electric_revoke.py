"""``manage.py electric_revoke``: end what users are reading, and make their tokens invalid."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from django_electric.revoking import revoke


class Command(BaseCommand):
    """Exit codes: 0 revoked, 1 a user does not exist (then nobody is) or it cannot be written, 2 wrong arguments."""

    help = "End the live requests of users and make the tokens that they were given invalid."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("users", nargs="+", metavar="USER", help="name of a user")

    def handle(self, *args: object, **options: Any) -> None:
        users = [_user(name) for name in options["users"]]
        try:
            revoke(*users)
        except OSError as error:
            raise CommandError(f"The storage cannot be written: {error}") from error
        if options["verbosity"]:
            self.stdout.write(f"{len(users)} revoked")


def _user(name: str) -> Any:
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(name)
    except model.DoesNotExist:
        raise CommandError(f"There is no user called {name}") from None

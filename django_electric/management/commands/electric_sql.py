"""``manage.py electric_sql``: the SQL that gives a role the least that worker and web processes need."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_electric.conf import ALIAS, aliases, electric_settings
from django_electric.postgres.grants import grant_statements, role_statements
from django_electric.published import needs_of, role_exists

_HEAD = """\
-- For worker and web processes of django_electric, with ELECTRIC_MANUAL_TABLE_PUBLISHING=true.
-- The role owns nothing: migrations, and with them PublishModel or electric_publish, run as the owner
-- of the tables. Run the first statement as a superuser, the others as the owner.
"""


class Command(BaseCommand):
    """Prints; nothing is run. Exit codes: 0 printed, 1 the database does not answer, 2 wrong arguments."""

    help = "Print the grants for a role that worker and web processes can run as."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--role", required=True, metavar="NAME", help="the role to be granted")
        parser.add_argument(
            "--database",
            default=ALIAS,
            choices=aliases(),
            help="alias in DATABASES and ELECTRIC (default: default)",
        )

    def handle(self, *args: object, **options: Any) -> None:
        role, alias = options["role"], options["database"]
        needs = needs_of(alias)
        lines = [*role_statements(role, exists=role_exists(alias, role)), ""]
        lines += grant_statements(role, needs)
        if not needs.published:
            name = electric_settings(alias).publication_name
            lines.append(f"-- No table is in {name} yet: publish some, and print this again.")
        self.stdout.write(_HEAD + "\n".join(lines))

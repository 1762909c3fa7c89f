"""A program that migrates on demand: reads what to migrate to, line by line, and says when it is done.

To start Django once is enough for a whole test.
"""

from __future__ import annotations

import sys

import django
from django.core.management import call_command


def main() -> None:
    django.setup()
    for line in sys.stdin:
        call_command("migrate", *line.split(), verbosity=0)
        print("done", flush=True)


if __name__ == "__main__":
    main()

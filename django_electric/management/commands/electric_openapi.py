"""``manage.py electric_openapi``: describe the endpoints for programs that read OpenAPI."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.urls import NoReverseMatch, reverse

from django_electric.conf import ALIAS, electric_settings
from django_electric.protocol.openapi import document

_LAST_SEGMENTS = "v1/shape"


class Command(BaseCommand):
    """Exit codes: 0 all is well, 1 the file is not equal or cannot be read or written, 2 wrong arguments."""

    help = "Print the OpenAPI document of /v1/shape and /v1/health as they are served here, or check a copy of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--output", metavar="FILE", help="write to this file, do not print")
        where.add_argument("--check", metavar="FILE", help="fail unless this file says the same")
        parser.add_argument(
            "--server",
            metavar="URL",
            help="what the paths are relative to (default: where django_electric.urls is included)",
        )

    def handle(self, *args: object, **options: object) -> None:
        text = self._text(options["server"])
        try:
            if options["output"]:
                Path(str(options["output"])).write_text(text, encoding="utf-8")
            elif options["check"]:
                self._check(Path(str(options["check"])), text)
            else:
                self.stdout.write(text, ending="")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from error

    def _text(self, server: object) -> str:
        is_open = electric_settings(ALIAS).insecure
        described = document(server=str(server or _prefix()), is_open=is_open)
        return json.dumps(described, indent=2, ensure_ascii=False) + "\n"

    def _check(self, path: Path, text: str) -> None:
        if path.read_text(encoding="utf-8") != text:
            raise CommandError(
                f"{path} does not say what is served: manage.py electric_openapi --output {path}"
            )


def _prefix() -> str:
    """The path below which the project serves our routes."""
    try:
        return reverse("django_electric:shape").removesuffix(_LAST_SEGMENTS)
    except NoReverseMatch as error:
        raise CommandError(
            "django_electric.urls is not included in the project's URLs: say --server URL.",
        ) from error

"""``manage.py electric_plan``: which shapes the migrations that are not applied yet will rotate."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict

from django.core.management.base import CommandError
from django.template.defaultfilters import filesizeformat

from django_electric.conf import ElectricSettings
from django_electric.management.command import ElectricCommand
from django_electric.planning import Rotated, Step, steps


class Command(ElectricCommand):
    """Exit codes: 0 printed, 1 with --check if a shape is rotated, 2 wrong arguments."""

    help = (
        "Say which of the shapes that exist the unapplied migrations will rotate: their clients fetch all"
        " rows again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--check", action="store_true", help="fail if a shape is rotated: for CI"
        )

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        found = list(steps(settings.alias))
        self.say(given, [asdict(step) for step in found], "\n".join(_lines(found)))
        rotated = [shape for step in found for shape in step.rotates]
        if given.check and rotated:
            size = filesizeformat(sum(shape.size for shape in rotated))
            raise CommandError(
                f"{len(rotated)} shapes ({size}) are rotated by the migrations to come"
            )
        return 0


def _lines(found: Sequence[Step]) -> list[str]:
    if not found:
        return ["No migrations to apply."]
    lines: list[str] = []
    migration = ""
    for step in found:
        if step.migration != migration:
            migration = step.migration
            lines.append(migration)
        lines.append(f"  {step.operation}: {_effect(step)}")
        lines += [f"    {_line(shape)}" for shape in step.rotates]
    return lines


def _effect(step: Step) -> str:
    parts = [f"rotates {len(step.rotates)} shapes"] if step.rotates else []
    parts += ["unknown"] if step.is_unknown else []
    return ", ".join(parts) or "rotates nothing"


def _line(shape: Rotated) -> str:
    where = f" where {shape.where}" if shape.where else ""
    size = filesizeformat(shape.size)
    return f"{shape.handle} on {shape.table}{where} ({size}): {shape.reason}"

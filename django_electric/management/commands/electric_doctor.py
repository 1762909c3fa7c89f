"""``manage.py electric_doctor``: what is wrong with the installation, and what to do about it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, replace

from django.core import checks

from django_electric.conf import ElectricSettings
from django_electric.management.command import ElectricCommand
from django_electric.upkeep.examine import examine
from django_electric.upkeep.facts import Facts
from django_electric.upkeep.findings import Finding, Severity, in_order
from django_electric.upkeep.probes import findings
from django_electric.upkeep.remedies import can_fix, fix


class Command(ElectricCommand):
    """Exit codes: 0 nothing is wrong, 1 something is, 2 wrong arguments or settings that cannot be read."""

    help = "Examine settings, Postgres, replication and storage; say what is wrong and what to do about it."
    requires_system_checks = ()  # they are part of the examination

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--fix", action="store_true", help="do what can be done without harm, then look again"
        )

    def run(self, given: Namespace, settings: ElectricSettings) -> int:
        facts = examine(settings)
        found = _all_findings(facts)
        done = list(fix(settings, facts, found)) if given.fix else []
        if done:
            facts = examine(settings)
            found = _all_findings(facts)
        self.say(given, _as_json(facts, found, done), _as_text(facts, found, done))
        return 1 if any(finding.severity != "note" for finding in found) else 0


def _all_findings(facts: Facts) -> list[Finding]:
    """Those of the probes, and what the system checks that need no database say."""
    messages = checks.run_checks(tags=["electric"])
    return in_order([*map(_of_check, messages), *findings(facts)])


def _of_check(message: checks.CheckMessage) -> Finding:
    severity: Severity = "error" if message.level >= checks.ERROR else "warning"
    # The anchor is told apart.
    remedy = (message.hint or "").partition(" See docs/")[0]
    return Finding(message.id or "", severity, message.msg, remedy)


def _as_json(facts: Facts, found: list[Finding], done: list[str]) -> dict[str, object]:
    described = [{**finding.to_json(), "can_fix": can_fix(finding, facts)} for finding in found]
    return {"findings": described, "fixed": done, "facts": asdict(_without_samples(facts))}


def _without_samples(facts: Facts) -> Facts:
    """They are for the chart, and many."""
    beat = facts.storage.heartbeat
    if beat is None:
        return facts
    return replace(facts, storage=replace(facts.storage, heartbeat=replace(beat, samples=())))


def _as_text(facts: Facts, found: list[Finding], done: list[str]) -> str:
    lines = [f"fixed: {sentence}" for sentence in done]
    lines += [_said(finding, facts) for finding in found]
    return "\n".join(lines or ["Nothing is wrong."])


def _said(finding: Finding, facts: Facts) -> str:
    more = "\n    --fix does it." if can_fix(finding, facts) else ""
    return f"{finding}{more}"

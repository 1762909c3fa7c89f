"""``manage.py seed``: fill the demo with projects, issues and comments."""

from __future__ import annotations

import random
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.utils import timezone

from example_project.demo import texts
from example_project.demo.models import Comment, Issue, Project

ISSUES = 400
COMMENTS_PER_ISSUE = 2
BATCH = 200
# The same rows on every machine; only the dates are counted back from the day of seeding.
RANDOM_SEED = 42
AGE = timedelta(days=180)

Row = TypeVar("Row", bound=models.Model)
Choice = TypeVar("Choice", str, int)


class Command(BaseCommand):
    """Parse, write in batches, report."""

    help = "Fill the demo with realistic rows. Where there are issues already it does nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--issues", type=int, default=ISSUES, metavar="N",
            help=f"how many issues to write (default {ISSUES}), "
            f"with {COMMENTS_PER_ISSUE} comments each on average",
        )  # fmt: skip
        parser.add_argument(
            "--force", action="store_true", help="write, even if there are issues already"
        )

    def handle(self, *args: Any, issues: int, force: bool, **options: Any) -> None:
        if issues < 1:
            raise CommandError("--issues must be 1 or more.")
        if Issue.objects.exists() and not force:
            self.stdout.write(
                f"Seeded already: {_contents()}. Nothing to do (--force writes more)."
            )
            return
        # All or nothing: a seed cut off leaves no half that the next run would take for the whole.
        with transaction.atomic():
            self._seed(issues)
        self.stdout.write(self.style.SUCCESS(f"Seeded: {_contents()}."))

    def _seed(self, count: int) -> None:
        dice = random.Random(RANDOM_SEED)  # noqa: S311  # for texts, not for secrets
        now = timezone.now()
        issues = self._write(Issue, _issues(dice, _projects(now), count, now), count)
        self._write(Comment, _comments(dice, issues, now), count * COMMENTS_PER_ISSUE)

    def _write(self, model: type[Row], rows: Iterator[Row], total: int) -> list[Row]:
        """Write *rows* in batches, and say how far it is."""
        written: list[Row] = []
        while batch := list(islice(rows, BATCH)):
            written += model._default_manager.bulk_create(batch)
            self.stderr.write(f"  {model._meta.verbose_name_plural}: {len(written):,} of {total:,}")
        return written


def _contents() -> str:
    counts = ((model._default_manager.count(), model) for model in (Project, Issue, Comment))
    return ", ".join(f"{count:,} {model._meta.verbose_name_plural}" for count, model in counts)


def _projects(now: datetime) -> dict[Project, texts.ProjectText]:
    """The five projects, made where they are missing, each with its text."""
    return {
        Project.objects.get_or_create(
            key=text.key,
            defaults={
                "name": text.name,
                "color": text.color,
                "description": text.description,
                "created": now - AGE,
            },
        )[0]: text
        for text in texts.PROJECTS
    }


def _issues(
    dice: random.Random, projects: Mapping[Project, texts.ProjectText], count: int, now: datetime
) -> Iterator[Issue]:
    """*count* issues, the oldest first, so that ids and dates grow together."""
    subjects = {project: _subjects(dice, text) for project, text in projects.items()}
    for number in range(count):
        project = dice.choice(list(projects))
        part, story = next(subjects[project])
        status = _pick(dice, texts.STATUS_WEIGHTS)
        # A square root of an even spread: more is new than old, as in any tracker that is alive.
        created = now - AGE * (1 - ((number + dice.random()) / count) ** 0.5)
        yield Issue(
            project=project,
            title=_fill(dice, story.title, part),
            description=_fill(dice, story.description, part),
            status=status,
            priority=_pick(dice, texts.PRIORITY_WEIGHTS),
            # What nobody has started may be nobody's; what is done was somebody's work.
            assignee=""
            if status in {"backlog", "todo"} and dice.random() < 0.5
            else dice.choice(texts.PEOPLE),
            position=float(number),
            created=created,
            updated=created + (now - created) * dice.random(),
        )


def _subjects(dice: random.Random, text: texts.ProjectText) -> Iterator[tuple[str, texts.Story]]:
    """What a project's issues are about: every part with every story once, in random order, then again."""
    pairs = [(part, story) for part in text.parts for story in texts.STORIES]
    dice.shuffle(pairs)
    return cycle(pairs)


def _comments(dice: random.Random, issues: list[Issue], now: datetime) -> Iterator[Comment]:
    """Comments on random issues: a few are discussed at length, many not at all."""
    weights = [dice.expovariate(1) * (1 + issue.priority) for issue in issues]
    for issue in dice.choices(issues, weights=weights, k=len(issues) * COMMENTS_PER_ISSUE):
        yield Comment(
            issue=issue,
            author=dice.choice(texts.PEOPLE),
            body=_fill(dice, dice.choice(texts.REMARKS)),
            created=issue.created + (now - issue.created) * dice.random(),
        )


def _pick(dice: random.Random, weights: Mapping[Choice, int]) -> Choice:
    return dice.choices(list(weights), weights=list(weights.values()))[0]


def _fill(dice: random.Random, text: str, part: str = "") -> str:
    n = dice.randint(2, 60)
    return text.format(part=part, n=n, m=n * dice.randint(3, 9))

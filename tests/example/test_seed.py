"""``manage.py seed``: enough rows, the same ones everywhere, and never twice."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from example_project.demo import texts
from example_project.demo.models import Comment, Issue, Project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("postgres_cluster")]


def seed(*arguments: str) -> tuple[str, str]:
    """What the command says on stdout and on stderr."""
    out, err = StringIO(), StringIO()
    call_command("seed", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def counts() -> tuple[int, int, int]:
    return Project.objects.count(), Issue.objects.count(), Comment.objects.count()


def test_default_is_more_than_a_thousand_rows_in_three_tables() -> None:
    out, _ = seed()
    assert counts() == (5, 400, 800)
    assert "Seeded: 5 projects, 400 issues, 800 comments." in out


def test_progress_goes_to_stderr() -> None:
    _, err = seed("--issues", "250")
    assert "issues: 200 of 250" in err
    assert "issues: 250 of 250" in err
    assert "comments: 500 of 500" in err


def test_second_run_writes_nothing_and_says_so() -> None:
    seed("--issues", "20")
    out, err = seed("--issues", "20")
    assert counts() == (5, 20, 40)
    assert "Seeded already" in out
    assert not err


def test_force_writes_more_into_the_same_projects() -> None:
    seed("--issues", "20")
    seed("--issues", "10", "--force")
    assert counts() == (5, 30, 60)


def test_same_texts_on_every_machine() -> None:
    seed("--issues", "50")
    first = list(Issue.objects.values_list("title", "status", "assignee"))
    Project.objects.all().delete()
    seed("--issues", "50")
    assert list(Issue.objects.values_list("title", "status", "assignee")) == first


def test_rows_are_as_varied_and_as_orderly_as_real_ones() -> None:
    seed()
    assert set(Issue.objects.values_list("status", flat=True)) == set(Issue.Status.values)
    assert set(Issue.objects.values_list("priority", flat=True)) == set(Issue.Priority.values)
    assert Issue.objects.values("title").distinct().count() > 250
    assert Issue.objects.filter(assignee="").exists()
    assert set(Comment.objects.values_list("author", flat=True)) == set(texts.PEOPLE)
    assert not Issue.objects.filter(updated__lt=F("created")).exists()
    assert not Comment.objects.filter(created__lt=F("issue__created")).exists()


def test_every_seeded_row_passes_its_own_validation() -> None:
    seed("--issues", "100")
    for row in (*Project.objects.all(), *Issue.objects.all(), *Comment.objects.all()):
        row.full_clean(validate_unique=False)


def test_number_below_one_is_refused() -> None:
    with pytest.raises(CommandError, match="--issues must be 1 or more"):
        seed("--issues", "0")


def test_every_text_can_be_filled_in() -> None:
    for story in texts.STORIES:
        for part in (part for project in texts.PROJECTS for part in project.parts):
            title = story.title.format(part=part, n=60, m=540)
            assert len(title) <= 160
            assert "{" not in story.description.format(part=part, n=60, m=540)

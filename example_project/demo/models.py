"""Project, Issue, Comment: the three tables that the demo page follows.

The defaults live in the database (``db_default``), so that a row inserted by hand needs no more than
it must: ``INSERT INTO demo_issue (project_id, title) VALUES (1, 'From psql');``
"""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now


class Project(models.Model):
    """A team's body of work."""

    name = models.CharField(max_length=80)
    key = models.CharField(
        max_length=6,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Z][A-Z0-9]*$", "Use capital letters and digits, letter first.")
        ],
        help_text="Prefix of its issues' names, as in ATL-42.",
    )
    color = models.CharField(
        max_length=7,
        db_default="#64748b",
        validators=[RegexValidator(r"^#[0-9a-f]{6}$", "Write a color as #rrggbb, in lower case.")],
    )
    description = models.TextField(blank=True, db_default="")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Issue(models.Model):
    """A piece of work: something to build, to repair or to find out."""

    class Status(models.TextChoices):
        BACKLOG = "backlog", "Backlog"
        TODO = "todo", "To do"
        IN_PROGRESS = "in_progress", "In progress"
        DONE = "done", "Done"
        CANCELED = "canceled", "Canceled"

    class Priority(models.IntegerChoices):
        NONE = 0, "No priority"
        LOW = 1, "Low"
        MEDIUM = 2, "Medium"
        HIGH = 3, "High"
        URGENT = 4, "Urgent"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="issues")
    title = models.CharField(max_length=160)
    description = models.TextField(blank=True, db_default="")
    status = models.CharField(max_length=12, choices=Status, db_default=Status.BACKLOG)
    priority = models.PositiveSmallIntegerField(choices=Priority, db_default=Priority.NONE)
    assignee = models.CharField(max_length=80, blank=True, db_default="")
    position = models.FloatField(
        db_default=0.0, help_text="Order inside its status, smallest first."
    )
    created = models.DateTimeField(db_default=Now(), editable=False)
    updated = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("project", "status"), name="demo_issue_project_status"),)

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    """What somebody said about an issue."""

    issue = models.ForeignKey(Issue, on_delete=models.CASCADE, related_name="comments")
    author = models.CharField(max_length=80)
    body = models.TextField()
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("created", "id")

    def __str__(self) -> str:
        return f"{self.author}: {self.body[:40]}"

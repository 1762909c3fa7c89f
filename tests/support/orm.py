"""Models that no app has, with a bit of everything that a column can be, and their tables in a database."""

# ruff: noqa: DJ001, DJ008  # columns of every kind, for no page

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps.registry import Apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import F, Value
from django.db.models.functions import Concat

APPS = Apps()


class Owner(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "orm"
        apps = APPS
        db_table = "Odd owners"


class Note(models.Model):
    owner = models.ForeignKey(Owner, models.CASCADE, null=True, related_name="notes")
    title = models.CharField(max_length=60, db_column="Heading text", db_default="")
    body = models.TextField(null=True)
    count = models.IntegerField(null=True)
    rank = models.SmallIntegerField(db_default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    done = models.BooleanField(db_default=False)
    day = models.DateField(null=True)
    at = models.DateTimeField(null=True)
    spent = models.DurationField(null=True)
    ident = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    tags = ArrayField(models.CharField(max_length=20), null=True)
    address = models.GenericIPAddressField(null=True)
    secret = models.TextField(db_default="hidden")
    label = models.GeneratedField(
        expression=Concat(F("title"), Value("!")),
        output_field=models.TextField(),
        db_persist=True,
    )

    class Meta:
        app_label = "orm"
        apps = APPS
        db_table = "orm_notes"
        ordering = ("title",)


class NoteProxy(Note):
    class Meta:
        app_label = "orm"
        apps = APPS
        proxy = True


class LongNote(Note):
    pages = models.IntegerField()

    class Meta:
        app_label = "orm"
        apps = APPS


TABLES = (Owner, Note)


@contextmanager
def tables() -> Iterator[None]:
    """The tables of `TABLES` in the default database."""
    with connection.schema_editor() as editor:
        for model in TABLES:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(TABLES):
                editor.delete_model(model)

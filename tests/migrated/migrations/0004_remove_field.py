"""A column less, and a row in the same transaction."""

from __future__ import annotations

from django.db import migrations


def write(apps, schema_editor):
    apps.get_model("migrated", "Note").objects.create(kind=1, text="written by the migration")


class Migration(migrations.Migration):
    dependencies = [("migrated", "0003_nothing_that_shapes_see")]
    operations = [
        migrations.RemoveField("Note", "spare"),
        migrations.RunPython(write, migrations.RunPython.noop),
    ]

"""An index, a constraint, NOT NULL."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("migrated", "0002_add_field")]
    operations = [
        migrations.AlterField("Note", "spare", models.IntegerField(default=5, null=True)),
        migrations.AddIndex("Note", models.Index(fields=["kind"], name="note_kind")),
        migrations.AddConstraint(
            "Note", models.CheckConstraint(condition=models.Q(kind__gt=-5), name="note_positive")
        ),
    ]

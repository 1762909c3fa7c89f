"""A column more."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("migrated", "0001_initial")]
    operations = [migrations.AddField("Note", "extra", models.IntegerField(default=7))]

"""Another type for a column that shapes filter by."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("migrated", "0004_remove_field")]
    operations = [migrations.AlterField("Note", "kind", models.BigIntegerField())]

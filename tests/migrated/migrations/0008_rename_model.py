"""Another name for the table."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("migrated", "0007_sql")]
    operations = [migrations.RenameModel("Note", "Memo")]

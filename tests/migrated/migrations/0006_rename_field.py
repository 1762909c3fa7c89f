"""Another name for a column that shapes select; each operation in a transaction of its own."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("migrated", "0005_alter_field")]
    operations = [migrations.RenameField("Note", "extra", "surplus")]

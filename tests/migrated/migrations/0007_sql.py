"""What Django does not see."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("migrated", "0006_rename_field")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE migrated_note ALTER COLUMN text TYPE text COLLATE "C"',
            'ALTER TABLE migrated_note ALTER COLUMN text TYPE text COLLATE "default"',
        )
    ]

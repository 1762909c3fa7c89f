"""No table any more."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("migrated", "0009_unpublish")]
    operations = [migrations.DeleteModel("Memo")]

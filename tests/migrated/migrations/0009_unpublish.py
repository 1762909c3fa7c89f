"""Out of the publication, and in again."""

from __future__ import annotations

from django.db import migrations

from django_electric.operations import PublishModel, UnpublishModel


class Migration(migrations.Migration):
    dependencies = [("migrated", "0008_rename_model")]
    operations = [UnpublishModel("Memo"), PublishModel("Memo")]

"""Tables that later migrations change, published by operations."""

from __future__ import annotations

from django.db import migrations, models

from django_electric.operations import PublishModel


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            "Note",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("kind", models.IntegerField()),
                ("text", models.TextField()),
                ("spare", models.IntegerField(default=0)),
            ],
        ),
        PublishModel("Note"),
        migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
        PublishModel("Other"),
        migrations.CreateModel(
            "Mark", [("id", models.BigAutoField(primary_key=True))], {"db_table": "electric_marks"}
        ),
        PublishModel("migrated.Mark"),
    ]

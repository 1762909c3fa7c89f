"""The permissions to rotate shapes and to read their logs, beside those that Django makes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("django_electric", "0001_initial")]

    operations = [
        migrations.AlterModelOptions(
            name="shape",
            options={
                "permissions": [
                    ("rotate_shape", "Can rotate shape"),
                    ("view_shape_log", "Can view the rows in the log of a shape"),
                ],
                "verbose_name": "shape",
                "verbose_name_plural": "shapes",
            },
        ),
    ]

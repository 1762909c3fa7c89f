"""Who asked for a shape first, and the permission to end what that user is reading."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_electric", "0002_permissions")]

    operations = [
        migrations.AlterModelOptions(
            name="shape",
            options={
                "permissions": [
                    ("rotate_shape", "Can rotate shape"),
                    ("view_shape_log", "Can view the rows in the log of a shape"),
                    ("revoke_shape_owner", "Can end what the owners of shapes are reading"),
                ],
                "verbose_name": "shape",
                "verbose_name_plural": "shapes",
            },
        ),
        migrations.AddField(
            model_name="shape",
            name="owner",
            # Processes of the last version may go on for a while, and know nothing of it.
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=255
            ),
        ),
    ]

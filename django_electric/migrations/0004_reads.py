"""An index of the shapes with subqueries, which read other tables than their own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_electric", "0003_owner")]

    operations = [
        migrations.AddIndex(
            model_name="shape",
            index=models.Index(
                condition=models.Q(("definition__has_key", "reads")),
                fields=["stream_id"],
                name="electric_shape_reads",
            ),
        ),
    ]

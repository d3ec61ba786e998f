"""How many tries a run has had: each writes objects of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exporter", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="exportrun",
            name="tries",
            field=models.IntegerField(db_default=0, default=0),
        ),
    ]

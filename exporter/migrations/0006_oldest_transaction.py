"""When the oldest transaction of a run's snapshot began: how far back to look for what the snapshot does not see."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exporter", "0005_formats"),
    ]

    operations = [
        migrations.AddField(
            model_name="exportrun",
            name="oldest_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]

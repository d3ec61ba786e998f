"""What incremental files go on from: since when a snapshot may miss entries, and the key of a file's records."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exporter", "0005_formats"),
    ]

    operations = [
        migrations.AddField(
            model_name="exportrun",
            name="unseen_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="exportfile",
            name="key_columns",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]

"""What a run was asked to write differently, and files found by what they hold."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("datasets", "0007_change_sets"),
        ("exporter", "0004_space"),
    ]

    operations = [
        migrations.AddField(
            model_name="exportrun",
            name="overrides",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddIndex(
            model_name="exportfile",
            index=models.Index(fields=["sha256"], name="export_file_by_sha256"),
        ),
    ]

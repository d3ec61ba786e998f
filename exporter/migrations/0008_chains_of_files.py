"""What tells the records of a file apart, whatever became of the dataset's key since."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exporter", "0007_deliveries_of_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="exportfile",
            name="key_columns",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]

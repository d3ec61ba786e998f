import django.core.validators
from django.db import migrations, models

HELP = (
    "Older versions of records are removed once a day, but for the last one of each record. Empty: all are kept for"
    " ever. Imports and changes of that age cannot be undone any more."
)


def days() -> "models.PositiveIntegerField[int | None, int | None]":
    return models.PositiveIntegerField(
        "days that history is kept",
        blank=True,
        null=True,
        help_text=HELP,
        validators=[
            django.core.validators.MinValueValidator(7),
            django.core.validators.MaxValueValidator(36500),
        ],
    )


class Migration(migrations.Migration):
    dependencies = [("datasets", "0008_rebuilds")]

    operations = [
        migrations.AddField("dataset", "history_days", days()),
        migrations.AddField("historicaldataset", "history_days", days()),
        migrations.AddField("dataset", "history_pruned_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField(
            "historicaldataset", "history_pruned_at", models.DateTimeField(editable=False, null=True)
        ),
    ]

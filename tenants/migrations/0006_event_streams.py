import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_operating")]

    operations = [
        migrations.CreateModel(
            name="EventStream",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("url", models.CharField(blank=True, max_length=500)),
                ("sealed_secret", models.TextField(blank=True)),
                ("is_on", models.BooleanField(default=True)),
                ("version", models.BigIntegerField(default=1)),
                ("upto", models.BigIntegerField(default=0)),
                ("gaps", models.JSONField(default=list)),
                ("upto_uid", models.UUIDField(null=True)),
                ("upto_at", models.DateTimeField(null=True)),
                ("sent", models.BigIntegerField(default=0)),
                ("sent_at", models.DateTimeField(null=True)),
                ("looked_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("waiting_since_at", models.DateTimeField(null=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("failing_since_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("stopped_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="event_streams",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant",), name="one_event_stream_of_a_tenant", nulls_distinct=False
                    )
                ],
            },
        ),
    ]

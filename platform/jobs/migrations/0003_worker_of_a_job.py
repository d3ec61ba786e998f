"""Which worker family holds a job, so that a dead one's jobs need not wait for their leases."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_bells_in_order"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="worker",
            field=models.CharField(blank=True, db_default="", max_length=64),
        ),
        migrations.AlterModelOptions(
            name="tenantshare",
            options={"verbose_name": "tenant's share", "verbose_name_plural": "work per tenant"},
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("cancel_requested", True), ("state", "QUEUED")),
                fields=["id"],
                name="jobs_to_be_cancelled",
            ),
        ),
    ]

"""Slots shorter than an hour for tenants that need them, and since when a tenant's work is paused."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_suspended_work"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenantshare",
            name="slot_minutes",
            field=models.PositiveSmallIntegerField(
                db_default=60, default=60, verbose_name="length of a slot in minutes"
            ),
        ),
        migrations.AddField(
            model_name="tenantshare",
            name="paused_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenantshare",
            name="resumed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenantshare",
            name="paused_by",
            field=models.CharField(
                blank=True,
                choices=[
                    ("SUSPENDED", "the tenant was suspended"),
                    ("OPERATOR", "an operator paused its work"),
                ],
                db_default="",
                max_length=9,
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantshare",
            constraint=models.CheckConstraint(
                condition=models.Q(("slot_minutes__in", (15, 60))), name="slots_divide_an_hour"
            ),
        ),
    ]

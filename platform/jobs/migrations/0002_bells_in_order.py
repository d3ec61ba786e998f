"""An index for the queue library's own table, which it polls by key and lock without one."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.RunSQL(
            'CREATE INDEX IF NOT EXISTS bells_by_key_and_lock ON django_q_ormq (key, "lock")',
            "DROP INDEX IF EXISTS bells_by_key_and_lock",
        )
    ]

"""Which job ends because its tenant was suspended."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_worker_of_a_job")]

    operations = [
        migrations.AddField("job", "is_suspended", models.BooleanField(db_default=False, default=False)),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0007_change_sets")]

    operations = [
        migrations.AddField("change", "is_rebuild", models.BooleanField(db_default=False, default=False)),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Taken",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("count", models.IntegerField()),
                ("until", models.DateTimeField()),
            ],
        ),
        # Written at every sign-in and upload, and worth nothing after a crash.
        migrations.RunSQL("ALTER TABLE core_taken SET UNLOGGED", "ALTER TABLE core_taken SET LOGGED"),
    ]

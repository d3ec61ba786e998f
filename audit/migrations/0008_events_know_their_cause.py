from django.db import migrations, models

# Of who runs the migration: of a tenant's tables their owner, of the platform's own the platform's role.
KEEP = "REVOKE UPDATE, DELETE, TRUNCATE ON audit_event, audit_seal FROM CURRENT_USER"
GIVE_BACK = "GRANT UPDATE, DELETE, TRUNCATE ON audit_event, audit_seal TO CURRENT_USER"


class Migration(migrations.Migration):
    dependencies = [("audit", "0007_signed_and_sealed")]

    operations = [
        migrations.AddField(
            model_name="event",
            name="cause",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=100),
        ),
        migrations.RunSQL(KEEP, GIVE_BACK),
    ]

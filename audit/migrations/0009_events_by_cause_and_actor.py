from django.db import migrations, models

from core.operations import AddIndexAside


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("audit", "0008_events_know_their_cause")]

    operations = [
        AddIndexAside(
            "event",
            models.Index(condition=~models.Q(cause=""), fields=["cause", "-id"], name="events_of_a_cause"),
        ),
        AddIndexAside(
            "event",
            models.Index(
                condition=models.Q(actor_id__isnull=False),
                fields=["actor_id", "-id"],
                name="events_of_an_actor",
            ),
        ),
    ]

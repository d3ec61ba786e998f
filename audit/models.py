from __future__ import annotations

from django.db import models


class Event(models.Model):
    """Something somebody did. Events are only ever added.

    A tenant's events lie in its schema, operators' in `public`. The actor and the target are kept as text
    too, so that an event reads the same after they are gone.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    name = models.CharField(max_length=100, help_text="app.noun.verbed")
    actor_id = models.BigIntegerField(null=True, blank=True)
    actor_label = models.CharField("who", max_length=300, blank=True)
    target_type = models.CharField(max_length=100, blank=True)
    target_id = models.CharField(max_length=100, blank=True)
    target_label = models.CharField("what", max_length=300, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["target_type", "target_id", "-id"], name="events_of_a_target"),
            models.Index(fields=["name", "-id"], name="events_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.target_label}".strip()

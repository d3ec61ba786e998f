from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.chain import Facts, Link, unpacked


class Event(models.Model):
    """Something somebody did. Events are only ever added.

    A tenant's events lie in its schema, operators' in `public`. The actor and the target are kept as text
    too, so that an event reads the same after they are gone.
    """

    at = models.DateTimeField(db_index=True, editable=False)
    name = models.CharField(max_length=100, help_text="app.noun.verbed")
    actor_id = models.BigIntegerField(null=True, blank=True)
    actor_label = models.CharField("who", max_length=300, blank=True)
    target_type = models.CharField(max_length=100, blank=True)
    target_id = models.CharField(max_length=100, blank=True)
    target_label = models.CharField("what", max_length=300, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    data = models.JSONField(default=dict, blank=True)
    # What the signature covers besides: one copied to another place or written twice is seen (`audit.chain`).
    uid = models.UUIDField(null=True, editable=False)
    cause = models.CharField(max_length=100, blank=True, editable=False, db_default="")
    origin = models.CharField(max_length=40, blank=True, editable=False, db_default="")
    signature = models.BinaryField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["target_type", "target_id", "-id"], name="events_of_a_target"),
            models.Index(fields=["name", "-id"], name="events_by_name"),
            models.Index(fields=["cause", "-id"], name="events_of_a_cause", condition=~Q(cause="")),
            models.Index(
                fields=["actor_id", "-id"], name="events_of_an_actor", condition=Q(actor_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.target_label}".strip()

    def facts(self) -> Facts:
        """Return what the event says, for its signature and its digest."""
        return Facts(
            self.uid, self.origin, self.at, self.name, self.actor_id, self.actor_label, self.target_type,
            self.target_id, self.target_label, self.address, self.data, self.cause,
        )  # fmt: skip


class Seal(models.Model):
    """The events of a while with their digests, signed, and the seal before it (`audit.chain`).

    `settled`: every event up to this number was there when the seal was made, or never will be.
    """

    number = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    origin = models.CharField(max_length=40, blank=True)
    settled = models.BigIntegerField()
    last = models.BigIntegerField(db_index=True, help_text="the highest number of its events")
    ids = models.BinaryField()
    digests = models.BinaryField()
    previous = models.BinaryField()
    hash = models.BinaryField()
    signature = models.BinaryField()

    class Meta:
        ordering = ("number",)

    def __str__(self) -> str:
        return f"seal {self.number}"

    def link(self) -> Link:
        """Return what the seal says."""
        return Link(
            self.number, bytes(self.previous), self.origin, self.at, self.settled, unpacked(bytes(self.ids)),
            bytes(self.digests),
        )  # fmt: skip

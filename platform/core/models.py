"""The one table below all apps: how often something was asked for lately."""

from __future__ import annotations

from django.db import models


class Taken(models.Model):
    """How often one subject asked for one thing, counted until `until`; `core.limits` writes it.

    `id` is a digest of whose it is and what: the row itself names nobody. The table is UNLOGGED, since after a crash
    of the database everybody may begin anew.
    """

    id = models.UUIDField(primary_key=True)
    count = models.IntegerField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.id)

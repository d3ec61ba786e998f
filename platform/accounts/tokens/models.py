"""Tokens of a tenant's people. They lie in the tenant's schema: none is known on another tenant's host."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from knox.models import AbstractAuthToken
from knox.settings import CONSTANTS


class Scope(models.TextChoices):
    """What a token is let do of what its person may."""

    READ = "read", "read records and their versions"
    IMPORT = "import", "upload files, preview, confirm, cancel and undo imports"
    EXPORT = "export", "list and download export files"


class ApiToken(AbstractAuthToken):
    """One token: its hash, whose it is, what it may and until when. The token itself is nowhere."""

    # knox makes the digest the key; ours stands in addresses and events, where no digest belongs.
    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=CONSTANTS.DIGEST_LENGTH, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name="whose"
    )
    created = models.DateTimeField("created at", auto_now_add=True)
    expiry = models.DateTimeField("expires at", editable=False)
    name = models.CharField(max_length=100)
    scopes = models.JSONField(default=list)
    # Primary keys of the datasets it is for; null: every dataset its person may reach.
    datasets = models.JSONField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_address = models.GenericIPAddressField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        verbose_name = "API token"
        ordering: ClassVar = ["-pk"]
        default_permissions = ("view",)
        permissions: ClassVar = [("revoke_apitoken", "Can revoke anybody's API token")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(name=""), name="an_api_token_has_a_name")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def shown(self) -> str:
        """How it begins: enough for a person to tell it from others."""
        return f"{self.token_key}…"

    def state_at(self, now: datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expiry > now else "expired"

    def has_scope(self, scope: str) -> bool:
        """Return whether it is let do this at all; whether its person may is asked elsewhere."""
        return scope in self.scopes

    def is_for(self, dataset: int | None) -> bool:
        """Return whether it is for a dataset, given by its number; None is one that was deleted."""
        return self.datasets is None or dataset in self.datasets


class TokenAddress(models.Model):
    """An address that a token was used from, so that a new one is told of once."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="addresses")
    address = models.GenericIPAddressField()
    first_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token", "address"], name="an_address_of_a_token_stands_once")
        ]

    def __str__(self) -> str:
        return str(self.address)

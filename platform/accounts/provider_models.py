"""A tenant's own provider of sign-ins."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords


class PasswordsFor(models.TextChoices):
    """Who may still sign in with a password here. Owners always: a provider that fails must not lock all out."""

    EVERYONE = "EVERYONE", "everyone"
    GUESTS = "GUESTS", "owners, and people at other mail domains than those above"
    OWNERS = "OWNERS", "owners only"


class NewPersonRole(models.TextChoices):
    """What somebody becomes whom the provider knows and the tenant does not."""

    NOBODY = "", "nobody: only people who are users here already"
    VIEWER = "viewer", "a new user, as viewer"
    EDITOR = "editor", "a new user, as editor"


class SignInProvider(models.Model):
    """The OpenID Connect server of a tenant; there is one at most.

    The client's secret is kept sealed (`core.sealing`), never shown and in no history. Whom the provider has vouched
    for stands in allauth's accounts, under the digest of issuer and subject.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    name = models.CharField(max_length=60)
    issuer = models.CharField("address", max_length=300)
    client_id = models.CharField(max_length=255)
    sealed_secret = models.TextField(editable=False)
    domains = models.JSONField("mail domains", default=list)
    new_person_role = models.CharField(
        max_length=6, choices=NewPersonRole, default=NewPersonRole.NOBODY, blank=True
    )
    passwords_for = models.CharField(max_length=8, choices=PasswordsFor, default=PasswordsFor.EVERYONE)
    trusts_second_factor = models.BooleanField(default=False)
    second_factor_levels = models.JSONField(default=list, blank=True)
    is_on = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # What the last try said; a try is no change.
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)

    history = HistoricalRecords(
        history_id_field=models.BigAutoField(),
        history_change_reason_field=models.TextField(null=True),
        excluded_fields=["sealed_secret", "created_at", "tried_at", "error"],
    )

    class Meta:
        verbose_name = "sign-in provider"
        default_permissions = ("change", "view")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_sign_in_provider_at_most")]

    def __str__(self) -> str:
        return self.name

"""An operator inside a tenant: by a grant with a reason and an end, as a person of its own whom everybody can tell.

The operator site makes a grant and a link that works once. On the tenant's host it signs in a user made for this
grant: without a password, marked by `entry_ends_at`, in one of the tenant's roles. What that user changes stands in
history and events under its name. The user's own row ends it: past that time, or inactive, no request is answered as
that user (`accounts.backends`), without anybody having to tidy up first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from django.conf import settings
from django.contrib.auth.models import Group
from django.core import signing
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from accounts.models import User
from accounts.operators.models import Operator
from accounts.services import ROLES
from audit.services import record
from core.clock import now
from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public, in_tenant
from jobs import services as jobs
from jobs import within
from tenants.inviting import link_to
from tenants.models import Tenant
from tenants.operating_models import EntryGrant
from tenants.routing import forget_routes
from tenants.telling import tell_owners

MOST_MINUTES = 60
USUAL_MINUTES = 30
LINK_SECONDS = 120
SALT = "tenants.entering"
TELLS = "tenants.tell_of_entry"


class EntryRefused(RowhouseError):
    """A grant without a reason, of no role, or for too long; or a tenant that is not served."""

    code = "entry-refused"
    status = 422


class EntryEnded(RowhouseError):
    """The link was used, is too old, or the grant has ended."""

    code = "entry-ended"
    status = 403


@transaction.atomic
def grant_entry(
    *, tenant: Tenant, operator: Operator, reason: str, role: str = "viewer", minutes: int = USUAL_MINUTES
) -> EntryGrant:
    """Let an operator into a tenant for some minutes. Recorded on both sides; the tenant's owners see it.

    :param role: one of the tenant's own: viewer, editor, owner.
    :raises EntryRefused: there is no reason, no such role, the time is not 1 to
        MOST_MINUTES, or the tenant is not active.
    """
    reason = reason.strip()
    if not reason:
        raise EntryRefused("Say why: the tenant's owners read it.")
    if role not in ROLES:
        raise EntryRefused(f"There is no role {role!r}; choose one of {', '.join(ROLES)}.")
    if not 1 <= minutes <= MOST_MINUTES:
        raise EntryRefused(f"An entry lasts 1 to {MOST_MINUTES} minutes, not {minutes}.")
    if tenant.state != Tenant.State.ACTIVE:
        raise EntryRefused(f"{tenant} is {tenant.get_state_display()}; only an active tenant is entered.")
    grant = EntryGrant.objects.create(
        tenant=tenant,
        operator_id=operator.pk,
        operator_label=operator.email,
        reason=reason[:500],
        role=role,
        expires_at=now() + timedelta(minutes=minutes),
    )
    _record("granted", grant, actor=operator, reason=grant.reason, role=role, minutes=minutes)
    return grant


def token_of(grant: EntryGrant) -> str:
    """Return what `enter` takes once, within LINK_SECONDS."""
    return signing.dumps([grant.pk, grant.tenant.schema_name], salt=SALT)


def enter(*, token: str) -> tuple[User, EntryGrant]:
    """Use a grant of the current tenant, and return the user made for it, to be signed in until it ends.

    :raises EntryEnded: the token is too old, altered, another tenant's, was used, or its grant has ended.
    """
    with transaction.atomic():
        grant = _used(_read(token))
        user = User(
            email=f"operator-{grant.pk}@entry.invalid",
            first_name=f"Operator {grant.operator_label}"[:150],
            entry_ends_at=grant.expires_at,
        )
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get(name=grant.role))
        with in_public():
            EntryGrant.objects.filter(pk=grant.pk).update(user_id=user.pk)
            forget_routes()
        grant.user_id = user.pk
        _record_here("begun", grant, actor=user, role=grant.role)
        with in_public(), within.work():  # no wish of the tenant's, so it takes none of its room
            jobs.submit(TELLS, target=f"entry {grant.pk}", payload={"entry": grant.pk})
    return user, grant


def tell_owners_of(entry: int) -> int:
    """Mail the owners of a tenant that an operator came in, and why; return how many those are.

    To be called in `public`.
    """
    grant = EntryGrant.objects.select_related("tenant").filter(pk=entry).first()
    if grant is None or grant.entered_at is None:
        return 0
    tenant = grant.tenant
    page = link_to(tenant, reverse("admin:tenants_entries", urlconf=settings.ROOT_URLCONF))
    text = (
        f"{grant.operator_label}, an operator of the platform, came into {tenant.name} on"
        f" {grant.entered_at:%d %B %Y at %H:%M} UTC as {grant.role}, until {grant.expires_at:%H:%M} UTC at the latest."
        f"\n\nThe reason given: {grant.reason}"
        f"\n\nWho is inside, what they did, and how to end it: {page}"
    )
    with in_tenant(tenant.ref):
        return tell_owners(f"[{tenant.slug}] An operator is inside", text)


def _read(token: str) -> int:
    try:
        pk, schema = signing.loads(token, salt=SALT, max_age=LINK_SECONDS)
    except (signing.BadSignature, ValueError):
        pk, schema = None, None
    if schema != current_tenant().schema:
        raise EntryEnded(
            "This link does not let you in: it is good once, for two minutes, at one tenant. Enter again."
        )
    return cast("int", pk)


def _used(pk: int) -> EntryGrant:
    with in_public():
        unused = EntryGrant.objects.filter(pk=pk, entered_at=None, ended_at=None, expires_at__gt=Now())
        if not unused.update(entered_at=Now()):  # used a moment ago, or ended
            raise EntryEnded("This entry was used or has ended. Enter again from the operator site.")
        return EntryGrant.objects.select_related("tenant").get(pk=pk)


def entries_of(schema: str) -> QuerySet[EntryGrant]:
    """Return all entries into a tenant, the newest first. To be asked in `public`."""
    return EntryGrant.objects.filter(tenant__schema_name=schema).order_by("-pk")


@transaction.atomic
def end_entry(*, grant: EntryGrant, by: object) -> None:
    """End an entry at once: its next request is refused. Called in `public` or in the grant's tenant.

    :param by: the operator, or a person of the tenant.
    :raises EntryEnded: it has ended.
    """
    with in_public():
        open_ones = EntryGrant.objects.filter(pk=grant.pk, ended_at=None, expires_at__gt=Now())
        if not open_ones.update(ended_at=Now(), ended_by_label=str(by)[:300]):
            raise EntryEnded("This entry has ended already.")
        grant = EntryGrant.objects.select_related("tenant").get(pk=grant.pk)
        forget_routes()
    with in_tenant(grant.tenant.ref):
        User.objects.filter(pk=grant.user_id or 0).update(is_active=False)
    _record("ended", grant, actor=by)


@transaction.atomic
def end_entries_of(*, operator: Operator, by: object) -> int:
    """End all entries of an operator, who may not run the platform any more, and return how many those were."""
    ended = 0
    for grant in EntryGrant.objects.filter(operator_id=operator.pk, ended_at=None, expires_at__gt=Now()):
        try:
            end_entry(grant=grant, by=by)
        except EntryEnded:  # by its time, or by an owner, a moment ago
            continue
        ended += 1
    return ended


@transaction.atomic
def close_past() -> int:
    """Make the users of the current tenant's entries inactive whose time is over, and return how many those were.

    They were let in nowhere since; now the list of people says so too.
    """
    past = list(User.objects.filter(is_active=True, entry_ends_at__lte=Now()))
    for user in past:
        User.objects.filter(pk=user.pk).update(is_active=False)
        record("tenants.entry.ended", target=user, by="its time")
    return len(past)


def _record(verb: str, grant: EntryGrant, *, actor: object, **data: object) -> None:
    """Record on both sides. An actor is a row of one side alone: on the other he is named."""
    for enter_side in (in_public(), in_tenant(grant.tenant.ref)):
        with enter_side:
            record(
                f"tenants.entry.{verb}",
                actor=f"{actor} (operator)" if isinstance(actor, Operator) else str(actor),
                target=None,
                tenant=grant.tenant.slug,
                entry=grant.pk,
                operator=grant.operator_label,
                **data,
            )


def _record_here(verb: str, grant: EntryGrant, *, actor: User, **data: object) -> None:
    _record(verb, grant, actor=f"{grant.operator_label} (operator)", user=actor.pk, **data)

"""Domains of a tenant's own: claimed, shown to be theirs by a record in the domain name system, then routed.

Only what is in `Domain` is routed, and only a verified claim gets there, so that nobody reaches a tenant under a name
that is not its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from audit.services import record
from core import dns
from core.clock import now
from core.errors import RowhouseError
from tenants.models import Domain, Tenant
from tenants.names import is_domain
from tenants.operating_models import DomainClaim
from tenants.routing import forget_routes

CLAIM_DAYS = 7
PREFIX = "_rowhouse-verify"


class BadDomain(RowhouseError):
    """A domain cannot be a tenant's own."""

    code = "bad-domain"
    status = 422


class DomainTaken(RowhouseError):
    """The domain leads to a tenant already."""

    code = "domain-taken"


class ClaimEnded(RowhouseError):
    """The claim was verified, removed, or is too old."""

    code = "claim-ended"
    status = 404


class NotVerified(RowhouseError):
    """The record that shows whose the domain is, is not there."""

    code = "domain-not-verified"


class DomainNeeded(RowhouseError):
    """A tenant is reached under its primary domain, which cannot be removed."""

    code = "domain-needed"


@dataclass(frozen=True, slots=True)
class Instructions:
    """The TXT record that shows whose a domain is."""

    name: str
    value: str


def instructions(claim: DomainClaim) -> Instructions:
    """Return the record that the owner of the domain must add."""
    return Instructions(f"{PREFIX}.{claim.domain}", f"rowhouse-verify={claim.token}")


@transaction.atomic
def claim_domain(*, tenant: Tenant, domain: str, by: object = None) -> DomainClaim:
    """Claim a domain for a tenant, for CLAIM_DAYS. It is not routed before it is verified.

    Claiming it again makes a new record and begins the days anew. Other tenants may claim it as well: who shows it to
    be theirs first has it.

    :raises BadDomain: it is no domain, or one of the platform's.
    :raises DomainTaken: it leads to a tenant already.
    """
    domain = domain.strip().rstrip(".").lower()
    _check(domain)
    DomainClaim.objects.filter(expires_at__lt=Now()).delete()
    if Domain.objects.filter(domain=domain).exists():
        raise DomainTaken(f"{domain} leads to a tenant already. Remove it there first.")
    claim, _ = DomainClaim.objects.update_or_create(
        tenant=tenant,
        domain=domain,
        defaults={
            "token": secrets.token_urlsafe(32),
            "expires_at": now() + timedelta(days=CLAIM_DAYS),
            "claimed_at": Now(),
            "checked_at": None,
            "problem": "",
            "by_label": str(by or "")[:300],
        },
    )
    record("tenants.domain.claimed", actor=by, target=tenant, domain=domain)
    return claim


def _check(domain: str) -> None:
    if not is_domain(domain) or "." not in domain or len(f"{PREFIX}.{domain}") > 253:
        raise BadDomain(
            f"{domain!r} cannot be a tenant's own domain: lower-case ASCII letters, digits and hyphens, with a dot."
        )
    base = settings.ROWHOUSE_BASE_DOMAIN
    if domain == base or domain.endswith(f".{base}") or domain in settings.ROWHOUSE_PUBLIC_HOSTS:
        raise BadDomain(
            f"{domain} is one of the platform's own. A tenant gets one of those with its slug alone."
        )


def verify_domain(
    *, claim: DomainClaim, by: object = None, texts_of: Callable[[str], list[str]] = dns.texts_of
) -> Domain:
    """Look for the record of a claim; when it is there, the domain leads to the tenant from now on.

    :param texts_of: looks up the TXT records of a name.
    :raises ClaimEnded: it was verified or removed, or its days are over.
    :raises NotVerified: the record is not there, or says something else.
    :raises DomainTaken: the domain leads to another tenant.
    :raises NoAnswer: the domain name system does not answer.
    """
    open_claims = DomainClaim.objects.filter(pk=claim.pk, token=claim.token, expires_at__gt=Now())
    if not open_claims.exists():
        raise ClaimEnded(f"The claim of {claim.domain} is over. Claim the domain again.")
    wanted = instructions(claim)
    found = texts_of(wanted.name)  # outside of every transaction: it may take seconds
    if not any(secrets.compare_digest(one.encode(), wanted.value.encode()) for one in found):
        what = (
            "no TXT record yet" if not found else f"{len(found)} TXT records, none of them that of this claim"
        )
        problem = f"{wanted.name} has {what}."
        open_claims.update(checked_at=Now(), problem=problem)
        raise NotVerified(
            f"{problem} Add it as the instructions say; it may take an hour to be seen everywhere."
        )
    return _route(claim, by)


def _route(claim: DomainClaim, by: object) -> Domain:
    try:
        with transaction.atomic():
            gone, _ = DomainClaim.objects.filter(
                pk=claim.pk, token=claim.token, expires_at__gt=Now()
            ).delete()
            if not gone:  # verified, removed or claimed anew while it was looked up
                raise ClaimEnded(f"The claim of {claim.domain} is over. Claim the domain again.")
            made = Domain(tenant_id=claim.tenant_id, domain=claim.domain, is_primary=False)
            made.save_base(
                force_insert=True
            )  # the library's save() would make a tenant's only domain its primary one
            record("tenants.domain.verified", actor=by, target=claim.tenant, domain=claim.domain)
            forget_routes()
    except IntegrityError:
        raise DomainTaken(f"{claim.domain} leads to a tenant already. Remove it there first.") from None
    return made


@transaction.atomic
def drop_claim(*, claim: DomainClaim, by: object = None) -> None:
    """Give up a claim.

    :raises ClaimEnded: it is over.
    """
    gone, _ = DomainClaim.objects.filter(pk=claim.pk).delete()
    if not gone:
        raise ClaimEnded(f"The claim of {claim.domain} is over already.")
    record("tenants.domain.claim-dropped", actor=by, target=claim.tenant, domain=claim.domain)


@transaction.atomic
def make_primary(*, domain: Domain, by: object = None) -> None:
    """Make a domain the one that links to the tenant lead to."""
    Tenant.objects.select_for_update().get(pk=domain.tenant_id)
    Domain.objects.filter(tenant_id=domain.tenant_id).exclude(pk=domain.pk).update(is_primary=False)
    if not Domain.objects.filter(pk=domain.pk).update(is_primary=True):
        raise ClaimEnded(f"{domain} was removed meanwhile.")
    record("tenants.domain.made-primary", actor=by, target=domain.tenant, domain=domain.domain)


@transaction.atomic
def remove_domain(*, domain: Domain, by: object = None) -> None:
    """Let a domain lead nowhere. It may be claimed again, by any tenant.

    :raises DomainNeeded: it is the primary one.
    :raises ClaimEnded: it was removed already.
    """
    Tenant.objects.select_for_update().get(pk=domain.tenant_id)
    found = Domain.objects.filter(pk=domain.pk).first()
    if found is None:
        raise ClaimEnded(f"{domain} was removed already.")
    if found.is_primary:
        raise DomainNeeded(f"{domain} is the tenant's primary domain. Make another one primary first.")
    Domain.objects.filter(pk=domain.pk).delete()
    forget_routes()
    record("tenants.domain.removed", actor=by, target=domain.tenant, domain=domain.domain)

"""What can be done with a tenant's provider, and who signs in by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.provider_models import NewPersonRole, PasswordsFor, SignInProvider
from accounts.services import create_user
from accounts.single_sign_on import discovery
from accounts.single_sign_on.addresses import domain_of, is_domain, is_listed, is_same_address
from accounts.single_sign_on.tokens import Said
from audit.services import record
from core import clock
from core.errors import BadFields, RowhouseError
from core.sealing import seal, unseal

SEALED_FOR = "accounts.sign-in-provider"
LINKS = "provider"  # what allauth's accounts call the tenant's own provider
FIELDS = (
    "name", "issuer", "client_id", "domains", "new_person_role", "passwords_for", "trusts_second_factor",
    "second_factor_levels", "is_on",
)  # fmt: skip
MOST_DOMAINS = 50
MOST_LEVELS = 20


class BadProvider(BadFields):
    """A sign-in provider cannot be as given."""

    code = "bad-sign-in-provider"


class ProviderChanged(RowhouseError):
    """Somebody else changed the provider since it was looked at."""

    code = "sign-in-provider-changed"


class SignInRefused(RowhouseError):
    """The provider's word lets nobody in here; `reason` says to the log why, `email` whom it meant."""

    code = "sign-in-refused"
    status = 400

    def __init__(self, reason: str, message: str, *, email: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.email = email


# ---- the owner's side


def provider_or_none() -> SignInProvider | None:
    """Return the current tenant's provider, switched on or off."""
    return SignInProvider.objects.first()


@transaction.atomic
def set_provider(*, values: Mapping[str, Any], secret: str, seen: int, by: Any) -> SignInProvider:
    """Enter the tenant's provider (`seen` 0) or change it at that version. Nothing is written where nothing differs.

    :param secret: of the client there; empty: the one that is kept.
    :raises PermissionDenied: the person may not.
    :raises ProviderChanged: it is at another version.
    :raises BadProvider: a value cannot be.
    """
    _require(by)
    held = _held(seen)
    provider = held or SignInProvider()
    before = _told(provider) if held else None
    for name in FIELDS:
        if name in values:
            setattr(provider, name, values[name])
    provider.issuer = discovery.plain_issuer(provider.issuer)
    faults = _faults(provider)
    if not secret and before is None:
        faults |= {"secret": "Enter the secret that the provider gave this client."}
    elif not secret and before is not None and before["issuer"] != provider.issuer:
        # Or whoever may change the address would have the secret sent to a place of his own.
        faults |= {"secret": "The address is another. Enter the secret of the client there."}
    if faults:
        raise BadProvider(faults)
    if before is not None and _told(provider) == before and not secret:
        return provider
    if secret:
        provider.sealed_secret = seal(secret, purpose=SEALED_FOR)
    provider.version = 1 if before is None else provider.version + 1
    provider.error, provider.tried_at = "", None
    try:
        with transaction.atomic():
            provider.save(force_insert=before is None)
    except IntegrityError:
        raise ProviderChanged(_CHANGED) from None
    after, name = _told(provider), "accounts.provider.changed" if before else "accounts.provider.created"
    record(name, actor=by, target=provider, before=before or {}, after=after, is_secret_new=bool(secret))
    discovery.forget(provider.issuer)
    return provider


@transaction.atomic
def remove_provider(*, seen: int, by: Any) -> None:
    """Forget the tenant's provider: people sign in with passwords again. Who was linked stays known to be.

    :raises PermissionDenied: the person may not.
    :raises ProviderChanged: it is at another version, or gone.
    """
    _require(by)
    held = _held(seen)
    if held is None:
        raise ProviderChanged(_CHANGED)
    record("accounts.provider.removed", actor=by, target=held, before=_told(held))
    held.delete()


def try_provider(*, address: str, by: Any) -> list[str]:
    """Ask the provider what it publishes and whether it knows the client; return what is wrong, a sentence each.

    :param address: where the provider sends people back to.
    :raises PermissionDenied: the person may not.
    :raises ProviderChanged: there is none.
    """
    _require(by)
    provider = provider_or_none()
    if provider is None:
        raise ProviderChanged(_CHANGED)
    try:
        secret = secret_of(provider)
    except RowhouseError as refused:
        faults = [refused.message]
    else:
        faults = discovery.find_faults(
            provider.issuer, client_id=provider.client_id, secret=secret, address=address
        )
    SignInProvider.objects.filter(version=provider.version).update(
        tried_at=clock.now(), error="\n".join(faults)
    )
    record("accounts.provider.tried", actor=by, target=provider, faults=faults)
    return faults


def secret_of(provider: SignInProvider) -> str:
    """Return the client's secret, to ask the provider with.

    :raises NotOpened: the platform's keys have changed.
    """
    return unseal(provider.sealed_secret, purpose=SEALED_FOR)


def may_use_password(user: User, provider: SignInProvider | None) -> bool:
    """Return whether somebody may sign in with a password here."""
    if provider is None or not provider.is_on or provider.passwords_for == PasswordsFor.EVERYONE:
        return True
    if user.groups.filter(name="owner").exists():
        return True
    return provider.passwords_for == PasswordsFor.GUESTS and domain_of(user.email) not in provider.domains


# ---- whom the provider's word lets in


def key_of(issuer: str, subject: str) -> str:
    """Return under what a link is kept: issuer and subject together say who somebody is.

    >>> len(key_of("https://id.example.com", "1"))
    64
    """
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()


@transaction.atomic
def admit(*, said: Said, provider: SignInProvider) -> User:
    """Return who signs in by the provider's word: who is linked; else who has the address, and is linked now.

    :raises SignInRefused: nobody is, or may be.
    :raises QuotaReached: somebody new would be one person more than the tenant may have.
    """
    link = (
        SocialAccount.objects.select_related("user")
        .filter(provider=LINKS, uid=key_of(said.issuer, said.subject))
        .first()
    )
    if link is not None:
        return _let_in(link.user, said)
    if not _is_email(said.email):
        raise SignInRefused(
            "no-email",
            f"{provider} does not say which mail address you have. Ask whoever runs it to send it.",
        )
    if not said.is_email_verified:
        raise SignInRefused(
            "email-not-verified",
            f"{provider} does not say that {said.email} is surely yours (email_verified), and so it opens nothing "
            "here. Ask whoever runs it.",
            email=said.email,
        )
    if not is_listed(said.email, provider.domains):
        raise SignInRefused(
            "domain-not-listed",
            f"{said.email} is at a mail domain for which {provider} does not count here. Ask an owner.",
            email=said.email,
        )
    # Held until the end: of two first sign-ins at once the second finds the link of the first.
    SignInProvider.objects.select_for_update().get()
    found = [
        one for one in User.objects.filter(email__iexact=said.email) if is_same_address(one.email, said.email)
    ]
    user = _let_in(found[0], said) if found else _new_person(said, provider)
    if SocialAccount.objects.filter(user=user, extra_data__issuer=said.issuer).exclude(
        uid=key_of(said.issuer, said.subject)
    ):
        raise SignInRefused(
            "linked-to-another",
            f"{said.email} belongs to another account at {provider} than the one you used. If it is yours, "
            "ask an owner to unlink the old one.",
            email=said.email,
        )
    _, is_new = SocialAccount.objects.get_or_create(
        provider=LINKS,
        uid=key_of(said.issuer, said.subject),
        defaults={"user": user, "extra_data": kept_of(said)},
    )
    if is_new:
        record("accounts.user.linked", actor=user, target=user, issuer=said.issuer, subject=said.subject)
    return user


def kept_of(said: Said) -> dict[str, str]:
    """Return what is kept beside a link, for people to read."""
    return {"issuer": said.issuer, "subject": said.subject, "email": said.email}


@transaction.atomic
def unlink(*, link: SocialAccount, by: Any) -> None:
    """Forget that somebody is known by an account at a provider; the next sign-in goes by the mail address again.

    :raises PermissionDenied: the person may not.
    """
    _require(by)
    held = SocialAccount.objects.select_for_update().filter(pk=link.pk).first()
    if held is not None:
        data = held.extra_data
        record("accounts.user.unlinked", actor=by, target=held.user, issuer=data.get("issuer", ""),
               subject=data.get("subject", ""))  # fmt: skip
        held.delete()


def note_refusal(refused: RowhouseError) -> None:
    """Record a sign-in by the provider that came to nothing."""
    reason, email = getattr(refused, "reason", refused.code), getattr(refused, "email", "")
    record("accounts.user.sign_in_failed", actor=email, by="provider", reason=reason)


def _is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _let_in(user: User, said: Said) -> User:
    if user.is_operator_entry:
        raise SignInRefused("operator", "No operator signs in by a tenant's provider.", email=said.email)
    if not user.is_active:
        raise SignInRefused(
            "inactive", "Your user here is switched off. Ask an owner to switch it on.", email=said.email
        )
    return user


def _new_person(said: Said, provider: SignInProvider) -> User:
    if provider.new_person_role == NewPersonRole.NOBODY:
        raise SignInRefused(
            "not-invited",
            f"There is no user {said.email} here. Ask an owner to invite you.",
            email=said.email,
        )
    return create_user(
        email=said.email.lower(), password=None, role=provider.new_person_role, by=str(provider),
        full_name=said.name,
    )  # fmt: skip


# ---- what both sides need

_CHANGED = (
    "Somebody changed or removed the provider since you opened it, and nothing of yours was stored. "
    "Look at it again, then change what you still want."
)


def _require(by: Any) -> None:
    if by is not None and not by.has_perm("accounts.change_signinprovider"):
        raise PermissionDenied("Only an owner says how people sign in.")


def _held(seen: int) -> SignInProvider | None:
    held = SignInProvider.objects.select_for_update().first()
    if (held.version if held else 0) != seen:
        raise ProviderChanged(_CHANGED)
    return held


def _told(provider: SignInProvider) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in FIELDS}


def _faults(provider: SignInProvider) -> dict[str, str]:
    faults: dict[str, str] = {}
    try:
        provider.clean_fields(exclude=["sealed_secret", "domains", "second_factor_levels"])
    except ValidationError as error:
        faults = {name: " ".join(said) for name, said in error.message_dict.items()}
    if provider.issuer and "issuer" not in faults:
        try:
            discovery.check_address(provider.issuer)
        except RowhouseError as refused:
            faults["issuer"] = refused.message
    if not provider.client_id.isprintable():
        faults["client_id"] = "A client id has no such signs. Copy it anew."
    wrong = [one for one in provider.domains if not is_domain(one)]
    if wrong:
        faults["domains"] = f"{wrong[0]!r} is no mail domain. Write one on each line, such as example.com."
    elif not provider.domains:
        faults["domains"] = "Enter the mail domains of your own that the provider speaks for."
    elif len(provider.domains) > MOST_DOMAINS:
        faults["domains"] = f"{MOST_DOMAINS} domains at most."
    levels = provider.second_factor_levels
    if len(levels) > MOST_LEVELS or any(
        len(one) > 200 or " " in one or not one.isprintable() for one in levels
    ):
        faults["second_factor_levels"] = f"{MOST_LEVELS} levels at most, one on each line, without blanks."
    return faults

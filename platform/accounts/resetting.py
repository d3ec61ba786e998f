"""A new password for who has forgotten the old one: by a link in a mail, good once and for an hour.

Whoever asks is told the same, at the same pace, whether the address is somebody's or not: the request only hands the
address, sealed, to a worker, which looks whose it is and writes the mail.
"""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse
from django.utils.crypto import salted_hmac

from accounts import password_links
from accounts.models import User
from accounts.sessions import end_sessions
from audit.services import record
from core.errors import RowhouseError
from core.sealing import seal, unseal
from core.tenancy import current_tenant
from jobs import services as jobs

KIND = "accounts.reset"
SALT = "accounts.resetting"
SECONDS = 3_600

logger = logging.getLogger(__name__)


class ResetInvalid(RowhouseError):
    """A link to a new password is of another tenant, was altered, was used, or is older than an hour."""

    code = "reset-invalid"
    status = 404


class ResetNotMailed(RowhouseError):
    """The mail server did not take the mail."""

    code = "reset-not-mailed"
    status = 502
    is_passing = True


def ask(*, email: str, root: str) -> None:
    """Have a worker mail a link to whoever has this address, if anybody has. It takes as long for nobody.

    :param root: where the tenant is reached by who asks, such as `https://acme.example.com`.
    """
    said = email.strip().casefold()[:254]
    # One mail at a time to one address; whose it is does not stand in the job.
    target = salted_hmac(f"{SALT}.{current_tenant().schema}", said, algorithm="sha256").hexdigest()[:32]
    payload = {"email": seal(said, purpose=KIND), "root": root}
    try:
        jobs.submit(KIND, target=target, payload=payload)
    except jobs.TargetBusy:
        pass  # it is on its way


def send(*, sealed_email: str, root: str) -> None:
    """Mail a link to whoever has this address and signs in by a password; to nobody else, and without a word.

    :raises ResetNotMailed: the server did not take it.
    """
    email = unseal(sealed_email, purpose=KIND)
    user = User.objects.filter(email__iexact=email, is_active=True, entry_ends_at=None).first()
    if user is None or not user.has_usable_password():
        return
    path = reverse(
        "accounts_password_new",
        args=[password_links.token_of(user, salt=SALT)],
        urlconf=settings.ROOT_URLCONF,
    )
    text = (
        f"Somebody asked for a new password for {user.email}. Choose it here:\n\n{root}{path}\n\n"
        "The link works once, within an hour, and signs you out everywhere. If it was not you, leave it be: nothing "
        "has changed."
    )
    try:
        EmailMessage("Your new password", text, settings.DEFAULT_FROM_EMAIL, [user.email]).send(
            using="default"
        )
    except (OSError, SMTPException) as error:
        raise ResetNotMailed(f"The mail server did not take it ({type(error).__name__}).") from error
    record("accounts.user.password_asked", target=user)


def whose(token: str) -> User:
    """Return whose new password this is about.

    :raises ResetInvalid: nobody's, here and now.
    """
    return _or_refused(password_links.whose(token, salt=SALT, seconds=SECONDS))


@transaction.atomic
def set_new_password(*, token: str, password: str) -> User:
    """Give the person the new password and end all sessions. A second factor stays, and is asked for.

    :raises ResetInvalid: the link does not work, or does not work any more.
    """
    user = _or_refused(password_links.whose_for_update(token, salt=SALT, seconds=SECONDS))
    user.set_password(password)
    user.save(update_fields=["password"])
    record("accounts.user.password_reset", actor=user, target=user)
    end_sessions(user=user, by=user)
    return user


def _or_refused(user: User | None) -> User:
    if user is None:
        raise ResetInvalid(
            "This link does not work: it was used, is older than an hour, or is cut off. Ask for a new one."
        )
    return user

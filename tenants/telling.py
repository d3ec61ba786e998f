"""Mail to those who own a tenant."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

from accounts.models import User

logger = logging.getLogger(__name__)


def tell_owners(subject: str, text: str) -> int:
    """Mail the current tenant's active owners, and return how many there are; a server that is away is only logged."""
    owners = User.objects.filter(groups__name="owner", is_active=True, entry_ends_at=None)
    addresses = sorted(owners.values_list("email", flat=True).distinct())
    if not addresses or not settings.MAILERS:
        return 0
    for address in addresses:
        message = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [address])
        try:
            message.send(using="default")
        except (OSError, SMTPException) as error:
            logger.warning("An owner could not be mailed (%s)", type(error).__name__)
    return len(addresses)

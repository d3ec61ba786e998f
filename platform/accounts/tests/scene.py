"""People with second factors, and browsers that sign in."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.test import Client

from accounts.models import User
from audit.models import Event
from conftest import PASSWORD
from core.tenancy import TenantRef, in_tenant


def code_of(secret: str, later: int = 0) -> str:
    """Return what an app shows that has the secret, now or so many half minutes later."""
    counters = list(yield_hotp_counters_from_time())
    return str(format_hotp_value(hotp_value(secret, counters[len(counters) // 2] + later)))


def give_app(tenant: TenantRef, email: str) -> tuple[str, list[str]]:
    """Give somebody an app and recovery codes; return the secret and the codes."""
    with in_tenant(tenant):
        user = User.objects.get(email=email)
        secret = generate_totp_secret()
        TOTP.activate(user, secret)
        return secret, RecoveryCodes.activate(user).generate_codes()


def sealed_of(tenant: TenantRef, email: str) -> dict[str, Any]:
    with in_tenant(tenant):
        found: dict[str, Any] = Authenticator.objects.get(user__email=email, type="totp").data
        return found


def opened(sealed: str) -> str:
    return str(get_adapter().decrypt(sealed))


def browser(tenant: TenantRef, **extra: Any) -> Client:
    return Client(HTTP_HOST=f"{tenant.slug}.localhost", **extra)


def sign_in(tenant: TenantRef, email: str, password: str = PASSWORD, **extra: Any) -> Client:
    """Return a browser that has given an address and a password."""
    client = browser(tenant, **extra)
    client.post("/admin/login/", {"username": email, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def events(tenant: TenantRef, name: str) -> list[str]:
    """Return who did what of this name, the first first."""
    with in_tenant(tenant):
        return list(Event.objects.filter(name=name).order_by("pk").values_list("actor_label", flat=True))

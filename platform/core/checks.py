"""What Django's checks say of settings that would let one host's session or cache reach another's."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

SESSIONS_IN_THE_SCHEMA = "django.contrib.sessions.backends.db"
KEYS_BY_SCHEMA = "django_tenants.cache.make_key"
FIRST = "core.cookies.PlainCookies"


def check_hosts_apart(**_given: Any) -> list[CheckMessage]:
    """Return what would let a cookie or a cached value of one host count at another."""
    found: list[CheckMessage] = []
    if settings.SESSION_ENGINE != SESSIONS_IN_THE_SCHEMA:
        found.append(
            Error(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}: its sessions are not kept in the tenant's schema.",
                hint=f"Set {SESSIONS_IN_THE_SCHEMA!r}; with another a session may count at another tenant's host.",
                id="rowhouse.E001",
            )
        )
    for name in ("SESSION_COOKIE_DOMAIN", "CSRF_COOKIE_DOMAIN"):
        if getattr(settings, name) is not None:
            found.append(
                Error(
                    f"{name} is set: the cookie would be sent to every subdomain, other tenants' among them.",
                    hint="Leave it None.",
                    id="rowhouse.E002",
                )
            )
    if not settings.CSRF_USE_SESSIONS:
        found.append(
            Error(
                "CSRF_USE_SESSIONS is off: a sibling's host can put its own token in the place of ours.",
                hint="Leave it True; the token is then a part of the session.",
                id="rowhouse.E003",
            )
        )
    is_own = settings.SESSION_COOKIE_NAME.startswith("__Host-") and settings.SESSION_COOKIE_SECURE
    if settings.IS_PRODUCTION and not (is_own and settings.SESSION_COOKIE_PATH == "/"):
        found.append(
            Error(
                "The session's cookie may be set by a sibling's host.",
                hint="Its name begins with __Host-, it is secure, and its path is /.",
                id="rowhouse.E004",
            )
        )
    for name, options in settings.CACHES.items():
        if options.get("KEY_FUNCTION") != KEYS_BY_SCHEMA:
            found.append(
                Error(
                    f"The keys of the cache {name!r} do not say whose they are.",
                    hint=f"Set its KEY_FUNCTION to {KEYS_BY_SCHEMA!r}.",
                    id="rowhouse.E005",
                )
            )
    if settings.MIDDLEWARE[0] != FIRST:
        found.append(
            Error(
                f"{FIRST} is not the first of MIDDLEWARE: cookies are read before it has looked at them.",
                hint="Put it first.",
                id="rowhouse.E006",
            )
        )
    return found

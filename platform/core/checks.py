"""What Django's checks say of settings that would let one host's session or cache reach another's, or a page do more
than it must. `require_safe` has a production installation not start with any of them.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import WARNING, CheckMessage, Error, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured

SESSIONS_IN_THE_SCHEMA = "django.contrib.sessions.backends.db"
KEYS_BY_SCHEMA = "django_tenants.cache.make_key"
FIRST = "core.cookies.PlainCookies"
NEEDED = (
    "core.headers.Headers",
    "core.headers.PagePolicy",
    "core.paces.Paces",
    "django.middleware.security.SecurityMiddleware",
)
MESSAGES_IN_THE_SESSION = "django.contrib.messages.storage.session.SessionStorage"
# What a policy of pages may never allow to run, and to be loaded from.
LOOSE = frozenset(
    {"'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "http:", "https:", "data:", "blob:"}
)


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


def check_pages_hardened(**_given: Any) -> list[CheckMessage]:
    """Return what would let a page run what it must not, or go without what holds it back."""
    found: list[CheckMessage] = []
    for name in ("SECURE_CSP", "ROWHOUSE_ADMIN_CSP"):
        policy = getattr(settings, name, {})
        if not policy or "default-src" not in policy:
            found.append(
                Error(
                    f"{name} says nothing of what pages may load.",
                    hint="Set default-src.",
                    id="rowhouse.E007",
                )
            )
        loose = LOOSE & {*policy.get("default-src", ()), *policy.get("script-src", ())}
        if loose:
            found.append(
                Error(
                    f"{name} lets scripts run that are in no file of ours: {', '.join(sorted(loose))}.",
                    hint="Put the script into a file, and take that word out.",
                    id="rowhouse.E008",
                )
            )
    missing = [name for name in NEEDED if name not in settings.MIDDLEWARE]
    if missing:
        found.append(
            Error(
                f"MIDDLEWARE lacks {', '.join(missing)}.",
                hint="Put it back where rowhouse.settings has it.",
                id="rowhouse.E009",
            )
        )
    if settings.MESSAGE_STORAGE != MESSAGES_IN_THE_SESSION:
        found.append(
            Error(
                "MESSAGE_STORAGE is not the session: what people are told would go into a cookie.",
                hint=f"Set {MESSAGES_IN_THE_SESSION!r}.",
                id="rowhouse.E010",
            )
        )
    hosts = [*settings.ROWHOUSE_PUBLIC_HOSTS, settings.ROWHOUSE_BASE_DOMAIN]
    if settings.IS_PRODUCTION and (not all(hosts) or any("*" in host for host in hosts)):
        found.append(
            Error(
                "ROWHOUSE_PUBLIC_HOSTS and ROWHOUSE_BASE_DOMAIN must name hosts, without a star.",
                hint="Write each host of the operator site, and the domain that tenants' hosts end with.",
                id="rowhouse.E011",
            )
        )
    return found


def require_safe() -> None:
    """Go on only if no check of security finds anything; outside of production nothing is looked at.

    The checks are Django's for a deployment and our own, less those that the settings silence with a reason.

    :raises ImproperlyConfigured: they do; it names each.
    """
    if not settings.IS_PRODUCTION:
        return
    said = [
        one
        for one in run_checks(tags=[Tags.security], include_deployment_checks=True)
        if one.level >= WARNING and not one.is_silenced()
    ]
    if said:
        words = " ".join(f"({one.id}) {' '.join(one.msg.split())} {one.hint or ''}".strip() for one in said)
        raise ImproperlyConfigured(f"This installation is not safe to start. {words}")

"""What every answer says to the browser about what may be done with it.

`Headers` stands around all that answer, so that also what middleware says by itself (an unknown host, a suspended
tenant, a refusal) keeps to it. `PagePolicy` lets pages in the admin's look do what that look needs; all others may load
nothing but our own styles, images and fonts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP, build_policy

NAMESPACES = frozenset({"admin", "operator"})
# A file that came from people: shown in no way, and if a browser did, in an origin of nobody's and without scripts.
OF_DOWNLOADS = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
# All that a page of data has no use for; passkeys alone are asked for, by this host.
PERMISSIONS = ", ".join(
    [
        *(
            f"{name}=()"
            for name in (
                "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
                "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment",
                "picture-in-picture", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
            )
        ),
        "publickey-credentials-create=(self)",
        "publickey-credentials-get=(self)",
    ]
)  # fmt: skip


class Headers:
    """Give each answer what it lacks; a file that is handed out gets its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        if answer.get("Content-Disposition", "").startswith("attachment"):
            answer.headers[str(CSP.HEADER_ENFORCE)] = OF_DOWNLOADS
        for name, value in (
            (str(CSP.HEADER_ENFORCE), build_policy(settings.SECURE_CSP)),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", settings.X_FRAME_OPTIONS),
            ("Referrer-Policy", settings.SECURE_REFERRER_POLICY),
            ("Cross-Origin-Opener-Policy", settings.SECURE_CROSS_ORIGIN_OPENER_POLICY),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Permissions-Policy", PERMISSIONS),
            # Static files say themselves how long they are good. All else is of one person, at this moment.
            ("Cache-Control", "no-store, private"),
        ):
            answer.headers.setdefault(name, value)
        if settings.SECURE_HSTS_SECONDS and request.is_secure():
            answer.headers.setdefault(
                "Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
            )
        return answer


def in_admin_look[View: Callable[..., Any]](view: View) -> View:
    """Say of a view outside of the admin sites that its page has their look, and needs what that needs."""
    view.has_admin_look = True  # type: ignore[attr-defined] # for the middleware
    return view


class PagePolicy(ContentSecurityPolicyMiddleware):
    """Django's own, with a policy for pages in the admin's look beside that of all others."""

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        match = getattr(request, "resolver_match", None)
        if match is not None and not hasattr(response, "_csp_config"):
            is_of_admin = not NAMESPACES.isdisjoint(match.namespaces)
            if is_of_admin or getattr(match.func, "has_admin_look", False):
                response._csp_config = settings.ROWHOUSE_ADMIN_CSP
        return super().process_response(request, response)

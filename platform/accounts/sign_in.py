"""Signing in to a tenant: by address and password, and by a second factor where there is one.

The page and what it is sent are the admin's. allauth goes on from there: it asks for the second factor of who has one,
gives the session a new key, and leads to where the person wanted to go on this host.
"""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from accounts.sites import tenant_site
from core.headers import in_admin_look
from core.limits import forget, take

# Counted before a password is hashed, which is what costs: of one name from one address, of one name from anywhere.
TRIES, TRIES_SECONDS = 10, 900
NAMED, NAMED_SECONDS = 60, 3_600
ADDRESS_SECONDS = 60


class SignInView(LoginView):
    """Asks for an address and a password."""

    template_name = "accounts/sign_in.html"
    authentication_form = tenant_site.login_form

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if tenant_site.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        context = {
            **super().get_context_data(**kwargs),
            **tenant_site.each_context(request),
            "title": "Sign in",
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            "can_mail": bool(settings.MAILERS),
        }
        if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
            context[REDIRECT_FIELD_NAME] = reverse("admin:index")
        return context

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the try before anything is looked at.

        :raises TooMany: there were too many from this address, or of this name.
        """
        count_try(request, request.POST.get("username", ""))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        forget_tries(self.request, user.get_username())
        login = Login(user=user, redirect_url=self.get_success_url())
        answer: HttpResponse = perform_password_login(self.request, {"email": user.get_username()}, login)
        return answer


def count_try(request: HttpRequest, name: str) -> None:
    """Count that somebody tries to sign in, for all processes, in the current tenant or outside.

    :raises TooMany: it was tried too often.
    """
    address, name = _address(request), name.strip().casefold()
    take(
        scope="accounts.sign_in.address",
        subject=address,
        limit=settings.ROWHOUSE_SIGN_INS_PER_MINUTE,
        per_seconds=ADDRESS_SECONDS,
    )
    take(scope="accounts.sign_in", subject=f"{name} {address}", limit=TRIES, per_seconds=TRIES_SECONDS)
    take(scope="accounts.sign_in.name", subject=name, limit=NAMED, per_seconds=NAMED_SECONDS)


def forget_tries(request: HttpRequest, name: str) -> None:
    """Begin the count of somebody who has signed in anew. The address' goes on: its tries cost the same."""
    name = name.strip().casefold()
    forget(scope="accounts.sign_in", subject=f"{name} {_address(request)}")
    forget(scope="accounts.sign_in.name", subject=name)


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def urls() -> list[URLPattern]:
    """Return the page's address in the tenant's admin, to stand before the site's own."""
    return [path("login/", SignInView.as_view(), name="login")]


def names_of_allauth() -> list[URLPattern]:
    """Return what allauth calls pages of ours, to stand after all others."""
    return [path("admin/login/", in_admin_look(SignInView.as_view()), name="account_login")]

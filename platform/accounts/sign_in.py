"""Signing in to a tenant: by address and password, and by a second factor where there is one.

The page and what it is sent are the admin's. allauth goes on from there: it asks for the second factor of who has one,
gives the session a new key, and leads to where the person wanted to go on this host.
"""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from accounts.sites import tenant_site


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
        }
        if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
            context[REDIRECT_FIELD_NAME] = reverse("admin:index")
        return context

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        login = Login(user=user, redirect_url=self.get_success_url())
        answer: HttpResponse = perform_password_login(self.request, {"email": user.get_username()}, login)
        return answer


def urls() -> list[URLPattern]:
    """Return the page's address in the tenant's admin, to stand before the site's own."""
    return [path("login/", SignInView.as_view(), name="login")]


def names_of_allauth() -> list[URLPattern]:
    """Return what allauth calls pages of ours, to stand after all others."""
    return [path("admin/login/", SignInView.as_view(), name="account_login")]

"""The page of a tenant's provider in its admin: what it is, whether it works, and who is known by it."""

from __future__ import annotations

from typing import Any, cast

from allauth.socialaccount.models import SocialAccount
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from unfold.admin import ModelAdmin

from accounts.models import User
from accounts.provider_models import SignInProvider
from accounts.single_sign_on import flow, services
from accounts.single_sign_on.forms import ProviderForm
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.readonly import ReadOnly

PAGE = "admin:accounts_signinprovider_changelist"
ON_A_PAGE = 50


@admin.register(SignInProvider, site=tenant_site)
class SignInProviderAdmin(ReadOnly, ModelAdmin):
    """One page: a tenant has one provider."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(provider_page), name="accounts_signinprovider_changelist"),
            path("try/", wrap(try_it), name="accounts_signinprovider_try"),
            path("remove/", wrap(remove), name="accounts_signinprovider_remove"),
            path("links/<int:link_id>/unlink/", wrap(unlink), name="accounts_signinprovider_unlink"),
        ]


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def provider_page(request: HttpRequest) -> HttpResponse:
    """Show the provider, and enter or change it."""
    user = _may(request, "change" if request.method == "POST" else "view")
    provider = services.provider_or_none()
    if request.method != "POST":
        return _page(request, ProviderForm(provider=provider), provider)
    form = ProviderForm(request.POST, provider=provider)
    if form.is_valid():
        try:
            services.set_provider(
                values=form.values(),
                secret=form.cleaned_data["secret"],
                seen=form.cleaned_data["seen"] or 0,
                by=user,
            )
        except services.BadProvider as refused:
            form.show_faults(refused.faults)
        except services.ProviderChanged as refused:
            form.add_error(None, refused.message)
        else:
            messages.info(request, "Stored. Try it before people depend on it.")
            return redirect(PAGE)
    return _page(request, form, provider, status=422)


@require_POST
def try_it(request: HttpRequest) -> HttpResponse:
    """Ask the provider what it publishes and whether it knows the client."""
    user = _may(request, "change")
    try:
        faults = services.try_provider(address=flow.callback_address(request), by=user)
    except RowhouseError as refused:
        faults = [refused.message]
    for said in faults:
        messages.error(request, said)
    if not faults:
        messages.success(
            request,
            "The provider answers, publishes what is needed, and knows this client. Sign in by it once.",
        )
    return redirect(PAGE)


@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """Forget the provider."""
    user = _may(request, "change")
    seen = request.POST.get("seen", "")
    try:
        services.remove_provider(
            seen=int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0, by=user
        )
        messages.info(request, "The provider is forgotten. People sign in with passwords.")
    except RowhouseError as refused:
        messages.error(request, refused.message)
    return redirect(PAGE)


@require_POST
def unlink(request: HttpRequest, link_id: int) -> HttpResponse:
    """Forget that somebody is known by an account at a provider."""
    user = _may(request, "change")
    link = get_object_or_404(SocialAccount, pk=link_id)
    services.unlink(link=link, by=user)
    messages.info(request, f"{link.user} is not known by that account any more.")
    return redirect(PAGE)


def _may(request: HttpRequest, what: str) -> User:
    user = cast("User", request.user)
    if not user.has_perm(f"accounts.{what}_signinprovider"):
        raise PermissionDenied("Only an owner says how people sign in.")
    return user


def _page(
    request: HttpRequest, form: ProviderForm, provider: SignInProvider | None, *, status: int = 200
) -> HttpResponse:
    wanted = " ".join(request.GET.get("q", "").split())[:100]
    links = SocialAccount.objects.select_related("user").order_by("user__email", "pk")
    if wanted and "\0" not in wanted:
        links = links.filter(Q(user__email__icontains=wanted) | Q(extra_data__email__icontains=wanted))
    context: dict[str, Any] = {
        **tenant_site.each_context(request),
        "title": "Sign-in by your own provider",
        "form": form,
        "provider": provider,
        "callback": flow.callback_address(request),
        "q": wanted,
        "links": Paginator(links, ON_A_PAGE).get_page(request.GET.get("page")),
        "may_change": cast("User", request.user).has_perm("accounts.change_signinprovider"),
    }
    return render(request, "accounts/provider.html", context, status=status)

"""The page an invitation leads to: it asks for a password, and then for signing in with it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.invitations import InvitationInvalid, accept, invited
from accounts.sites import tenant_site
from core.headers import in_admin_look


def urls() -> list[URLPattern]:
    """Return the page's address on a tenant's hosts."""
    return [path("invitation/<str:token>/", invitation, name="accounts_invitation")]


class FirstPasswordForm(SetPasswordForm):  # type: ignore[type-arg] # not generic when it runs
    """Asks for the new password twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


@in_admin_look
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for a password; an invitation that does not work says so and nothing else."""
    try:
        user = invited(token)
        form = FirstPasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            accept(token=token, password=form.cleaned_data["new_password1"])
            messages.info(request, "Your password is set. Sign in with it.")
            return redirect(reverse("admin:login"))
    except InvitationInvalid as refused:
        page = {"title": "No invitation", "message": refused.message}
        return render(request, "core/notice.html", page, status=refused.status)
    return render(
        request,
        "accounts/invitation.html",
        {**tenant_site.each_context(request), "title": "Welcome", "form": form, "person": user},
    )

"""The pages of a forgotten password: where it is said, and where the link of the mail leads."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminEmailInputWidget

from accounts import resetting
from accounts.invitation_pages import FirstPasswordForm
from accounts.sign_in import forget_tries
from accounts.sites import tenant_site
from core.headers import in_admin_look
from core.limits import take

ASKED, ASKED_SECONDS = 20, 3_600  # by one address
NAMED, NAMED_SECONDS = 5, 3_600  # for one


class ForgottenForm(forms.Form):
    """Asks for the address one signs in with."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "username", "autofocus": ""}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forgotten(request: HttpRequest) -> HttpResponse:
    """Take an address, and say the same whosever it is."""
    if not settings.MAILERS:
        raise Http404  # nobody could be told the link; an owner sets a new password
    form = ForgottenForm(request.POST or None)
    is_asked = request.method == "POST" and form.is_valid()
    if is_asked:
        email = form.cleaned_data["email"]
        address = str(request.META.get("REMOTE_ADDR", ""))
        take(scope="accounts.reset.address", subject=address, limit=ASKED, per_seconds=ASKED_SECONDS)
        take(scope="accounts.reset", subject=email.casefold(), limit=NAMED, per_seconds=NAMED_SECONDS)
        resetting.ask(email=email, root=f"{request.scheme}://{request.get_host()}")
    context = {
        **tenant_site.each_context(request),
        "title": "Forgotten password",
        "form": form,
        "is_asked": is_asked,
    }
    return render(request, "accounts/forgotten.html", context)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new_password(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for the new password; a link that does not work says so and nothing else."""
    try:
        user = resetting.whose(token)
        form = FirstPasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            resetting.set_new_password(token=token, password=form.cleaned_data["new_password1"])
            forget_tries(request, user.email)
            messages.info(request, "Your password is set. Sign in with it.")
            return redirect(reverse("admin:login"))
    except resetting.ResetInvalid as refused:
        page = {"title": "No new password", "message": refused.message}
        return render(request, "core/notice.html", page, status=refused.status)
    context = {**tenant_site.each_context(request), "title": "New password", "form": form, "person": user}
    answer = render(request, "accounts/new_password.html", context)
    answer["Referrer-Policy"] = "same-origin"  # the link is in this page's address
    return answer


def urls() -> list[URLPattern]:
    """Return the pages' addresses on a tenant's hosts."""
    return [
        path("accounts/password/", in_admin_look(forgotten), name="accounts_password_forgotten"),
        path("accounts/password/<str:token>/", in_admin_look(new_password), name="accounts_password_new"),
    ]

"""Signing in to the operator site: by address and password, and by a second factor.

Who has a factor is always asked for it. Where the platform demands one (production does), who has none adds it at the
first sign-in, before anything opens. Until the code was right nobody is signed in: the session only knows whose
password was.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Any

from allauth.mfa.adapter import get_adapter
from django import forms
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.operators import factors
from accounts.operators.models import Operator, OperatorFactor
from accounts.sign_in import count_try, forget_tries
from accounts.sites import SECOND_FACTOR_SHOWN, operator_site
from core.clock import now
from core.limits import take

PENDING = "operator_signing_in"
PENDING_FOR = timedelta(minutes=10)
BACKEND = "accounts.backends.OperatorBackend"
CODES, CODES_SECONDS = 10, 900


class CodeForm(forms.Form):
    """Takes a code."""

    code = forms.CharField(
        label="Code",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": "", "spellcheck": "false"}
        ),
    )


class OperatorSignInView(LoginView):
    """Asks for an address and a password."""

    template_name = "admin/login.html"
    authentication_form = operator_site.login_form

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if operator_site.has_permission(request):
            return HttpResponseRedirect(reverse("operator:index"))
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the try before anything is looked at.

        :raises TooMany: there were too many from this address, or of this name.
        """
        count_try(request, request.POST.get("username", ""))
        return super().post(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        request.current_app = operator_site.name  # as the site's own pages do
        context = {
            **super().get_context_data(**kwargs),
            **operator_site.each_context(request),
            "title": "Sign in",
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
        }
        if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
            context[REDIRECT_FIELD_NAME] = reverse("operator:index")
        return context

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        operator: Any = form.get_user()
        forget_tries(self.request, operator.email)
        has_factor = OperatorFactor.objects.filter(operator=operator).exists()
        if not has_factor and not settings.ROWHOUSE_OPERATOR_SECOND_FACTOR:
            return super().form_valid(form)
        session = self.request.session
        session.cycle_key()
        session[PENDING] = {
            "operator": operator.pk,
            "hash": operator.get_session_auth_hash(),
            "at": now().timestamp(),
            "next": self.get_success_url(),
        }
        return redirect("operator:second_factor" if has_factor else "operator:first_factor")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask who has given the right password for a code."""
    request.current_app = operator_site.name  # as the site's own pages do
    operator = _pending(request)
    if operator is None or not OperatorFactor.objects.filter(operator=operator).exists():
        return redirect("operator:login")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _count_code(operator)
        if factors.use_code(operator=operator, code=form.cleaned_data["code"]):
            return _let_in(request, operator)
        form.add_error("code", "This code is not right, or was used. Enter the one that is shown now.")
    context = {**operator_site.each_context(request), "title": "Second factor", "form": form}
    return render(request, "operators/second_factor.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_factor(request: HttpRequest) -> HttpResponse:
    """Give who has none a second factor, show the recovery codes, and let him in."""
    request.current_app = operator_site.name  # as the site's own pages do
    operator = _pending(request)
    if operator is None or OperatorFactor.objects.filter(operator=operator).exists():
        return redirect("operator:login")
    pending = request.session[PENDING]
    secret = pending.setdefault("secret", factors.new_secret())
    request.session.modified = True
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _count_code(operator)
        if factors.is_code_of(secret, form.cleaned_data["code"]):
            codes = factors.add_factor(operator=operator, secret=secret)
            onward = _let_in(request, operator).headers["Location"]
            context = {**operator_site.each_context(request), "title": "Recovery codes"}
            return render(
                request, "operators/recovery_codes.html", {**context, "codes": codes, "onward": onward}
            )
        form.add_error("code", "This is not the code of this secret. Enter the one that is shown now.")
    picture = get_adapter().build_totp_svg(factors.address_of(operator, secret, request.get_host()))
    context = {
        **operator_site.each_context(request),
        "title": "Add a second factor",
        "form": form,
        "secret": secret,
        "picture": f"data:image/svg+xml;base64,{b64encode(picture.encode()).decode()}",
    }
    return render(request, "operators/first_factor.html", context)


def _count_code(operator: Operator) -> None:
    take(
        scope="accounts.operator_factor",
        subject=str(operator.pk),
        limit=CODES,
        per_seconds=CODES_SECONDS,
    )


def _pending(request: HttpRequest) -> Operator | None:
    """Return whose password was right a moment ago, if it is still his and he may still come in."""
    said = request.session.get(PENDING)
    if said is None or now().timestamp() - said["at"] > PENDING_FOR.total_seconds():
        return None
    operator = Operator.objects.filter(pk=said["operator"], is_active=True).first()
    return operator if operator is not None and operator.get_session_auth_hash() == said["hash"] else None


def _let_in(request: HttpRequest, operator: Operator) -> HttpResponseRedirect:
    onward = request.session.pop(PENDING)["next"]
    login(request, operator, backend=BACKEND)  # type: ignore[arg-type] # no user of Django's own
    request.session[SECOND_FACTOR_SHOWN] = True
    return HttpResponseRedirect(onward)


def urls() -> list[URLPattern]:
    """Return the pages' addresses on the operator site, to stand before the site's own."""
    return [
        path("login/", OperatorSignInView.as_view(), name="login"),
        path("second-factor/", second_factor, name="second_factor"),
        path("first-factor/", first_factor, name="first_factor"),
    ]

"""How somebody signs in: one's own page, and, for owners, that of each person and of what roles are asked for."""

from __future__ import annotations

from typing import Any, cast

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from unfold.forms import AdminOwnPasswordChangeForm

from accounts.adapters import TRIES, TRIES_SECONDS
from accounts.devices import device
from accounts.factors import ask_of_roles, asking_roles, has_factor, must_enrol, reset_factors
from accounts.models import User
from accounts.services import ROLES
from accounts.sessions import end_session, end_sessions, keep_session, open_sessions
from accounts.sites import tenant_site
from audit.services import record
from core.errors import RowhouseError
from core.headers import in_admin_look
from core.limits import take


@never_cache
@require_http_methods(["GET", "HEAD"])
def own_page(request: HttpRequest) -> HttpResponse:
    """Show one's own factors and sessions."""
    user = _person(request)
    factors = list(Authenticator.objects.filter(user=user).order_by("pk"))
    by_type = {one.type: one for one in factors}
    codes = by_type.get(Authenticator.Type.RECOVERY_CODES)
    return _page(
        request,
        "accounts/own_sign_in.html",
        "Your sign-in",
        app=by_type.get(Authenticator.Type.TOTP),
        passkeys=[one for one in factors if one.type == Authenticator.Type.WEBAUTHN],
        codes=codes,
        codes_left=len(codes.wrap().get_unused_codes()) if codes else 0,
        must_enrol=getattr(user, "must_enrol", False),
        sessions=_shown(request, user),
    )


@require_POST
def end_own_session(request: HttpRequest) -> HttpResponse:
    """Sign oneself out somewhere else."""
    user = _person(request)
    _end(request, user)
    return redirect("accounts_sign_in")


@require_POST
def end_own_sessions(request: HttpRequest) -> HttpResponse:
    """Sign oneself out everywhere, here too."""
    user = _person(request)
    end_sessions(user=user, by=user)
    logout(request)
    return redirect("admin:login")


class OwnPasswordView(PasswordChangeView):
    """Lets somebody choose another password, who knows the present one."""

    form_class = AdminOwnPasswordChangeForm
    template_name = "registration/password_change_form.html"
    success_url = reverse_lazy("admin:password_change_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**tenant_site.each_context(self.request), **super().get_context_data(**kwargs)}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        take(scope="accounts.confirm", subject=str(request.user.pk), limit=TRIES, per_seconds=TRIES_SECONDS)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        user = _person(self.request)
        with transaction.atomic():
            form.save()
            record("accounts.user.password_changed", actor=user, target=user)
            end_sessions(user=user, by=user)
        keep_session(self.request, user)
        return HttpResponseRedirect(self.get_success_url())


@never_cache
@require_http_methods(["GET", "HEAD"])
def person_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an owner how somebody signs in."""
    owner, user = _owner(request), _other(pk)
    factors = Authenticator.objects.filter(user=user).order_by("pk")
    return _page(
        request,
        "accounts/persons_sign_in.html",
        f"How {user} signs in",
        person=user,
        factors=factors,
        has_factor=has_factor(user),
        must_enrol=must_enrol(user),
        is_oneself=owner.pk == user.pk,
        sessions=_shown(request, user),
    )


@require_POST
def reset_persons_factors(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the second factors of somebody who lost them."""
    owner, user = _owner(request), _other(pk)
    reset_factors(user=user, by=owner)
    messages.info(
        request, f"{user} is signed out everywhere, and signs in with the password alone to add a new factor."
    )
    return redirect("admin:accounts_user_sign_in", pk)


@require_POST
def end_persons_session(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign somebody out at one place."""
    owner, user = _owner(request), _other(pk)
    _may_act_on(owner, user)
    _end(request, user)
    return redirect("admin:accounts_user_sign_in", pk)


@require_POST
def end_persons_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign somebody out everywhere."""
    owner, user = _owner(request), _other(pk)
    _may_act_on(owner, user)
    end_sessions(user=user, by=owner)
    messages.info(request, f"{user} is signed out everywhere.")
    return redirect("admin:accounts_user_sign_in", pk)


@require_http_methods(["GET", "HEAD", "POST"])
def roles_page(request: HttpRequest) -> HttpResponse:
    """Let an owner say of which roles a second factor is asked."""
    owner = _owner(request)
    if request.method == "POST":
        try:
            ask_of_roles(roles=request.POST.getlist("role"), by=owner)
        except RowhouseError as error:
            messages.error(request, error.message)
        else:
            messages.info(request, "That holds from everybody's next page on.")
        return redirect("admin:accounts_factor_roles")
    asking = asking_roles()
    people = User.objects.filter(is_active=True, entry_ends_at=None)
    with_one = people.filter(pk__in=Authenticator.objects.exclude(type="recovery_codes").values("user"))
    rows = [
        {
            "role": role,
            "is_asked": role in asking,
            "people": people.filter(groups__name=role).count(),
            "have": with_one.filter(groups__name=role).count(),
        }
        for role in ROLES
        if Group.objects.filter(name=role).exists()
    ]
    return _page(request, "accounts/factor_roles.html", "Second factor", rows=rows)


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    return render(request, template, {**tenant_site.each_context(request), "title": title, **context})


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


def _owner(request: HttpRequest) -> User:
    user = _person(request)
    if not user.has_perm("accounts.change_user"):
        raise PermissionDenied("How people sign in is shown to owners. Ask one of them.")
    return user


def _may_act_on(owner: User, user: User) -> None:
    if not owner.has_perms(user.get_all_permissions()):
        raise PermissionDenied(f"{user} may do more than you may. Ask an owner.")


def _other(pk: int) -> User:
    return get_object_or_404(User, pk=pk, entry_ends_at=None)


def _shown(request: HttpRequest, user: User) -> list[dict[str, Any]]:
    here = request.session.session_key
    return [
        {
            "pk": one.pk,
            "device": device(one.user_agent),
            "agent": one.user_agent,
            "address": one.ip,
            "since": one.created_at,
            "seen_at": one.last_seen_at,
            "is_here": one.session_key == here,
        }
        for one in open_sessions(user)
    ]


def _end(request: HttpRequest, user: User) -> None:
    asked = request.POST.get("session", "")
    number = int(asked) if asked.isdecimal() and len(asked) < 18 else 0
    found = UserSession.objects.filter(user=user, pk=number).first()
    if found is None:
        messages.info(request, "That session has ended already.")
        return
    end_session(session=found, by=request.user)
    messages.info(request, f"{device(found.user_agent)} is signed out: its next page asks for the password.")


def urls() -> list[URLPattern]:
    """Return the addresses of one's own page, on a tenant's hosts."""
    wrap = tenant_site.admin_view
    return [
        path("accounts/", in_admin_look(wrap(own_page)), name="accounts_sign_in"),
        path("accounts/sign-out-there/", wrap(end_own_session), name="accounts_sign_out_there"),
        path("accounts/sign-out-everywhere/", wrap(end_own_sessions), name="accounts_sign_out_everywhere"),
    ]


def admin_urls() -> list[URLPattern]:
    """Return the addresses below the admin's: the page of one's password, and those of owners."""
    wrap = tenant_site.admin_view
    person = "accounts/user/<int:pk>/sign-in/"
    return [
        path("password_change/", wrap(OwnPasswordView.as_view()), name="password_change"),
        path("accounts/second-factor/", wrap(roles_page), name="accounts_factor_roles"),
        path(person, wrap(person_page), name="accounts_user_sign_in"),
        path(person + "reset/", wrap(reset_persons_factors), name="accounts_user_factors_reset"),
        path(person + "end/", wrap(end_persons_session), name="accounts_user_session_end"),
        path(person + "end-all/", wrap(end_persons_sessions), name="accounts_user_sessions_end"),
    ]

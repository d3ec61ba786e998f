"""The page of API tokens: a person's own, an owner everybody's; a new one, its end, and what the API can do."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts.models import User
from accounts.sites import tenant_site
from accounts.tokens.models import ApiToken, Scope
from accounts.tokens.recent import RECENT_MINUTES, is_recent
from accounts.tokens.services import BadToken, create_token, may_revoke, revoke_token, tokens_for
from core import clock
from core.errors import RowhouseError
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from core.words import count
from rowhouse.api.schema import document
from rowhouse.api.token_form import TokenForm

STATES = {"active": "success", "expired": "warning", "revoked": "danger"}
LIST = "admin:tokens_apitoken_changelist"


class StateFilter(DropdownFilter):
    """By whether they are good."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(one, one) for one in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        now = clock.now()
        match self.value():
            case "active":
                return queryset.filter(revoked_at=None, expiry__gt=now)
            case "expired":
                return queryset.filter(revoked_at=None, expiry__lte=now)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


class ScopeFilter(DropdownFilter):
    """By what they may do."""

    title = "scope"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(one, one) for one in Scope.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        scope = self.value()
        return queryset.filter(scopes__contains=[scope]) if scope in Scope.values else queryset


class ApiTokenAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Django's list, and pages of our own beside it."""

    actions = None
    change_list_template = "rowhouse/api/token_list.html"
    list_before_template = "rowhouse/api/token_list_head.html"
    list_display = ("shown_name", "whose", "may", "where", "expires", "last_use", "state", "end")
    list_display_links = None
    list_filter: ClassVar[tuple[Any, ...]] = (StateFilter, ScopeFilter)
    list_filter_submit = True
    search_fields = ("name", "token_key", "user__email")
    search_help_text = "Name, how it begins, or whose"
    ordering = ("-pk",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        self.looking = _user(request)
        return tokens_for(self.looking).order_by("-pk")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="tokens_apitoken_changelist"),
            path("add/", wrap(add), name="tokens_apitoken_add"),
            path("sign-in/", wrap(sign_in), name="tokens_apitoken_sign_in"),
            path("<int:token_id>/revoke/", wrap(revoke), name="tokens_apitoken_revoke"),
            path("reference/", wrap(reference), name="tokens_apitoken_reference"),
            path("reference.json", wrap(schema), name="tokens_apitoken_schema"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        user = _user(request)
        shown = {"title": "API tokens", "sees_all": user.has_perm("tokens.view_apitoken")}
        page: HttpResponse = super().changelist_view(request, {**shown, **(extra_context or {})})
        return page

    @admin.display(description="token", ordering="name")
    def shown_name(self, token: ApiToken) -> str:
        return format_html("{} <code>{}</code>", token.name, token.shown)

    @admin.display(description="whose", ordering="user__email")
    def whose(self, token: ApiToken) -> str:
        return str(token.user.email)

    @admin.display(description="may")
    def may(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description="in")
    def where(self, token: ApiToken) -> str:
        return "all datasets" if token.datasets is None else count(len(token.datasets), "dataset")

    @admin.display(description="expires (UTC)", ordering="expiry")
    def expires(self, token: ApiToken) -> str:
        return f"{token.expiry:%Y-%m-%d %H:%M}"

    @admin.display(description="last used (UTC)", ordering="last_used_at")
    def last_use(self, token: ApiToken) -> str:
        if token.last_used_at is None:
            return "never"
        return f"{token.last_used_at:%Y-%m-%d %H:%M}" + (
            f" from {token.last_address}" if token.last_address else ""
        )

    @display(description="state", label=STATES)
    def state(self, token: ApiToken) -> tuple[str, str]:
        state = token.state_at(clock.now())
        return state, state

    @admin.display(description="")
    def end(self, token: ApiToken) -> str:
        if token.state_at(clock.now()) != "active" or not may_revoke(self.looking, token):
            return ""
        address = reverse("admin:tokens_apitoken_revoke", args=[token.pk])
        return format_html(
            '<a class="rh-link" href="{}" aria-label="Revoke {}">Revoke</a>', address, token.name
        )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_variables("secret")
def add(request: HttpRequest) -> HttpResponse:
    """Make a token; the answer shows it, this once. Asks for a recent sign-in."""
    user = _user(request)
    if not is_recent(request, clock.now()):
        context = {"title": "Sign in again", "minutes": RECENT_MINUTES}
        return _page(request, "sign_in", context, status=403 if request.method == "POST" else 200)
    form = TokenForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_bound and form.is_valid():
        try:
            token, secret = create_token(user=user, **form.values())
        except BadToken as refused:
            for name, sentence in refused.faults.items():
                form.add_error(name, sentence)
        except RowhouseError as refused:
            form.add_error(None, refused.message)
        else:
            context = {"title": "The new token", "token": token, "secret": secret, "host": request.get_host()}
            return _page(request, "token_made", context)
    context = {"title": "Make an API token", "form": form}
    return _page(request, "token_add", context, status=422 if form.is_bound else 200)


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign out, and lead back to the form by way of a new sign-in, whichever way that goes here."""
    logout(request)
    return redirect_to_login(reverse("admin:tokens_apitoken_add"), reverse("admin:login"))


@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """Ask, then end a token."""
    user = _user(request)
    token = get_object_or_404(tokens_for(user), pk=min(token_id, 2**63 - 1))
    if not may_revoke(user, token):
        raise PermissionDenied("You may revoke your own tokens only. Ask an owner.")
    if request.method == "POST":
        try:
            revoke_token(token=token, by=user)
            messages.info(request, f"“{token}” is revoked: its next request is refused.")
        except RowhouseError as refused:
            messages.warning(request, refused.message)
        return redirect(LIST)
    return _page(request, "token_revoke", {"title": f"Revoke “{token}”", "token": token})


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show what the API can do, to read and to try with a token."""
    return render(request, "rowhouse/api/reference.html", {"title": "HTTP API"})


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """Hand out the API's description to the page above."""
    return JsonResponse(document())


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)  # the admin site lets nobody else in


def _page(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    request.current_app = tenant_site.name  # as Django's own admin does
    context = {**tenant_site.each_context(request), **context}
    return render(request, f"rowhouse/api/{name}.html", context, status=status)

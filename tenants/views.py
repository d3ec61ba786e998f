"""An operator's entry, on the tenant's own host: coming in by a link, and the list that its owners see."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from accounts.sites import tenant_site
from core.clock import now
from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public
from tenants.entering import EntryEnded, end_entry, enter, entries_of
from tenants.operating_models import EntryGrant

ON_A_PAGE = 50
BACKEND = "accounts.backends.TenantBackend"
# What the list may be narrowed to, and what that means.
STATES = {"open": "Open", "ended": "Over", "unused": "Never used"}


@require_http_methods(["GET", "HEAD", "POST"])
def enter_page(request: HttpRequest) -> HttpResponse:
    """Sign an operator in by the link of a grant: asked first, because browsers fetch links by themselves."""
    if request.method != "POST":
        return _enter_page(request, token=request.GET.get("token", ""))
    try:
        user, grant = enter(token=request.POST.get("token", ""))
    except EntryEnded as error:
        return _enter_page(request, problem=error.message)
    login(request, user, backend=BACKEND)
    request.session.set_expiry(max(1, int((grant.expires_at - now()).total_seconds())))
    return redirect("admin:index")


def _enter_page(request: HttpRequest, *, token: str = "", problem: str = "") -> HttpResponse:
    context = {"token": token, "problem": problem, "tenant": request.tenant}  # type: ignore[attr-defined]
    answer = render(request, "tenants/enter.html", context)
    # The link is in this page's address: it goes to nobody else. (Without any, the browser's own proof that the form
    # is ours would be missing.)
    answer["Referrer-Policy"] = "same-origin"
    answer["Cache-Control"] = "no-store"
    return answer


@require_http_methods(["GET", "HEAD"])
def entries_page(request: HttpRequest) -> HttpResponse:
    """Show who of the platform was inside, when, and why."""
    _require_owner(request)
    wanted, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    schema = current_tenant().schema
    with in_public():
        page = Paginator(_found(entries_of(schema), wanted, state), ON_A_PAGE).get_page(request.GET.get("p"))
        rows = [_row(one) for one in page.object_list]
        is_empty = not rows and not entries_of(schema).exists()
    context = {
        **tenant_site.each_context(request),
        "title": "Operators who entered",
        "page": page,
        "rows": rows,
        "is_empty": is_empty,
        "wanted": wanted,
        "state": state,
        "states": STATES,
    }
    return render(request, "tenants/entries.html", context)


def _found(entries: QuerySet[EntryGrant], wanted: str, state: str) -> QuerySet[EntryGrant]:
    if wanted:
        entries = entries.filter(Q(operator_label__icontains=wanted) | Q(reason__icontains=wanted))
    is_open = Q(ended_at=None, expires_at__gt=Now())
    match state:
        case "open":
            return entries.filter(is_open)
        case "ended":
            return entries.exclude(is_open)
        case "unused":
            return entries.filter(entered_at=None)
        case _:
            return entries.order_by(F("pk").desc())


def _row(grant: EntryGrant) -> dict[str, Any]:
    is_open = grant.ended_at is None and grant.expires_at > now()
    if is_open:
        words = "inside" if grant.entered_at else "not yet used"
    elif grant.ended_at:
        words = f"ended by {grant.ended_by_label}"
    else:
        words = "ended by its time" if grant.entered_at else "never used"
    events = f"{reverse('admin:audit_event_changelist')}?actor={grant.user_id}" if grant.user_id else ""
    return {
        "grant": grant,
        "is_open": is_open,
        "words": words,
        "until": grant.ended_at or grant.expires_at,
        "events": events,
    }


@require_POST
def end_entry_page(request: HttpRequest) -> HttpResponse:
    """End an entry at once."""
    user = _require_owner(request)
    asked, schema = request.POST.get("entry", ""), current_tenant().schema
    is_number = asked.isdecimal() and len(asked) < 18
    with in_public():
        found = entries_of(schema).filter(pk=int(asked) if is_number else 0).first()
    if found is not None:
        try:
            end_entry(grant=found, by=user.email)
        except RowhouseError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"{found.operator_label} is out: the next request is refused.")
    return redirect("admin:tenants_entries")


def _require_owner(request: HttpRequest) -> User:
    user = cast("User", request.user)
    if not user.has_perm("accounts.change_user"):
        raise PermissionDenied("Who entered is shown to owners. Ask one of them.")
    return user


def urls() -> list[URLPattern]:
    """Return the addresses of these pages, below the admin's."""
    return [
        path("enter/", enter_page, name="tenants_enter"),
        path("entries/", tenant_site.admin_view(entries_page), name="tenants_entries"),
        path("entries/end/", tenant_site.admin_view(end_entry_page), name="tenants_entry_end"),
    ]

"""The pages of a review of access, for a tenant's owners."""

from __future__ import annotations

from itertools import groupby
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from accounts.sites import tenant_site
from audit.services import record
from core.clock import now
from core.tenancy import current_tenant
from rowhouse.review.files import FORMATS, as_csv, as_workbook
from rowhouse.review.report import REVIEWS, Person, Report, mark_reviewed, report_of, review_due, reviews

ON_A_PAGE = 100
STATES = {
    "active": "Active",
    "inactive": "Inactive",
    "quiet": "Stands out",
}


def urls() -> list[URLPattern]:
    """Return the addresses of these pages, below the admin's."""
    return [
        path("review/", tenant_site.admin_view(review_page), name="rowhouse_review"),
        path("review/done/", tenant_site.admin_view(reviewed_page), name="rowhouse_review_done"),
        path("review/download/", tenant_site.admin_view(download_page), name="rowhouse_review_download"),
    ]


@require_http_methods(["GET", "HEAD"])
def review_page(request: HttpRequest) -> HttpResponse:
    """Show who may what, since when, and what stands out."""
    _require_owner(request)
    report = report_of()
    asked = {name: request.GET.get(name, "") for name in ("q", "role", "state")}
    chosen = _chosen(report, asked)
    number = _number(request.GET.get("page", ""))
    begin = (number - 1) * ON_A_PAGE
    kept: dict[str, str | int] = {name: value for name, value in asked.items() if value}
    due = review_due()
    context = {
        **tenant_site.each_context(request),
        "title": "Review of access",
        "report": report,
        "people": chosen[begin : begin + ON_A_PAGE],
        "kinds": [(kind, list(found)) for kind, found in groupby(report.findings, lambda one: one.kind)],
        "reviews": reviews(),
        "due": due,
        "months": settings.ROWHOUSE_REVIEW_MONTHS,
        "asked": asked,
        "is_asked": bool(kept),
        "roles": sorted({role for person in report.people for role in person.roles}),
        "states": STATES,
        "page": number,
        "before": f"?{urlencode({**kept, 'page': number - 1})}" if number > 1 else "",
        "after": f"?{urlencode({**kept, 'page': number + 1})}" if len(chosen) > begin + ON_A_PAGE else "",
        "events": reverse("admin:audit_event_changelist"),
    }
    return render(request, "rowhouse/review.html", context)


def _chosen(report: Report, asked: dict[str, str]) -> list[Person]:
    words = asked["q"].casefold().split()
    striking = {one.who for one in report.findings}

    def fits(person: Person) -> bool:
        text = f"{person.user.email} {person.user.get_full_name()}".casefold()
        state = asked["state"]
        return (
            all(word in text for word in words)
            and asked["role"] in ("", *person.roles)
            and (state != "active" or person.user.is_active)
            and (state != "inactive" or not person.user.is_active)
            and (state != "quiet" or person.user.email in striking)
        )

    return [person for person in report.people if fits(person)]


@require_POST
def reviewed_page(request: HttpRequest) -> HttpResponse:
    """Note that somebody has looked through all of it."""
    user = _require_owner(request)
    mark_reviewed(note=request.POST.get("note", ""), by=user)
    months = settings.ROWHOUSE_REVIEW_MONTHS
    messages.success(request, "Noted." + (f" The next review is due in {months} months." if months else ""))
    return redirect("admin:rowhouse_review")


@require_http_methods(["GET"])
def download_page(request: HttpRequest) -> HttpResponse:
    """Send the review as a file, and record that somebody took it."""
    user = _require_owner(request)
    form = request.GET.get("form", "csv")
    if form not in FORMATS:
        raise Http404
    body = as_csv() if form == "csv" else as_workbook(report_of(), reviews(most=1000))
    record("rowhouse.access.downloaded", actor=user, form=form)
    answer = HttpResponse(body, content_type=FORMATS[form])
    name = f"access_{current_tenant().slug}_{now():%Y%m%dT%H%M%SZ}.{form}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _require_owner(request: HttpRequest) -> User:
    user = cast("User", request.user)  # the admin site lets nobody else in
    if not user.has_perm(REVIEWS):
        raise PermissionDenied("Who may what is reviewed by owners. Ask one of them.")
    return user


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1


def reminder(user: Any) -> dict[str, Any] | None:
    """Return what the dashboard tells an owner whose review is due, or None."""
    if not user.has_perm(REVIEWS):
        return None
    due = review_due()
    return None if due is None else {"last": due.last}

"""Notices of exports: their list, the page of each with its deliveries, a test, and the secret shown once."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from exporter import notices
from exporter.models import Delivery, ExportNotice
from exporter.notice_form import NoticeForm

ON_A_PAGE = 50


@admin.register(ExportNotice, site=tenant_site)
class ExportNoticeAdmin(ReadOnly, ListedLookups, ModelAdmin):
    """Django's list, and pages of our own beside it."""

    actions = None
    change_list_template = "exporter/notice_list.html"
    list_before_template = "exporter/notice_list_head.html"
    list_display = ("shown_name", "mails", "url", "hears_of", "shown_state", "last", "failed")
    list_display_links = None
    list_filter = ("is_on",)
    search_fields = ("name", "emails", "url")
    search_help_text = "Name, mail address or webhook"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return cast("User", request.user).has_perm("exporter.view_exportnotice")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportNotice]:
        return ExportNotice.objects.annotate(
            last_sent=Max("deliveries__sent_at"),
            n_failed=Count("deliveries", filter=Q(deliveries__state=Delivery.State.FAILED)),
        ).order_by("name")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="exporter_exportnotice_changelist"),
            path("add/", wrap(add), name="exporter_exportnotice_add"),
            path("<int:notice_id>/", wrap(change), name="exporter_exportnotice_change"),
            path("<int:notice_id>/delete/", wrap(delete), name="exporter_exportnotice_delete"),
            path("<int:notice_id>/test/", wrap(test), name="exporter_exportnotice_test"),
            path("<int:notice_id>/secret/", wrap(secret), name="exporter_exportnotice_secret"),
            path("<int:notice_id>/again/<int:delivery_id>/", wrap(again), name="exporter_exportnotice_again"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_add = cast("User", request.user).has_perm("exporter.add_exportnotice")
        shown = {"title": "Notices of exports", "may_add": may_add}
        page: HttpResponse = super().changelist_view(request, {**shown, **(extra_context or {})})
        return page

    @admin.display(description="notice", ordering="name")
    def shown_name(self, notice: ExportNotice) -> str:
        address = reverse("admin:exporter_exportnotice_change", args=[notice.pk])
        return format_html('<a class="rh-link" href="{}">{}</a>', address, notice.name)

    @admin.display(description="mails")
    def mails(self, notice: ExportNotice) -> str:
        return ", ".join(notice.emails) or "-"

    @admin.display(description="hears of")
    def hears_of(self, notice: ExportNotice) -> str:
        ends = (
            (notice.on_success, "successes"), (notice.on_failure, "failures"), (notice.on_missed, "missed hours"),
        )  # fmt: skip
        return ", ".join(word for is_heard, word in ends if is_heard) or "nothing"

    @display(description="state", label={"on": "success", "off": "warning"})
    def shown_state(self, notice: ExportNotice) -> tuple[str, str]:
        return ("on", "switched on") if notice.is_on else ("off", "switched off")

    @admin.display(description="last sent", ordering="last_sent")
    def last(self, notice: Any) -> Any:
        return notice.last_sent

    @display(description="not delivered", ordering="n_failed", label={"some": "danger"})
    def failed(self, notice: Any) -> Any:
        return ("some", f"{notice.n_failed:,} failed") if notice.n_failed else "none"


def _may(request: HttpRequest, what: str) -> User:
    user = cast("User", request.user)
    if not user.has_perm(f"exporter.{what}_exportnotice"):
        raise PermissionDenied("Who hears of exports is an owner's business here.")
    return user


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def add(request: HttpRequest) -> HttpResponse:
    """Make a notice; the answer shows its secret, this once."""
    user = _may(request, "add")
    form = NoticeForm(request.POST) if request.method == "POST" else NoticeForm()
    if form.is_bound and form.is_valid():
        try:
            notice, shown = notices.create_notice(values=form.values(), by=user)
        except notices.BadNotice as refused:
            form.show_faults(refused.faults)
        else:
            return _show(request, notice, NoticeForm(notice=notice), secret=shown)
    context = {"title": "Add a notice of exports", "form": form, "notice": None}
    return _page(request, "exporter/notice.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def change(request: HttpRequest, notice_id: int) -> HttpResponse:
    """Show and change a notice, with what was sent for it."""
    user = _may(request, "change" if request.method == "POST" else "view")
    notice = get_object_or_404(ExportNotice, pk=notice_id)
    if request.method != "POST":
        return _show(request, notice, NoticeForm(notice=notice))
    form, status, conflict = NoticeForm(request.POST, notice=notice), 422, ""
    if form.is_valid():
        try:
            notices.change_notice(
                notice=notice, values=form.values(), seen=form.cleaned_data["seen"] or 0, by=user
            )
        except notices.BadNotice as refused:
            form.show_faults(refused.faults)
        except notices.NoticeChanged as refused:
            status, conflict = refused.status, refused.message
        else:
            messages.info(request, "Stored.")
            return redirect("admin:exporter_exportnotice_change", notice.pk)
    return _show(request, notice, form, status=status, conflict=conflict)


def _show(
    request: HttpRequest,
    notice: ExportNotice,
    form: NoticeForm,
    *,
    status: int = 200,
    conflict: str = "",
    secret: str = "",
) -> HttpResponse:
    user = cast("User", request.user)
    state = request.GET.get("state", "")
    deliveries = notice.deliveries.select_related("run")
    if state in Delivery.State.values:
        deliveries = deliveries.filter(state=state)
    context = {
        "title": f"Notice: {notice}",
        "form": form,
        "notice": notice,
        "secret": secret,
        "conflict": conflict,
        "state": state,
        "states": Delivery.State.choices,
        "deliveries": Paginator(deliveries, ON_A_PAGE).get_page(request.GET.get("page")),
        "may_change": user.has_perm("exporter.change_exportnotice"),
        "may_delete": user.has_perm("exporter.delete_exportnotice"),
    }
    return _page(request, "exporter/notice.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, notice_id: int) -> HttpResponse:
    """Ask, then delete a notice."""
    user = _may(request, "delete")
    notice = get_object_or_404(ExportNotice, pk=notice_id)
    if request.method == "POST":
        notices.delete_notice(notice=notice, by=user)
        messages.info(request, f"The notice “{notice}” was deleted.")
        return redirect("admin:exporter_exportnotice_changelist")
    context = {"title": f"Delete the notice “{notice}”?", "notice": notice, "n": notice.deliveries.count()}
    return _page(request, "exporter/notice_delete.html", context)


@require_POST
def test(request: HttpRequest, notice_id: int) -> HttpResponse:
    """Send a test on each channel."""
    user = _may(request, "change")
    notice = get_object_or_404(ExportNotice, pk=notice_id)
    notices.send_test(notice=notice, by=user)
    messages.info(
        request, "A test is on its way. What becomes of it stands below; load the page again to see."
    )
    return redirect("admin:exporter_exportnotice_change", notice.pk)


@require_POST
@never_cache
def secret(request: HttpRequest, notice_id: int) -> HttpResponse:
    """Give the notice another secret, and show it this once."""
    user = _may(request, "change")
    notice = get_object_or_404(ExportNotice, pk=notice_id)
    seen = request.POST.get("seen", "")
    try:
        shown = notices.renew_secret(
            notice=notice, seen=int(seen) if seen.isascii() and seen.isdigit() else 0, by=user
        )
    except notices.NoticeChanged as refused:
        return _show(
            request, notice, NoticeForm(notice=notice), status=refused.status, conflict=refused.message
        )
    notice.refresh_from_db()
    return _show(request, notice, NoticeForm(notice=notice), secret=shown)


@require_POST
def again(request: HttpRequest, notice_id: int, delivery_id: int) -> HttpResponse:
    """Send a delivery once more."""
    user = _may(request, "change")
    delivery = get_object_or_404(Delivery, pk=delivery_id, notice=notice_id)
    try:
        notices.send_again(delivery=delivery, by=user)
        messages.info(request, "It is on its way again.")
    except RowhouseError as refused:
        messages.error(request, refused.message)
    return redirect("admin:exporter_exportnotice_change", notice_id)


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return render(request, template, {**tenant_site.each_context(request), **context}, status=status)

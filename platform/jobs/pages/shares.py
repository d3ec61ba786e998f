"""Work per tenant, on the operator site: how much, since when, and the tenant's share of the workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

from core.actions import CurrentActionChoices
from core.clock import now
from core.errors import RowhouseError
from core.lookups import ListedLookups
from jobs import services
from jobs.models import PUBLIC, TenantShare
from jobs.pages.figures import totals, with_figures
from jobs.pages.filters import WorkFilter
from jobs.pages.shown import duration

LATE = timedelta(minutes=5)
State = TenantShare.State
LABELS = {State.ACTIVE: "success", State.PAUSED: "warning"}
# How a tenant's state is changed, what the page says it does, and the event's last word.
VERBS: dict[str, tuple[Callable[[str], None], State, str, str]] = {
    "pause": (
        services.pause_tenant,
        State.PAUSED,
        "None of its jobs begins another slice, and it gets no hourly work, until it is resumed. Nothing is lost.",
        "paused",
    ),
    "resume": (services.resume_tenant, State.ACTIVE, "Its jobs go on where they stood.", "resumed"),
}


class NotPausable(RowhouseError):
    """The work of the platform itself is not paused: it sets up tenants."""

    code = "not-pausable"


class ShareForm(forms.ModelForm):  # type: ignore[type-arg] # not generic when it runs
    weight = forms.FloatField(
        validators=[MinValueValidator(0.1), MaxValueValidator(100)],
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.1"}),
        help_text="With 2, it gets twice the time of a tenant with 1 while both have work. 0.1 to 100.",
    )
    cap = forms.IntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="How many of its jobs run at once. 1 to 100.",
    )

    class Meta:
        model = TenantShare
        fields = ("weight", "cap")


class ShareAdmin(CurrentActionChoices, ListedLookups, ModelAdmin):
    """Each tenant's work in figures. Its state is changed by services; weight and cap by a form."""

    form = ShareForm
    fields = ("weight", "cap")
    list_display = (
        "tenant",
        "shown_state",
        "n_running",
        "n_queued",
        "n_failed",
        "oldest",
        "slot",
        "weight",
        "cap",
        "do",
    )
    list_filter = (WorkFilter,)
    list_filter_submit = True
    search_fields = ("slug", "schema")
    search_help_text = "Tenant"
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "jobs/share_list.html"
    list_before_template = "jobs/share_totals.html"
    change_form_before_template = "jobs/share_head.html"
    actions = ("pause_work", "resume_work")

    class Media:
        css = {"all": ("jobs/jobs.css",)}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path(f"<str:pk>/{verb}/", wrap(self.ask_view), {"verb": verb}, name=f"jobs_tenantshare_{verb}")
            for verb in VERBS
        ]
        return [*ours, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_figures(super().get_queryset(request))

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        return (F("oldest_at").asc(nulls_last=True), "slug")  # who has waited longest comes first

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        figures = totals()
        oldest = figures["oldest_at"]
        shown = {
            "title": "Work per tenant",
            "totals": figures,
            "oldest_age": _age(oldest) if oldest else "",
            "is_late": _is_late(oldest),
        }
        return super().changelist_view(request, {**shown, **(extra_context or {})})  # type: ignore[no-any-return]

    @admin.display(description="tenant", ordering="slug")
    def tenant(self, share: Any) -> str:
        return share.slug or "the platform"

    @display(description="state", ordering="state", label=LABELS)
    def shown_state(self, share: Any) -> tuple[str, str]:
        return share.state, share.get_state_display()

    @admin.display(description="running", ordering="running")
    def n_running(self, share: Any) -> str:
        return _jobs_link(share, share.running, "running")

    @admin.display(description="queued", ordering="queued")
    def n_queued(self, share: Any) -> str:
        return _jobs_link(share, share.queued, "active")

    @admin.display(description="failed (24 h)", ordering="failed")
    def n_failed(self, share: Any) -> str:
        return _jobs_link(share, share.failed, "failed-lately", "jb-old" if share.failed else "")

    @admin.display(description="oldest waiting", ordering="oldest_at")
    def oldest(self, share: Any) -> str:
        if share.oldest_at is None:
            return "-"
        return format_html(
            '<span class="jb-time {}" title="since {} UTC">{}</span>',
            "jb-old" if _is_late(share.oldest_at) else "",
            f"{share.oldest_at:%Y-%m-%d %H:%M:%S}",
            _age(share.oldest_at),
        )

    @admin.display(description="last slot asked for (UTC)")
    def slot(self, share: Any) -> str:
        return share.last_slot[:16].replace("T", " ") if share.last_slot else "none yet"

    @admin.display(description="")
    def do(self, share: Any) -> str:
        if share.pk == PUBLIC:
            return ""
        verb = "resume" if share.state == State.PAUSED else "pause"
        address = reverse(f"operator:jobs_tenantshare_{verb}", args=[share.pk])
        return format_html('<a class="rh-button jb-small" href="{}">{}</a>', address, verb.capitalize())

    # ---- pausing and resuming

    def ask_view(self, request: HttpRequest, pk: str, verb: str) -> HttpResponse:
        """Ask whether it is meant, then do it: nothing changes by following a link."""
        share = TenantShare.objects.filter(pk=pk).first()
        if share is None:
            raise Http404("There is no such tenant.")
        _, _, effect, _ = VERBS[verb]
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "title": f"{verb.capitalize()} the work of {share}?",
                "effect": effect,
                "yes": verb.capitalize(),
                "back": reverse("operator:jobs_tenantshare_changelist"),
                "is_danger": verb == "pause",
            }
            return render(request, "core/confirm.html", context)
        try:
            if self.move(request, share, verb):
                messages.info(request, f"{share}: {effect}")
            else:
                messages.warning(
                    request, f"The work of {share} is {share.get_state_display().lower()} already."
                )
        except RowhouseError as refused:
            messages.warning(request, refused.message)
        return HttpResponseRedirect(reverse("operator:jobs_tenantshare_changelist"))

    @admin.action(description="Pause", permissions=["change"])
    def pause_work(self, request: HttpRequest, shares: QuerySet[Any]) -> None:
        self._each(request, shares, "pause")

    @admin.action(description="Resume", permissions=["change"])
    def resume_work(self, request: HttpRequest, shares: QuerySet[Any]) -> None:
        self._each(request, shares, "resume")

    def _each(self, request: HttpRequest, shares: QuerySet[Any], verb: str) -> None:
        count = 0
        for share in shares:
            try:
                count += self.move(request, share, verb)
            except RowhouseError as refused:
                messages.warning(request, refused.message)
        messages.info(request, f"{count} of the chosen tenants {VERBS[verb][3]}.")

    @transaction.atomic
    def move(self, request: HttpRequest, share: TenantShare, verb: str) -> bool:
        """Pause or resume a tenant's work and note who did; False when it stood so already.

        :raises NotPausable: it is the platform's own.
        """
        do, new, _, past = VERBS[verb]
        if share.pk == PUBLIC:
            raise NotPausable("The platform's own work sets tenants up; it is never paused.")
        now_is = TenantShare.objects.select_for_update().get(pk=share.pk).state
        if now_is == new:
            return False
        do(share.pk)
        self.log_moved(request, share, past)
        return True

    # ---- weight and cap

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        share = TenantShare.objects.filter(pk=object_id).first()
        if share is None:
            raise Http404("There is no such tenant.")
        shown = {"title": f"Work of {share}", "share": share, "is_platform": share.pk == PUBLIC}
        kept = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().change_view(  # type: ignore[no-any-return]
            request, object_id, form_url, {**shown, **kept, **(extra_context or {})}
        )

    def save_model(self, request: HttpRequest, obj: TenantShare, form: Any, change: bool) -> None:
        if not change:
            raise PermissionDenied
        if not form.changed_data:
            return
        with transaction.atomic():
            # These two alone: workers move the share's other columns meanwhile.
            obj.save(update_fields=["weight", "cap"])
            before = {name: form.initial[name] for name in form.changed_data}
            after = {name: form.cleaned_data[name] for name in form.changed_data}
            self.log_moved(request, obj, "share-changed", before=before, after=after)

    def log_moved(self, request: HttpRequest, share: TenantShare, past: str, **data: Any) -> None:
        """Note who did what ("paused", "resumed", "share-changed"). The project records an event here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _jobs_link(share: TenantShare, count: int, state: str, css: str = "") -> str:
    if not count:
        return "0"
    query = urlencode({"tenant": share.slug or "-", "state": state})
    address = f"{reverse('operator:jobs_job_changelist')}?{query}"
    return format_html('<a class="rh-link {}" href="{}">{}</a>', css, address, f"{count:,}")


def _age(at: datetime) -> str:
    return duration((now() - at).total_seconds())


def _is_late(at: datetime | None) -> bool:
    return at is not None and now() - at > LATE

"""The operators' pages of jobs: look, cancel, start again. Registered by the project, which knows the site."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from core.actions import CurrentActionChoices
from core.clock import now
from core.errors import RowhouseError
from core.lookups import ListedLookups
from core.readonly import ReadOnly
from jobs import services
from jobs.models import ACTIVE, Job, State, TenantShare
from jobs.pages.filters import KindFilter, StateFilter, TenantFilter
from jobs.pages.shown import Shown, duration, shown, target_words, title_of

LIVE_SECONDS = 3
MOST_WATCHED = 100
ASKS: dict[str, tuple[Callable[[int], Any], str, str, str]] = {
    "cancel": (
        services.cancel,
        "Cancel",
        "It ends before its next slice. What it has committed stays; an import that is merging is undone whole.",
        "{} will end before the next slice.",
    ),
    "retry": (
        services.retry,
        "Start again",
        "It is queued again and goes on from the last slice that was committed, or from where its app can begin.",
        "{} is queued again, from where it stood.",
    ),
}


class JobAdmin(ReadOnly, CurrentActionChoices, ListedLookups, ModelAdmin):
    """Every tenant's jobs, newest first. Rows are the workers' own: nothing here can be typed in."""

    list_display = (
        "number",
        "state_cell",
        "work",
        "tenant_link",
        "progress_cell",
        "attempts_cell",
        "age",
        "started_cell",
        "finished_cell",
        "holder_cell",
    )
    list_display_links = None
    list_filter = (StateFilter, KindFilter, TenantFilter)
    list_filter_submit = True
    list_fullwidth = True
    search_fields = ("=id", "kind", "slug", "schema", "target", "error_code", "error", "worker")
    search_help_text = "Number, kind, tenant, target, error or worker"
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "jobs/job_list.html"
    actions = ("cancel_jobs", "retry_jobs")

    class Media:
        css = {"all": ("jobs/jobs.css",)}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("live/", wrap(self.live_view), name="jobs_job_live"),
            path("<int:pk>/cancel/", wrap(self.ask_view), {"verb": "cancel"}, name="jobs_job_cancel"),
            path("<int:pk>/again/", wrap(self.ask_view), {"verb": "retry"}, name="jobs_job_again"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        paused = TenantShare.objects.filter(pk=OuterRef("schema"), state=TenantShare.State.PAUSED)
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs.annotate(is_paused=Exists(paused))

    # ---- the list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer: Any = super().changelist_view(request, {"title": "Jobs", **(extra_context or {})})
        if getattr(answer, "context_data", None) and "cl" in answer.context_data:
            answer.context_data |= _watching(answer.context_data["cl"].result_list)
        return answer  # type: ignore[no-any-return]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the cells of the jobs on somebody's page that had not ended; 286 stops the asking."""
        pks = [int(word) for word in request.GET.get("jobs", "").split(",") if _is_number(word)]
        jobs = list(self.get_queryset(request).filter(pk__in=pks[:MOST_WATCHED]))
        watching = _watching(jobs)
        context = {**watching, "rows": [_shown(job) for job in jobs], "for_operators": True}
        return render(request, "jobs/live.html", context, status=200 if watching["live_url"] else 286)

    @admin.display(description="job", ordering="pk")
    def number(self, job: Job) -> str:
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a>', _page_of(job.pk), job.pk
        )

    @admin.display(description="state", ordering="state")
    def state_cell(self, job: Job) -> str:
        return _cell("state", job)

    @admin.display(description="work", ordering="kind")
    def work(self, job: Job) -> str:
        return format_html('{}<br><span class="rh-note">{}</span>', title_of(job.kind), target_words(job))

    @admin.display(description="tenant", ordering="slug")
    def tenant_link(self, job: Job) -> str:
        return job.slug or "the platform"

    @admin.display(description="progress", ordering="processed")
    def progress_cell(self, job: Job) -> str:
        return _cell("progress", job)

    @admin.display(description="attempts", ordering="attempts")
    def attempts_cell(self, job: Job) -> str:
        return _cell("attempts", job)

    @admin.display(description="age", ordering="-created_at")
    def age(self, job: Job) -> str:
        return format_html(
            '<time datetime="{}" class="jb-time">{}</time>', job.created_at.isoformat(), _age(job)
        )

    @admin.display(description="started (UTC)", ordering="started_at")
    def started_cell(self, job: Job) -> str:
        return _cell("started", job)

    @admin.display(description="ended (UTC)", ordering="finished_at")
    def finished_cell(self, job: Job) -> str:
        return _cell("finished", job)

    @admin.display(description="held by", ordering="worker")
    def holder_cell(self, job: Job) -> str:
        return _cell("holder", job)

    # ---- one job

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self._job(request, int(object_id) if _is_number(object_id) else 0)
        context = {
            "job": job,
            "one": _shown(job),
            "rows": [_shown(job)],
            "kind_title": title_of(job.kind),
            "target": target_words(job),
            "facts": _facts(job),
            "payload": json.dumps(job.payload, indent=2, sort_keys=True, ensure_ascii=False),
            "cursor": json.dumps(job.cursor, indent=2, sort_keys=True, ensure_ascii=False),
            "events": self.events_of(job),
            "may_cancel": job.state in ACTIVE and not job.cancel_requested,
            "may_retry": job.state in (State.FAILED, State.CANCELLED),
            **_watching([job]),
        }
        return self._render(request, "jobs/job.html", f"Job {job.pk}: {title_of(job.kind)}", context)

    def ask_view(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Ask whether it is meant, then do it: nothing changes by following a link."""
        job = self._job(request, pk)
        ask, words, effect, done = ASKS[verb]
        if request.method != "POST":
            context = {"effect": effect, "yes": words, "back": _page_of(pk), "is_danger": verb == "cancel"}
            return self._render(request, "core/confirm.html", f"{words}: job {pk}?", context)
        try:
            if self._ask(request, job, ask):
                messages.info(request, done.format(f"Job {pk}"))
            else:
                messages.warning(request, f"Job {pk} had ended already; nothing was changed.")
        except RowhouseError as refused:
            messages.warning(request, refused.message)
        return HttpResponseRedirect(_page_of(pk))

    @admin.action(description="Cancel", permissions=["view"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._each(request, jobs, "cancel")

    @admin.action(description="Start again", permissions=["view"])
    def retry_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._each(request, jobs, "retry")

    def _each(self, request: HttpRequest, jobs: QuerySet[Job], verb: str) -> None:
        ask, _, _, done = ASKS[verb]
        count = 0
        for job in jobs:
            try:
                count += self._ask(request, job, ask)
            except RowhouseError as refused:
                messages.warning(request, f"Job {job.pk}: {refused.message}")
        messages.info(request, done.format(f"{count} job" if count == 1 else f"Each of {count} jobs"))

    def _ask(self, request: HttpRequest, job: Job, ask: Callable[[int], Any]) -> bool:
        with transaction.atomic():
            was_done = bool(ask(job.pk))
            if was_done:
                self.log_asked(request, job, ask.__name__)
        return was_done

    def log_asked(self, request: HttpRequest, job: Job, verb: str) -> None:
        """Note who asked what ("cancel", "retry") of a job. The project records an event here."""

    def events_of(self, job: Job) -> Iterable[Any]:
        """Return what operators did with a job, newest first; the project knows where events are."""
        return ()

    def _job(self, request: HttpRequest, pk: int) -> Job:
        job: Job | None = self.get_queryset(request).filter(pk=pk).first()
        if job is None:
            raise Http404("There is no such job; old ones are removed some time after their end.")
        return job

    def _render(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name  # as Django's own admin does
        shared = {**self.admin_site.each_context(request), "title": title, "opts": Job._meta}
        return render(request, template, {**shared, **context})


def _watching(jobs: Iterable[Job]) -> dict[str, Any]:
    active = ",".join(str(job.pk) for job in jobs if not job.has_ended)
    address = f"{reverse('operator:jobs_job_live')}?jobs={active}" if active else ""
    return {"live_url": address, "live_seconds": LIVE_SECONDS}


def _shown(job: Job) -> Shown:
    return shown(job, now(), is_paused=getattr(job, "is_paused", False))


def _cell(name: str, job: Job) -> str:
    return render_to_string(f"jobs/cells/{name}.html", {"one": _shown(job)})


def _age(job: Job) -> str:
    return duration((now() - job.created_at).total_seconds())


def _facts(job: Job) -> list[tuple[str, Any]]:
    return [
        ("Kind", job.kind),
        ("Tenant", job.slug or "the platform"),
        ("Schema", job.schema),
        ("Target", job.target),
        ("Idempotency key", job.idem_key or "-"),
        ("Priority", job.priority),
        ("Slices committed", job.step),
        ("Attempts since then", job.attempts),
        ("Seconds worked", f"{job.busy_seconds:,.1f}"),
        ("Asked for", job.created_at),
        ("Not before", job.not_before),
        ("Started", job.started_at or "-"),
        ("Ended", job.finished_at or "-"),
        ("Taken last by", job.worker or "-"),
        ("Lease", job.lease or "nobody holds it"),
        ("Lease until", job.lease_until or "-"),
    ]


def _page_of(pk: int) -> str:
    return reverse("operator:jobs_job_change", args=[pk])


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 19

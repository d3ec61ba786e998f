"""The operators' page of jobs: look, cancel, start again. Registered by the project, which knows the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from core.actions import CurrentActionChoices
from core.errors import RowhouseError
from core.lookups import ListedLookups
from jobs import services
from jobs.models import Job


class JobAdmin(CurrentActionChoices, ListedLookups, ModelAdmin):
    """Every tenant's jobs, newest first. Rows are the workers' own: nothing here can be typed in."""

    list_display = (
        "id",
        "kind",
        "slug",
        "target",
        "state",
        "progress",
        "attempts",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "kind", "slug")
    search_fields = ("=id", "kind", "slug", "schema", "target", "error_code", "error")
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    actions = ("cancel_jobs", "retry_jobs")

    @admin.display(description="processed")
    def progress(self, job: Job) -> str:
        return f"{job.processed:,} of {job.total:,}" if job.total is not None else f"{job.processed:,}"

    @admin.action(description="Cancel", permissions=["view"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._each(request, jobs, services.cancel, "{} jobs will end before their next slice.")

    @admin.action(description="Start again", permissions=["view"])
    def retry_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._each(request, jobs, services.retry, "{} jobs are queued again, from where they stood.")

    def _each(
        self, request: HttpRequest, jobs: QuerySet[Job], ask: Callable[[int], Any], sentence: str
    ) -> None:
        done = 0
        for job in jobs:
            try:
                if ask(job.pk):
                    done += 1
                    self.log_asked(request, job, ask.__name__)
            except RowhouseError as refused:
                messages.warning(request, refused.message)
        messages.info(request, sentence.format(done))

    def log_asked(self, request: HttpRequest, job: Job, verb: str) -> None:
        """Note who asked what ("cancel", "retry") of a job. The project records an event here."""

    def has_add_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

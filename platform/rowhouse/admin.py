"""Pages whose models lie below the two admin sites: events for a tenant and for operators, and background work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.operator_admin import WithoutLog
from accounts.operators.models import Operator
from accounts.sites import operator_site, tenant_site
from accounts.tokens.models import ApiToken
from audit.models import Event
from audit.services import record
from core.lookups import ListedLookups
from jobs.models import Job, TenantShare
from jobs.operator_admin import JobAdmin
from jobs.pages.shares import NotPausable, ShareAdmin
from rowhouse.api import pages as api_pages
from rowhouse.events.pages import OperatorEventAdmin, TenantEventAdmin
from rowhouse.work.admin import WorkAdmin
from tenants.entering import end_entries_of
from tenants.models import Tenant

MOST_EVENTS = 50


class OperatorJobAdmin(WithoutLog, JobAdmin):
    """Every tenant's background work."""

    def log_asked(self, request: HttpRequest, job: Job, verb: str) -> None:
        asked = {"cancel": "cancelled", "retry": "retried"}[verb]
        record(f"jobs.job.{asked}", actor=request.user, target=job, tenant=job.slug, kind=job.kind)

    def events_of(self, job: Job) -> Iterable[Event]:
        return Event.objects.filter(target_type=job._meta.label_lower, target_id=str(job.pk)).order_by("-pk")[
            :MOST_EVENTS
        ]


class OperatorShareAdmin(WithoutLog, ShareAdmin):
    """Every tenant's share of the workers."""

    @transaction.atomic
    def move(self, request: HttpRequest, share: TenantShare, verb: str) -> bool:
        TenantShare.objects.select_for_update().get(pk=share.pk)  # a suspension waits, or has been seen
        suspended = Tenant.objects.filter(schema_name=share.pk).exclude(state=Tenant.State.ACTIVE)
        if verb == "resume" and suspended.exists():
            raise NotPausable(f"{share} is not served now, so its work rests. Resume the tenant itself.")
        return super().move(request, share, verb)

    def log_moved(self, request: HttpRequest, share: TenantShare, past: str, **data: Any) -> None:
        record(f"jobs.tenant.{past}", actor=request.user, target=share, tenant=share.slug, **data)


operator_site.register(Job, OperatorJobAdmin)
operator_site.register(TenantShare, OperatorShareAdmin)
tenant_site.register(Job, WorkAdmin)
tenant_site.register(ApiToken, api_pages.ApiTokenAdmin)


tenant_site.register(Event, TenantEventAdmin)
operator_site.register(Event, OperatorEventAdmin)


@admin.register(Operator, site=operator_site)
class OperatorAdmin(WithoutLog, ListedLookups, ModelAdmin):
    """Who runs the platform; `rowhouse create_operator` adds one."""

    list_display = ("email", "name", "is_active", "last_login")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "last_login", "created_at")
    readonly_fields = ("email", "last_login", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Operator, form: Any, change: bool) -> None:
        fields = ("email", "name", "is_active")
        before = Operator.objects.filter(pk=obj.pk).values(*fields).first()
        super().save_model(request, obj, form, change)
        after = {name: getattr(obj, name) for name in fields}
        record("accounts.operator.changed", actor=request.user, target=obj, before=before, after=after)
        if not obj.is_active:
            end_entries_of(operator=obj, by=request.user)

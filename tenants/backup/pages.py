"""Backups on the operator site, and what an operator does with them on a tenant's page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display

from accounts.operator_admin import WithoutLog
from accounts.sites import operator_site
from core.errors import RowhouseError
from core.filters import DayFilter
from core.lookups import ListedLookups, number_of
from core.readonly import ReadOnly
from tenants import deleting
from tenants.backup import services
from tenants.backup.models import TenantBackup
from tenants.models import Tenant

State, Verdict = TenantBackup.State, TenantBackup.Verdict
STATE_COLOURS = {
    "SUCCEEDED": "success",
    "FAILED": "danger",
    "QUEUED": "info",
    "RUNNING": "info",
    "REMOVED": "default",
}
VERDICT_COLOURS = {"GOOD": "success", "BAD": "danger", "": "default"}


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"
    conditions = {
        "kept": ("Can be restored", Q(state=State.SUCCEEDED, deleted_at=None)),
        "going": ("Being taken", Q(state__in=(State.QUEUED, State.RUNNING))),
        "failed": ("Failed", Q(state=State.FAILED)),
        "removed": ("Removed", Q(deleted_at__isnull=False)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TenantBackup]) -> QuerySet[TenantBackup]:
        chosen = self.conditions.get(str(self.value()))
        return queryset.filter(chosen[1]) if chosen else queryset


@admin.register(TenantBackup, site=operator_site)
class BackupAdmin(WithoutLog, ReadOnly, ListedLookups, ModelAdmin):
    """Every tenant's backups, the newest first."""

    list_display = ("number", "tenant_link", "shown_state", "trigger", "created_at", "size", "rows", "trial")
    list_filter = (StateFilter, "trigger", "verdict", ("created_at", DayFilter))
    list_filter_submit = True
    list_fullwidth = True
    list_display_links = None
    search_fields = ("=id", "tenant__slug", "tenant__name", "key", "path", "sha256", "error", "findings")
    search_help_text = "Number, tenant, place, sha256, error or finding"
    ordering = ("-id",)
    list_per_page = 50
    change_list_template = "tenants/backup_list.html"
    actions_detail = ("verify",)
    fields = (
        "tenant_link", "shown_state", "trigger", "asked_by", "created_at", "started_at", "finished_at", "taken_at",
        "place", "size", "rows", "tables", "sha256", "is_sealed", "version", "trial", "verified_at", "findings",
        "error", "deleted_at", "how_to_restore",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TenantBackup]:
        backups: QuerySet[TenantBackup] = super().get_queryset(request)
        return backups.select_related("tenant")

    @admin.display(description="backup", ordering="pk")
    def number(self, backup: TenantBackup) -> str:
        return format_html(
            '<a href="{}" class="font-semibold text-important">{}</a>', _page_of(backup), backup.pk
        )

    @admin.display(description="tenant", ordering="tenant__name")
    def tenant_link(self, backup: TenantBackup) -> str:
        page = reverse("operator:tenants_tenant_change", args=[backup.tenant_id])
        return format_html('<a href="{}">{}</a>', page, backup.tenant)

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, backup: TenantBackup) -> tuple[str, str]:
        return ("REMOVED", "removed") if backup.deleted_at else (backup.state, backup.get_state_display())

    @admin.display(description="size", ordering="bytes")
    def size(self, backup: TenantBackup) -> str:
        return filesizeformat(backup.bytes) if backup.bytes else "-"

    @display(description="restored on trial", ordering="verified_at", label=VERDICT_COLOURS)
    def trial(self, backup: TenantBackup) -> tuple[str, str]:
        when = f", {backup.verified_at:%Y-%m-%d}" if backup.verified_at else ""
        return backup.verdict, f"{backup.get_verdict_display()}{when}"

    @admin.display(description="place")
    def place(self, backup: TenantBackup) -> str:
        return backup.path or backup.key or "-"

    @admin.display(description="to restore it")
    def how_to_restore(self, backup: TenantBackup) -> str:
        if not backup.is_kept:
            return "It cannot be restored."
        return format_html(
            "<code>rowhouse restore_tenant {0} --as NEW-SLUG</code> as a new tenant,"
            " <code>rowhouse restore_tenant {0} --as {1} --replace</code> in place.",
            backup.path or backup.pk,
            backup.tenant.slug,
        )

    def has_verify_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return TenantBackup.objects.filter(
            pk=number_of(object_id), state=State.SUCCEEDED, deleted_at=None
        ).exists()

    @action(description="Restore on trial", icon="fact_check", permissions=["verify"])
    def verify(self, request: HttpRequest, object_id: int) -> HttpResponse:
        backup = get_object_or_404(TenantBackup, pk=number_of(object_id))
        effect = (
            "A worker restores it where nobody sees it, compares every row and sequence, and takes that back."
            " This page says what came of it."
        )
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "title": f"Restore {backup} on trial?",
                "effect": effect,
                "yes": "Yes",
                "back": _page_of(backup),
            }
            return render(request, "core/confirm.html", context)
        try:
            services.request_verification(backup=backup, by=request.user)
        except RowhouseError as error:
            messages.error(request, error.message)
        else:
            messages.info(request, effect)
        return HttpResponseRedirect(_page_of(backup))


def _page_of(backup: TenantBackup) -> str:
    return reverse("operator:tenants_tenantbackup_change", args=[backup.pk])


def back_up_tenant(*, tenant: Tenant, by: object) -> None:
    """Have a worker back up a tenant; named as the page asks about it."""
    services.request_backup(tenant=tenant, by=by)


def keep_tenant(*, tenant: Tenant, by: object) -> None:
    """Call off a tenant's deletion; named as the page asks about it."""
    deleting.call_off_deletion(tenant=tenant, by=by)


class BackupActions:
    """Mixin of the tenants' admin: backing up, deleting, and calling that off, by its own way of asking (`_do`)."""

    backup_actions = ("back_up", "delete_it", "keep")
    _do: Any

    def with_last_backup(self, tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
        """Give each tenant when its last good backup was taken, for `last_backup`."""
        good = TenantBackup.objects.filter(tenant=OuterRef("pk"), state=State.SUCCEEDED, deleted_at=None)
        last = Subquery(good.order_by("-pk").values("taken_at")[:1])
        found: QuerySet[Tenant] = tenants.annotate(last_backup_at=last)
        return found

    @admin.display(description="last backup", ordering="last_backup_at")
    def last_backup(self, tenant: Any) -> str:
        page = f"{reverse('operator:tenants_tenantbackup_changelist')}?q={tenant.slug}"
        taken_at = getattr(tenant, "last_backup_at", None)
        return format_html(
            '<a href="{}">{}</a>', page, f"{taken_at:%Y-%m-%d %H:%M} UTC" if taken_at else "none"
        )

    @admin.display(description="deletion")
    def deletion(self, tenant: Tenant) -> str:
        if tenant.state != Tenant.State.DELETING:
            return "-"
        if tenant.purge_after is None:
            return "its last backup is being taken and tried"
        return f"its data goes after {tenant.purge_after:%Y-%m-%d %H:%M} UTC"

    def has_back_up_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, *services.BACKED_UP)

    def has_delete_it_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        stopped = Q(state=Tenant.State.DELETING) & ~Q(error="")
        begun = Q(state__in=(Tenant.State.SUSPENDED, Tenant.State.FAILED))
        return Tenant.objects.filter(begun | stopped, pk=number_of(object_id)).exists()

    def has_keep_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, Tenant.State.DELETING)

    @action(description="Back up", icon="backup", permissions=["back_up"])
    def back_up(self, request: HttpRequest, object_id: int) -> HttpResponse:
        effect = (
            "A worker writes all it has, from one moment, into the platform's storage. Nobody waits for it."
        )
        return self._do(request, object_id, back_up_tenant, effect)  # type: ignore[no-any-return]

    @action(description="Delete", icon="delete", permissions=["delete_it"])
    def delete_it(self, request: HttpRequest, object_id: int) -> HttpResponse:
        effect = (
            "A worker takes its last backup and restores that on trial. After the time of grace its schema, roles and"
            " files go; until then the deletion can be called off. Its names stay taken."
        )
        return self._do(request, object_id, deleting.delete_tenant, effect)  # type: ignore[no-any-return]

    @action(description="Call off the deletion", icon="undo", permissions=["keep"])
    def keep(self, request: HttpRequest, object_id: int) -> HttpResponse:
        effect = "It is a suspended tenant again, with all it had."
        return self._do(request, object_id, keep_tenant, effect)  # type: ignore[no-any-return]


def _is_in(object_id: Any, *states: Tenant.State) -> bool:
    return Tenant.objects.filter(pk=number_of(object_id), state__in=states).exists()

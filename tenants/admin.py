"""Tenants on the operator site."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from accounts.operator_admin import WithoutLog
from accounts.sites import operator_site
from core.errors import RowhouseError
from core.lookups import ListedLookups, number_of
from tenants import services
from tenants.backup.pages import BackupActions
from tenants.models import Tenant
from tenants.operator_pages import AttentionFilter, Operated, listed

State = Tenant.State

STATE_COLOURS = {
    Tenant.State.ACTIVE: "success",
    Tenant.State.SUSPENDED: "warning",
    Tenant.State.FAILED: "danger",
    Tenant.State.REQUESTED: "info",
    Tenant.State.PROVISIONING: "info",
    Tenant.State.DELETING: "warning",
}


class NewTenantForm(forms.ModelForm):  # type: ignore[type-arg] # not generic when it runs
    """Asks for a tenant; a worker sets it up. `by` is the operator."""

    by: Any = None

    domain = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Where it is reached. Left empty: the slug under this platform's own domain.",
    )

    class Meta:
        model = Tenant
        fields = ("name", "slug", "owner_email")
        widgets = {
            "name": UnfoldAdminTextInputWidget(),
            "slug": UnfoldAdminTextInputWidget(),
            "owner_email": UnfoldAdminEmailInputWidget(),
        }
        help_texts = {
            "slug": "Its first domain and the prefix of its files. It can never be changed or used again."
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.instance = services.request_tenant(
                slug=cleaned["slug"],
                name=cleaned["name"],
                owner_email=cleaned["owner_email"],
                domain=cleaned.get("domain", ""),
                by=self.by,
            )
        except RowhouseError as error:
            raise forms.ValidationError(error.message) from None
        return cleaned

    def _post_clean(self) -> None:
        """The service has checked and saved; Django's own second look would find the slug taken by itself."""


@admin.register(Tenant, site=operator_site)
class TenantAdmin(Operated, BackupActions, WithoutLog, ListedLookups, ModelAdmin):
    """The platform's tenants. What changes one is a service; this page only calls it."""

    list_display = (
        "name",
        "shown_state",
        "space",
        "records",
        "work",
        "failures",
        "last_export",
        "last_backup",
        "exports",
        "primary_domain",
        "measured",
    )
    list_filter = (AttentionFilter, "state")
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "slug", "owner_email", "domains__domain", "schema_name")
    search_help_text = "Name, slug, owner, domain or schema"
    ordering = ("name",)
    change_form_before_template = "tenants/tenant_head.html"
    actions_detail = ("suspend", "resume", "retry", "invite", *BackupActions.backup_actions)
    fields = (
        "name",
        "slug",
        "owner_email",
        "state",
        "state_at",
        "exports",
        "last_backup",
        "deletion",
        "schema_name",
        "error",
        "created_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        tenants: QuerySet[Tenant] = super().get_queryset(request)
        return self.with_last_backup(listed(tenants).prefetch_related("domains"))

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, tenant: Tenant) -> tuple[str, str]:
        shown = tenant.get_state_display()
        is_read_only = getattr(tenant, "is_read_only", False) and tenant.state == State.ACTIVE
        return tenant.state, f"{shown}, read-only" if is_read_only else shown

    @admin.display(description="exports")
    def exports(self, tenant: Tenant) -> str:
        if tenant.state == State.ACTIVE:
            return "by their schedule"
        is_paused = tenant.state == State.SUSPENDED
        return f"paused since {tenant.state_at:%Y-%m-%d %H:%M} UTC" if is_paused else "none"

    @admin.display(description="domain")
    def primary_domain(self, tenant: Tenant) -> str:
        return next((one.domain for one in tenant.domains.all() if one.is_primary), "-")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "slug", "owner_email", "domain")})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            return type("NewTenantForm", (NewTenantForm,), {"by": request.user})
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """The form's service has saved it."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> Any:
        messages.info(request, f"{obj} is being set up. This page shows how far it is.")
        return HttpResponseRedirect(reverse("operator:tenants_tenant_change", args=[obj.pk]))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        # Nothing on the page is typed: what changes a tenant is an action.
        nothing_to_save = {
            "show_save": False,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
        }
        tenant = self.get_object(request, object_id)
        shown = self.page_of(tenant) if tenant is not None else {}
        return super().change_view(  # type: ignore[no-any-return]
            request, object_id, form_url, {**(extra_context or {}), **nothing_to_save, **shown}
        )

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, State.ACTIVE)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, State.SUSPENDED)

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, State.FAILED, State.REQUESTED)

    @action(description="Suspend", icon="pause_circle", permissions=["suspend"])
    def suspend(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._do(
            request,
            object_id,
            services.suspend_tenant,
            "Its people see a notice instead of their admin, its jobs wait and it is not exported. Its data stays.",
        )

    @action(description="Resume", icon="play_circle", permissions=["resume"])
    def resume(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._do(
            request, object_id, services.resume_tenant, "Its people are let in again and its jobs go on."
        )

    @action(description="Set up again", icon="replay", permissions=["retry"])
    def retry(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._do(
            request,
            object_id,
            services.provision_again,
            "A worker makes its schema, tables, roles and owner.",
        )

    def has_invite_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return _is_in(object_id, State.ACTIVE)

    @action(description="Invite the owner", icon="mail", permissions=["invite"])
    def invite(self, request: HttpRequest, object_id: int) -> HttpResponse:
        def invite_owner(*, tenant: Tenant, by: Any) -> None:
            link = services.invite_owner(tenant=tenant, by=by)
            messages.info(request, f"Give this link to {tenant.owner_email}; it is shown once: {link}")

        return self._do(
            request,
            object_id,
            invite_owner,
            "The owner chooses a password by a link that works once, for seven days.",
        )

    def _do(self, request: HttpRequest, object_id: int, verb: Any, effect: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=number_of(object_id))
        if request.method != "POST":  # unfold's actions are links; nothing changes by following one
            title = f"{verb.__name__.removesuffix('_tenant').replace('_', ' ').capitalize()} {tenant}?"
            context = {
                **self.admin_site.each_context(request),
                "title": title,
                "effect": effect,
                "yes": "Yes",
                "back": reverse("operator:tenants_tenant_change", args=[tenant.pk]),
            }
            return render(request, "core/confirm.html", context)
        try:
            verb(tenant=tenant, by=request.user)
        except RowhouseError as error:
            messages.error(request, error.message)
        else:
            messages.info(request, effect)
        return HttpResponseRedirect(reverse("operator:tenants_tenant_change", args=[object_id]))


def _is_in(object_id: Any, *states: State) -> bool:
    return Tenant.objects.filter(pk=number_of(object_id), state__in=states).exists()

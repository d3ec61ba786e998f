"""Tenants on the operator site."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from accounts.sites import operator_site
from core.errors import RowhouseError
from jobs import services as jobs
from tenants import services
from tenants.models import Domain, Tenant

STATE_COLOURS = {
    Tenant.State.ACTIVE: "success",
    Tenant.State.SUSPENDED: "warning",
    Tenant.State.FAILED: "danger",
    Tenant.State.REQUESTED: "info",
    Tenant.State.PROVISIONING: "info",
}


class NewTenantForm(forms.ModelForm):  # type: ignore[type-arg] # not generic when it runs
    """Asks for a tenant; a worker sets it up."""

    domain = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Where it is reached. Left empty: the slug under this platform's own domain.",
    )

    class Meta:
        model = Tenant
        fields = ("name", "slug", "owner_email")
        widgets = {"owner_email": UnfoldAdminEmailInputWidget()}

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
            )
        except RowhouseError as error:
            raise forms.ValidationError(error.message) from None
        return cleaned

    def _post_clean(self) -> None:
        """The service has checked and saved; Django's own second look would find the slug taken by itself."""


class DomainInline(TabularInline):
    model = Domain
    extra = 0
    fields = ("domain", "is_primary", "created_at")
    readonly_fields = ("domain", "is_primary", "created_at")
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Tenant, site=operator_site)
class TenantAdmin(ModelAdmin):
    """The platform's tenants. What changes one is a service; this page only calls it."""

    list_display = ("name", "slug", "shown_state", "primary_domain", "owner_email", "created_at")
    list_filter = ("state",)
    search_fields = ("name", "slug", "owner_email", "domains__domain")
    ordering = ("name",)
    inlines = (DomainInline,)
    actions_detail = ("suspend", "resume", "retry")
    fields = ("name", "slug", "owner_email", "state", "state_at", "schema_name", "error", "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        tenants: QuerySet[Tenant] = super().get_queryset(request)
        return tenants.prefetch_related("domains")

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, tenant: Tenant) -> tuple[str, str]:
        return tenant.state, tenant.get_state_display()

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
            return NewTenantForm
        return super().get_form(request, obj, change, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else self.inlines

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """The form's service has saved it."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> Any:
        messages.info(request, f"{obj} is being set up. This page shows how far it is.")
        return HttpResponseRedirect(reverse("operator:tenants_tenant_change", args=[obj.pk]))

    # No LogEntry table in public: events say who did what.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None: ...
    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None: ...
    def log_deletions(self, request: HttpRequest, queryset: Any) -> None: ...

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @action(description="Suspend", icon="pause_circle")
    def suspend(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._do(request, object_id, services.suspend_tenant, "is suspended. Its people see a notice.")

    @action(description="Resume", icon="play_circle")
    def resume(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._do(request, object_id, services.resume_tenant, "is active again.")

    @action(description="Set up again", icon="replay")
    def retry(self, request: HttpRequest, object_id: int) -> HttpResponse:
        def submit(*, tenant: Tenant, by: object) -> None:
            """Set a tenant up that was requested or failed."""
            if tenant.state not in {Tenant.State.FAILED, Tenant.State.REQUESTED}:
                raise services.WrongState(
                    f"{tenant} is {tenant.get_state_display()}; there is nothing to set up."
                )
            jobs.submit("tenants.provision", target=tenant.schema_name, payload={"tenant": tenant.pk})

        return self._do(request, object_id, submit, "is being set up.")

    def _do(self, request: HttpRequest, object_id: int, verb: Any, said: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=object_id)
        if request.method != "POST":  # unfold's actions are links; nothing changes by following one
            context = {**self.admin_site.each_context(request), "title": f"{verb.__doc__}", "tenant": tenant}
            return render(request, "tenants/confirm.html", context)
        try:
            verb(tenant=tenant, by=request.user)
        except RowhouseError as error:
            messages.error(request, error.message)
        else:
            messages.info(request, f"{tenant} {said}")
        return HttpResponseRedirect(reverse("operator:tenants_tenant_change", args=[object_id]))

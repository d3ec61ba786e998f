"""The pages of destinations: the list, one to enter and change them, and a test of one that is kept."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from accounts.models import User
from accounts.sites import tenant_site
from core.errors import RowhouseError
from core.lookups import ListedLookups
from core.words import count
from exporter import destinations
from exporter.destination_forms import DestinationForm
from exporter.models import Destination, ExportFile, ExportSettings

LIST = "admin:exporter_destination_changelist"


class OutcomeFilter(DropdownFilter):
    title = "last test"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("fine", "Fine"), ("failed", "Failed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Destination]) -> QuerySet[Destination]:
        match self.value():
            case "fine":
                return queryset.filter(error="")
            case "failed":
                return queryset.exclude(error="")
        return queryset


@admin.register(Destination, site=tenant_site)
class DestinationAdmin(ListedLookups, ModelAdmin):
    """Buckets of the tenant's own. Their forms are pages of ours: each save is tested first."""

    actions = None
    change_list_template = "exporter/destination_list.html"
    list_display = ("name", "where", "tenants_folder", "outcome", "tested_at", "named_by")
    list_filter = (OutcomeFilter,)
    search_fields = ("name", "bucket", "endpoint")
    search_help_text = "Name, bucket or endpoint"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("add/", wrap(add), name="exporter_destination_add"),
            path("<int:pk>/change/", wrap(change), name="exporter_destination_change"),
            path("<int:pk>/test/", wrap(test_again), name="exporter_destination_test"),
            path("<int:pk>/delete/", wrap(delete), name="exporter_destination_delete"),
            *[one for one in super().get_urls() if (one.name or "").endswith("_changelist")],
        ]

    @admin.display(description="bucket", ordering="bucket")
    def where(self, destination: Destination) -> str:
        return f"{destination.bucket} at {destination.endpoint or 'Amazon S3'}"

    @admin.display(description="folder", ordering="prefix")
    def tenants_folder(self, destination: Destination) -> str:
        return destinations.folder_of(destination)

    @display(description="last test", label={"fine": "success", "failed": "danger"})
    def outcome(self, destination: Destination) -> tuple[str, str]:
        return ("failed", "failed") if destination.error else ("fine", "fine")

    @admin.display(description="named by")
    def named_by(self, destination: Destination) -> str:
        named = ExportSettings.objects.filter(destination=destination).count()
        return count(named, "setting") if named else "no settings"


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Enter a destination."""
    _require(request, "add")
    form = DestinationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = destinations.create_destination(entered=form.entered(), by=_user(request))
        except RowhouseError as refused:
            _note(form, refused)
        else:
            messages.success(
                request,
                f"“{made}” was tested and kept. Choose it in the settings of exports to send files there.",
            )
            return redirect(LIST)
    return _page(request, form, None)


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a destination, and change it."""
    _require(request, "change" if request.method == "POST" else "view")
    destination = get_object_or_404(Destination, pk=pk)
    form = DestinationForm(request.POST or None, destination=destination)
    if request.method == "POST" and form.is_valid():
        try:
            version = form.cleaned_data["version"] or 0
            destinations.change_destination(
                destination=destination, version=version, entered=form.entered(), by=_user(request)
            )
        except RowhouseError as refused:
            _note(form, refused)
        else:
            messages.success(request, f"“{form.cleaned_data['name']}” was tested and is changed.")
            return redirect(LIST)
    return _page(request, form, destination)


@require_POST
def test_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a destination as it is kept."""
    _require(request, "change")
    destination = get_object_or_404(Destination, pk=pk)
    tested = destinations.check_destination(destination=destination, by=_user(request))
    if tested.error:
        messages.error(request, f"{tested.error} Nothing is sent to “{tested}” until a test succeeds.")
    else:
        messages.success(request, f"“{tested}” can be written to, read, listed and removed from.")
    return redirect("admin:exporter_destination_change", pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget a destination that nothing depends on."""
    _require(request, "delete")
    destination = get_object_or_404(Destination, pk=pk)
    given = request.POST.get("version", "")
    try:
        version = int(given) if given.isdecimal() and len(given) < 10 else 0
        destinations.delete_destination(destination=destination, version=version, by=_user(request))
    except RowhouseError as refused:
        messages.error(request, refused.message)
        return redirect("admin:exporter_destination_change", pk)
    messages.success(request, f"“{destination}” is forgotten. What lies in the bucket stays there.")
    return redirect(LIST)


def _note(form: DestinationForm, refused: RowhouseError) -> None:
    form.refuse(refused.message, getattr(refused, "field", ""))


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)  # the admin site lets nobody else in


def _require(request: HttpRequest, act: str) -> None:
    if not _user(request).has_perm(f"exporter.{act}_destination"):
        raise PermissionDenied("Only an owner says where exports are sent.")


def _page(request: HttpRequest, form: DestinationForm, destination: Destination | None) -> HttpResponse:
    user = _user(request)
    context: dict[str, Any] = {
        **tenant_site.each_context(request),
        "title": str(destination) if destination else "New destination",
        "form": form,
        "destination": destination,
        "folder": destinations.folder_of(destination) if destination else "",
        "files": ExportFile.objects.stored().filter(destination=destination).count() if destination else 0,
        "may_save": user.has_perm(f"exporter.{'change' if destination else 'add'}_destination"),
        "may_delete": destination is not None and user.has_perm("exporter.delete_destination"),
    }
    return render(request, "exporter/destination.html", context, status=422 if form.is_bound else 200)

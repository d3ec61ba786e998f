"""The pages of imports into a plain model, at the addresses of its own proxy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from core.filters import DayFilter
from importer.addresses import names
from importer.admin import pages
from importer.admin.jobs import ImportJobAdmin, WhoFilter
from importer.admin.places import page, to
from importer.admin.tabs import number
from importer.forms import ModelUploadForm
from importer.models import UNCONFIRMED, ImportJob
from importer.rights import jobs_for
from importer.targets import rights
from importer.targets.services import create_model_import


class ModelImportAdmin(ImportJobAdmin):
    """Lists the imports into one plain model; register it on the tenant's site for the proxy of `ImportJob`.

    Who may see, add or change the model's records may see these pages; sync and undo are not offered.
    """

    list_display = ("file", "state_label", "records", "rows", "rejected", "who", "uploaded")
    list_filter = (("state", ChoicesDropdownFilter), WhoFilter, ("created_at", DayFilter))
    search_fields = ("file_name", "sha256", "created_by__email")
    search_help_text = "File name, who, or the file’s sha256"

    @property
    def target(self) -> str:
        return str(self.model.target_model._meta.label_lower)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # Not those of ImportJobAdmin itself: there is nothing to undo, and no dataset to have rules.
        return [
            self.at("upload/", self.upload, "upload"),
            *self.urls_of_one(),
            *super(ImportJobAdmin, self).get_urls(),
        ]

    def at(self, route: str, view: Any, name: str) -> URLPattern:
        return super().at(route, self._of_ours(view) if "<int:pk>" in route else view, name)

    def _of_ours(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        """Return the view for our imports alone: any other has its pages elsewhere."""

        @wraps(view)
        def checked(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
            if not self.get_queryset(request).filter(pk=pk).exists():
                raise Http404
            return view(request, pk, site=site)

        return checked

    # ---- who: by the rights on the model's records

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        return jobs_for(request.user).filter(target=self.target)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None:
            return self.get_queryset(request).filter(pk=obj.pk).exists()
        return bool(rights.rights_of(request.user, self.model))

    # ---- the pages that differ

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": str(self.opts.verbose_name_plural).capitalize(),
            "may_upload": rights.may_import(request.user, self.model),
            "upload_url": reverse(f"admin:{names(self.target)}_upload"),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.get_queryset(request).filter(pk=number(object_id)).exists():
            raise Http404
        return super().change_view(request, object_id, form_url, extra_context)

    @method_decorator(require_http_methods(["GET", "POST"]))
    def upload(self, request: HttpRequest, site: AdminSite) -> HttpResponse:
        """Choose a file; where it goes is plain."""
        title = str(self.model.target_model._meta.verbose_name_plural)
        if not rights.may_import(request.user, self.model):
            raise PermissionDenied(f"You may not import {title}.")
        form = ModelUploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid() and (job := self._created(request, form)):
            return to(job)
        context = {
            "form": form,
            "into": title,
            "waiting": self.get_queryset(request).filter(state__in=UNCONFIRMED)[: pages.SHOWN_PREVIEWS],
            "list_url": reverse(f"admin:{names(self.target)}_changelist"),
        }
        status = 422 if request.method == "POST" else 200
        return page(request, site, "upload", f"Import {title}", context, status=status)

    def _created(self, request: HttpRequest, form: ModelUploadForm) -> ImportJob | None:
        return pages.created_or_told(request, form, partial(create_model_import, proxy=self.model))

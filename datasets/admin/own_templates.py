"""The pages of a tenant's own templates."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST
from unfold.widgets import UnfoldAdminTextInputWidget

from core.errors import RowhouseError
from datasets import templates_of_tenant
from datasets.admin.places import page, person, require_adding, viewable
from datasets.models import DatasetTemplate
from datasets.rules import MAX_TITLE


class TemplateForm(forms.Form):
    """What a template is called and good for."""

    title = forms.CharField(max_length=MAX_TITLE, widget=UnfoldAdminTextInputWidget())
    description = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget())


@require_http_methods(["GET", "POST"])
def save(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Keep a dataset's definition as a template of this tenant."""
    dataset = viewable(request, dataset_id)
    require_adding(request)
    form, status = TemplateForm(request.POST or None, initial={"title": dataset.title}), 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made = templates_of_tenant.save_as_template(
                    dataset=dataset, by=person(request), **form.cleaned_data
                )
            except RowhouseError as error:
                form.add_error("title", error.message)
            else:
                messages.success(
                    request, f"The template “{made.title}” is kept. New datasets can begin with it."
                )
                return redirect(reverse("admin:datasets_dataset_begin"))
    context = {"dataset": dataset, "form": form}
    return page(
        request, site, "save_as_template", f"Save {dataset.title} as template", context, status=status
    )


@require_POST
def delete(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Forget a template of this tenant."""
    require_adding(request)
    template = get_object_or_404(DatasetTemplate, pk=pk)
    templates_of_tenant.delete_template(template=template, by=person(request))
    messages.success(request, f"The template “{template.title}” is gone; datasets made of it stay.")
    return redirect(reverse("admin:datasets_dataset_begin"))

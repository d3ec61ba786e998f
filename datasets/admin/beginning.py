"""The ways to a new dataset: from a file, from a template, from a Table Schema, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminTextInputWidget

from core.errors import RowhouseError
from datasets import services, templates_of_tenant
from datasets.admin.definition_files import DefinitionForm
from datasets.admin.places import page, person, require_adding
from datasets.definition import Definition
from datasets.models import Dataset, DatasetTemplate
from datasets.rules import MAX_TITLE, NewColumn
from datasets.spec import ColumnSpec
from datasets.starters import starters
from datasets.wording import rule_words, type_words


@dataclass(frozen=True, slots=True)
class Offer:
    """A template as the pages show it. `own` is the tenant's own, or None."""

    name: str
    description: str
    definition: Definition
    own: DatasetTemplate | None = None

    @property
    def labels(self) -> str:
        return ", ".join(column.label for column in self.definition.columns)


class TitleForm(forms.Form):
    """What the new dataset is called."""

    title = forms.CharField(max_length=MAX_TITLE, widget=UnfoldAdminTextInputWidget())


def _offers() -> list[Offer]:
    own = [
        Offer(str(one.pk), one.description, templates_of_tenant.definition_of(one), one)
        for one in DatasetTemplate.objects.order_by("title", "pk")
    ]
    return [*own, *(Offer(one.name, one.description, one.definition) for one in starters())]


@require_http_methods(["GET", "POST"])
def begin(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the ways to a new dataset; make one of an uploaded Table Schema."""
    require_adding(request)
    form, status = DefinitionForm(), 200
    if request.method == "POST":
        form, status = DefinitionForm(request.POST, request.FILES), 422
        if form.is_valid():
            try:
                return _made(request, _created(request, form.cleaned_data["file"]))
            except RowhouseError as error:
                form.add_error("file", error.message)
    words = request.GET.get("q", "").strip()[:100]
    offers = [
        offer
        for offer in _offers()
        if words.casefold() in f"{offer.definition.title} {offer.description} {offer.labels}".casefold()
    ]
    context = {"form": form, "offers": offers, "words": words, "from_file_url": from_file_url()}
    return page(request, site, "begin", "New dataset", context, status=status)


def from_file_url() -> str | None:
    """Return the page that proposes columns from a file, where there is one."""
    try:
        return reverse("admin:importer_importjob_new_dataset")
    except NoReverseMatch:  # the app above is not installed
        return None


@require_http_methods(["GET", "POST"])
def from_template(request: HttpRequest, name: str, site: AdminSite) -> HttpResponse:
    """Show a template, and make a dataset of it."""
    require_adding(request)
    offer = next((offer for offer in _offers() if offer.name == name), None)
    if offer is None:
        raise Http404
    form, status = TitleForm(request.POST or None, initial={"title": offer.definition.title}), 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                return _made(request, _created(request, offer.definition, title=form.cleaned_data["title"]))
            except RowhouseError as error:
                form.add_error("title", error.message)
    columns = [_shown(column, offer.definition) for column in offer.definition.columns]
    context = {"form": form, "offer": offer, "columns": columns}
    title = f"New dataset: {offer.definition.title}"
    return page(request, site, "from_template", title, context, status=status)


def _shown(column: NewColumn, definition: Definition) -> dict[str, Any]:
    spec = ColumnSpec(0, column.label, column.type, column.is_required, column.is_unique, column.options)
    words = rule_words(spec, is_key=column.label in definition.key)
    return {"label": column.label, "type": type_words(column.type), "rules": "; ".join(words) or "none"}


def _created(request: HttpRequest, definition: Definition, title: str | None = None) -> Dataset:
    slug = definition.slug if title in (None, definition.title) else None
    if slug and Dataset.objects.filter(slug=slug).exists():
        slug = None  # made of the title, with a number
    return services.create_dataset(
        title=title or definition.title, columns=definition.columns, key=definition.key, slug=slug,
        checks=definition.checks,
        by=person(request),
    )  # fmt: skip


def _made(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    messages.success(
        request, f"The dataset “{dataset.title}” is there. Change its columns, or import a file."
    )
    return redirect(reverse("admin:datasets_dataset_columns", args=(dataset.pk,)))

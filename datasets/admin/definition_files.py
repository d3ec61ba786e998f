"""A definition as a file: an empty workbook to fill in, Table Schema JSON out, and compared with one that comes in."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from unfold.widgets import UnfoldAdminFileFieldWidget

from core.errors import RowhouseError
from datasets import access, editing
from datasets.admin.links import definition_links
from datasets.admin.places import changeable, page, person, viewable
from datasets.comparing import compare, new_columns
from datasets.definition import (
    Definition,
    InvalidDefinition,
    from_table_schema,
    read_json,
    to_table_schema,
)
from datasets.workbook import template_workbook

MOST_BYTES = 2 * 1024**2
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class DefinitionForm(forms.Form):
    """A Table Schema, as a file."""

    file = forms.FileField(
        label="Table Schema (JSON)",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".json,application/json"}),
        error_messages={
            "required": "Choose a JSON file.",
            "empty": "The file is empty. Choose a JSON file with a list “fields”.",
        },
    )

    def clean_file(self) -> Definition:
        """Return the definition the file states.

        :raises ValidationError: it states none; the message says where and why.
        """
        file = self.cleaned_data["file"]
        try:
            if file.size > MOST_BYTES:
                raise InvalidDefinition("The file is larger than 2 MiB, which no definition is.")
            return from_table_schema(read_json(file.read()))
        except InvalidDefinition as error:
            raise forms.ValidationError(error.message) from error


@require_GET
@never_cache
def workbook(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """An empty workbook to fill in and upload."""
    dataset = viewable(request, dataset_id)
    spec = access.seen_by(request.user, dataset).spec
    return _file(template_workbook(spec), XLSX, f"{dataset.slug}-template.xlsx")


@require_GET
@never_cache
def schema(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """The definition as Table Schema."""
    dataset = viewable(request, dataset_id)
    spec = access.seen_by(request.user, dataset).spec
    text = json.dumps(to_table_schema(spec), indent=2, ensure_ascii=False) + "\n"
    return _file(text.encode(), "application/json", f"{dataset.slug}.schema.json")


def _file(data: bytes, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(data, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'  # a slug needs no quoting
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_http_methods(["GET", "POST"])
def compare_schema(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Say what tells an uploaded Table Schema from this dataset; add the columns that only it has, if wanted."""
    dataset = changeable(request, dataset_id)
    context: dict[str, Any] = {
        "dataset": dataset,
        "links": definition_links(request, dataset, here="compare"),
        "form": DefinitionForm(),
    }
    status = 200
    if request.method == "POST":
        try:
            stated = _stated(request, context)
            if stated is None:
                status = 422
            elif request.POST.get("do") == "add":
                seen = request.POST.get("seen", "")
                made = editing.add_columns(
                    dataset=dataset, columns=new_columns(dataset.spec(), stated), by=person(request),
                    seen=int(seen) if seen.isdecimal() and len(seen) < 10 else 0,
                )  # fmt: skip
                messages.success(request, f"Added: {', '.join(column.label for column in made)}.")
                return redirect(reverse("admin:datasets_dataset_columns", args=(dataset.pk,)))
            else:
                spec = dataset.spec()
                context |= {"differences": compare(spec, stated), "new": new_columns(spec, stated)}
                context["schema"] = _text_of(request)
        except RowhouseError as error:
            context["problem"], status = error.message, error.status
    title = f"Compare {dataset.title} with a Table Schema"
    return page(request, site, "compare", title, context, status=status)


def _stated(request: HttpRequest, context: dict[str, Any]) -> Definition | None:
    if request.POST.get("do") == "add":  # as it was shown: the text of the file stands in the page
        return from_table_schema(read_json(request.POST.get("schema", "").encode()))
    form = DefinitionForm(request.POST, request.FILES)
    context["form"] = form
    return form.cleaned_data["file"] if form.is_valid() else None


def _text_of(request: HttpRequest) -> str:
    file: Any = request.FILES["file"]
    file.seek(0)
    return str(file.read().decode("utf-8-sig"))

"""The page on which a person says what a bulk edit does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold import widgets

from datasets import changesets, operations
from datasets.admin.addresses import change_address
from datasets.admin.selection import picked, query_of
from datasets.cells import editable_columns
from datasets.operations import Operation
from datasets.spec import ColumnSpec

if TYPE_CHECKING:
    from datasets.admin.records import RowsAdmin


class BulkEditForm(forms.Form):
    """Which column, and what is done to it."""

    column = forms.ChoiceField(widget=widgets.UnfoldAdminSelectWidget)
    how = forms.ChoiceField(
        label="What to do", choices=list(operations.TITLES.items()), widget=widgets.UnfoldAdminSelectWidget
    )
    find = forms.CharField(
        required=False, strip=False, label="Find this text", widget=widgets.UnfoldAdminTextInputWidget
    )
    match_case = forms.BooleanField(
        required=False, initial=True, label="Upper and lower case count", widget=widgets.UnfoldBooleanWidget
    )
    value = forms.CharField(
        required=False,
        strip=False,
        label="Value",
        help_text="Written as in a file or a record’s form: 2026-12-31, 12.50, true.",
        widget=widgets.UnfoldAdminTextInputWidget,
    )
    note = forms.CharField(
        required=False,
        max_length=300,
        label="Why",
        help_text="Kept with the change, for those who look at it later.",
        widget=widgets.UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, columns: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["column"].choices = columns  # type: ignore[attr-defined] # a ChoiceField

    def operation(self) -> Operation:
        """Return what the form says; it must be valid."""
        data = self.cleaned_data
        return Operation(data["column"], data["how"], data["value"], data["find"], data["match_case"])


def edit_selected(
    modeladmin: RowsAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Ask what to do; then work it out, and go to the page that shows it before anything is written."""
    dataset = modeladmin.dataset
    editable = editable_columns(request.user, dataset)
    columns = [(one.name, one.label) for one in modeladmin.spec.columns if one.name in editable]
    form = BulkEditForm(request.POST if "how" in request.POST else None, columns=columns)
    if form.is_bound and form.is_valid():
        try:
            changes = changesets.plan_edit(
                dataset=dataset, records=queryset, operation=form.operation(), by=request.user,
                query=query_of(request), note=form.cleaned_data["note"],
            )  # fmt: skip
        except changesets.InvalidOperation as error:
            form.add_error(None, error.message)
        else:
            return redirect(change_address(changes))
    context = {
        **modeladmin.admin_site.each_context(request),
        **picked(request),
        "title": "Edit records",
        "opts": modeladmin.opts,
        "dataset": dataset,
        "count": queryset.order_by().count(),
        "form": form,
        "ways": json.dumps({one.name: operations.offered(one) for one in modeladmin.spec.columns}),
        "options": json.dumps({one.name: _offered_values(one) for one in modeladmin.spec.columns}),
    }
    status = 422 if form.is_bound else 200
    return TemplateResponse(request, "datasets/edit_records.html", context, status=status)


def _offered_values(column: ColumnSpec) -> list[str]:
    return ["true", "false"] if column.type == "boolean" else list(column.options.choices)


edit_selected.short_description = "Edit selected records"  # type: ignore[attr-defined]
edit_selected.allowed_permissions = ("change",)  # type: ignore[attr-defined]

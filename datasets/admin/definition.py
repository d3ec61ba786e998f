"""The addresses of the pages around a definition."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import path
from django.urls.resolvers import URLPattern

from datasets.admin import beginning, definition_files, editor, own_templates


def definition_urls(site: AdminSite) -> list[URLPattern]:
    """Return the pages around definitions, below the list of datasets."""

    def at(route: str, view: Any, name: str) -> URLPattern:
        found: URLPattern = path(
            route, site.admin_view(view), {"site": site}, name=f"datasets_dataset_{name}"
        )
        return found

    one, column = "<int:dataset_id>/", "<int:dataset_id>/columns/<int:column_id>/"
    return [
        at(f"{one}columns/", editor.columns, "columns"),
        at(f"{column}retire/", editor.retire, "retire_column"),
        at(f"{column}bring-back/", editor.bring_back, "bring_back_column"),
        at(f"{column}purge/", editor.purge, "purge_column"),
        at(f"{column}keep/", editor.keep, "keep_column"),
        at(f"{one}definition-history/", editor.history, "definition_history"),
        at(f"{one}workbook/", definition_files.workbook, "workbook"),
        at(f"{one}schema/", definition_files.schema, "schema"),
        at("new/", beginning.begin, "begin"),
        at("new/<slug:name>/", beginning.from_template, "from_template"),
        at(f"{one}save-as-template/", own_templates.save, "save_as_template"),
        at("templates/<int:pk>/delete/", own_templates.delete, "delete_template"),
        at(f"{one}compare/", definition_files.compare_schema, "compare"),
    ]

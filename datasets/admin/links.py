"""Links from a dataset to what other apps do with it, by name: this app does not know them."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from datasets import access
from datasets.models import Dataset


@dataclass(frozen=True, slots=True)
class Link:
    """A button above a list."""

    title: str
    url: str
    icon: str
    is_primary: bool = False


def record_links(request: HttpRequest, dataset: Dataset, rights: frozenset[str]) -> list[Link]:
    """Return the buttons above a dataset's records that this user may press."""
    query = f"?dataset={dataset.pk}"
    found = []
    if "import" in rights:
        found.append(_link("Import a file", "importer_importjob_upload", "upload", query, is_primary=True))
        found.append(_link("Imports", "importer_importjob_changelist", "history", query))
    if "export" in rights and not access.has_hidden(request.user, dataset):
        found.append(_link("Exports", "exporter_exportfile_changelist", "download", query))
        if {"view", "import", "delete"} <= rights:
            found.append(_link("Restore", "rowhouse_restore", "settings_backup_restore", args=(dataset.pk,)))
    found.append(_link("Changes", "datasets_changeset_changelist", "edit_note", query))
    found.append(_link("As of", "datasets_row_as_of", "history_toggle_off", args=(dataset.pk,)))
    user = request.user
    if user.has_perm("datasets.view_dataset") or "manage" in rights:
        found.append(_link("Definition", "datasets_dataset_change", "tune", args=(dataset.pk,)))
    if "manage" in rights:
        if "import" in rights:
            found.append(_link("Import rules", "importer_importjob_rules", "rule", args=(dataset.pk,)))
        if "export" in rights and not access.has_hidden(user, dataset):
            found.append(
                _link("Export settings", "exporter_exportsettings_dataset", "schedule", args=(dataset.pk,))
            )
        found.append(_link("Speed", "datasets_row_indexes", "speed", args=(dataset.pk,)))
        found.append(_link("Permissions", "datasets_dataset_rights", "key", args=(dataset.pk,)))
    return [link for link in found if link]


def definition_links(request: HttpRequest, dataset: Dataset, *, here: str = "") -> list[Link]:
    """Return the buttons above a dataset's definition that this user may press; `here` is the page's own."""
    at = (dataset.pk,)
    user_may_add = request.user.has_perm("datasets.add_dataset")
    may_change = access.may_define(request.user, dataset)
    found = [
        _link("Columns", "datasets_dataset_columns", "view_column", args=at) if may_change else None,
        _link("Definition history", "datasets_dataset_definition_history", "manage_history", args=at),
        _link("Template workbook", "datasets_dataset_workbook", "table_view", args=at),
        _link("Table Schema", "datasets_dataset_schema", "data_object", args=at),
        _link("Compare", "datasets_dataset_compare", "difference", args=at) if may_change else None,
        _link("Save as template", "datasets_dataset_save_as_template", "bookmark_add", args=at)
        if user_may_add
        else None,
    ]
    return [link for link in found if link and f"/{here}/" not in link.url]


def view_export_url(dataset: Dataset, rights: frozenset[str], query: str) -> str:
    """Return where the list that `query` names is exported, or an empty text."""
    found = "export" in rights and _link("", "exporter_exportfile_view", "", args=(dataset.pk,))
    return f"{found.url}?{query}" if found else ""


def differences_export_url(dataset: Dataset, rights: frozenset[str], query: str) -> str:
    """Return where the differences that `query` names are exported, or an empty text."""
    found = "export" in rights and _link("", "exporter_exportfile_differences", "", args=(dataset.pk,))
    return f"{found.url}?{query}" if found else ""


def _link(
    title: str, name: str, icon: str, query: str = "", *, args: tuple[int, ...] = (), is_primary: bool = False
) -> Link | None:
    try:
        return Link(title, reverse(f"admin:{name}", args=args) + query, icon, is_primary)
    except NoReverseMatch:  # the app above is not installed, or names its page differently
        return None

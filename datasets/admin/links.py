"""Links from a dataset to what other apps do with it, by name: this app does not know them."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

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
    if "export" in rights:
        found.append(_link("Exports", "exporter_exportfile_changelist", "download", query))
    found.append(_link("Changes", "datasets_changeset_changelist", "edit_note", query))
    user = request.user
    if user.has_perm("datasets.view_dataset") or user.has_perm("datasets.change_dataset"):
        found.append(_link("Definition", "datasets_dataset_change", "tune", args=(dataset.pk,)))
    if user.has_perm("datasets.change_dataset"):
        if "import" in rights:
            found.append(_link("Import rules", "importer_importjob_rules", "rule", args=(dataset.pk,)))
        found.append(_link("Permissions", "datasets_dataset_rights", "key", args=(dataset.pk,)))
    return [link for link in found if link]


def _link(
    title: str, name: str, icon: str, query: str = "", *, args: tuple[int, ...] = (), is_primary: bool = False
) -> Link | None:
    try:
        return Link(title, reverse(f"admin:{name}", args=args) + query, icon, is_primary)
    except NoReverseMatch:  # the app above is not installed, or names its page differently
        return None

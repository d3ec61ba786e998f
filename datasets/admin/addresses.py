"""Where changes and records are looked at."""

from __future__ import annotations

import re

from django.urls import NoReverseMatch, reverse

from datasets.changeset import ChangeSet
from datasets.models import Dataset

_CAUSES = {
    "change": "admin:datasets_changeset_change",
    "import": "admin:importer_importjob_change",
}
_CAUSE = re.compile(r"(change|import) ([0-9]{1,18})")


def change_address(changes: ChangeSet, page: str = "change") -> str:
    """Return the address of a page of a change set."""
    return reverse(f"admin:datasets_changeset_{page}", args=[changes.pk])


def changes_address(dataset: Dataset) -> str:
    """Return the address of the list of a dataset's changes."""
    return reverse("admin:datasets_changeset_changelist") + f"?dataset={dataset.pk}"


def records_address(dataset: Dataset) -> str:
    """Return the address of the list of a dataset's records."""
    return reverse("admin:datasets_row_changelist", args=[dataset.pk])


def record_address(dataset: Dataset, record_id: int, page: str = "history") -> str:
    """Return the address of a page of a record."""
    return reverse(f"admin:datasets_row_{page}", args=[dataset.pk, record_id])


def cause_address(reason: str) -> str:
    """Return the page of what history names as the cause of a version; empty where it has none."""
    found = _CAUSE.fullmatch(reason)
    if found is None:
        return ""
    try:
        return reverse(_CAUSES[found[1]], args=[int(found[2])])
    except NoReverseMatch:  # the app above is not installed, or names its page differently
        return ""

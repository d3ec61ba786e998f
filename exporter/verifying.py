"""Proving rows, files and manifests against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.storage import StorageChanged
from exporter import folding, manifests
from exporter.models import ExportFile, ExportRun


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs: of an object, by its key. MISSING, ALTERED, DIFFERENT (a manifest) or ROWS."""

    key: str
    fault: str


def verify_manifests() -> tuple[int, list[Finding]]:
    """Compare every stored manifest with the rows; returns how many there are, and what differs."""
    runs = list(ExportRun.objects.exclude(manifest_key="").order_by("pk"))
    found = [Finding(run.manifest_key, fault) for run in runs if (fault := manifests.fault_of(run))]
    return len(runs), found


def verify_rows(files: Iterable[ExportFile]) -> list[Finding]:
    """Read files without a known fault and count their records; returns those that have not as many as their rows say.

    Workbooks are left out: reading them is not ours.
    """
    found = []
    for file in files:
        if file.fault:
            continue
        spec = file.dataset.spec() if file.dataset else None
        try:
            rows = folding.count_rows(file, spec)
        except folding.NotFoldable:
            continue
        except StorageChanged:
            rows = -1  # it was stored a moment ago
        if rows not in (None, file.rows):
            found.append(Finding(file.key, "ROWS"))
    return found
